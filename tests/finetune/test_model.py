"""The encoder with a head beside tf-models' classifier and span labeler, and its batches."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from official.modeling.optimization import lamb as tf_models_lamb
from official.nlp.modeling import models

from data.read.order import sequence_at
from finetune.batches import evaluation_batches, training_batches
from finetune.model import Finetuner, mean_loss
from finetune.tasks.task import INPUTS
from model.config import EncoderConfig
from model.dropout import Dropout
from model.weights import assign, build_tf_models
from optim.build import build_optimizer
from optim.config import OptimizerConfig, layer_factors

B, S, V, H = 4, 20, 90, 32
CONFIG = EncoderConfig(
    vocab_size=V,
    hidden_size=H,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=48,
    max_position_embeddings=24,
    hidden_dropout_prob=0.2,
    attention_probs_dropout_prob=0.3,
    initializer_range=0.2,  # outputs that depend on their inputs
)
OUTPUTS = {"classification": 3, "regression": 1, "tokens": 5, "spans": 2}


def batch() -> dict[str, tf.Tensor]:
    """With padding, two segments, and the targets of every kind of task."""
    rng = np.random.default_rng(2)
    mask = np.arange(S) < rng.integers(S // 2, S, B)[:, None]
    features = {
        "input_word_ids": rng.integers(0, V, (B, S)),
        "input_mask": mask,
        "input_type_ids": rng.integers(0, 2, (B, S)) * mask,
        "label_ids": rng.integers(0, 3, B),
        "start_positions": rng.integers(0, 5, B),
        "end_positions": rng.integers(5, 10, B),
    }
    features = {name: tf.constant(values, tf.int32) for name, values in features.items()}
    return {**features, "label_values": tf.constant(rng.normal(size=B), tf.float32)}


def token_batch() -> dict[str, tf.Tensor]:
    rng = np.random.default_rng(3)
    label_ids = tf.constant(rng.integers(0, 5, (B, S)), tf.int32)
    weights = tf.constant(rng.integers(0, 2, (B, S)), tf.float32)
    return {**batch(), "label_ids": label_ids, "label_weights": weights}


def features_of(kind: str) -> dict[str, tf.Tensor]:
    return token_batch() if kind == "tokens" else batch()


def theirs_of(kind: str):
    """tf-models' model, every vector of it random too, and a function from features to its logits."""
    tf_keras.mixed_precision.set_global_policy("float32")
    network = build_tf_models(CONFIG, seed=3).encoder_network
    if kind == "spans":
        model = models.BertSpanLabeler(network)
    elif kind == "tokens":
        model = models.BertTokenClassifier(network, 5, dropout_rate=0.2)
    else:
        model = models.BertClassifier(network, OUTPUTS[kind], dropout_rate=0.2)
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        if variable.shape.rank < 3:
            variable.assign_add(rng.normal(size=variable.shape) * 0.1)

    def logits(features):
        found = model({name: features[name] for name in INPUTS}, training=False)
        if isinstance(found, dict):
            found = found["logits"]
        return tf.stack(found, axis=-1) if kind == "spans" else found

    return model, logits


def pair(kind: str):
    """Ours with the weights of theirs, theirs, and variables of both side by side."""
    theirs, logits = theirs_of(kind)
    ours = Finetuner(CONFIG, kind=kind, num_outputs=OUTPUTS[kind], seed=4)
    by_name = {v.name.partition(":")[0]: v for v in theirs.trainable_variables}
    head = {name for name in by_name if not name.startswith("encoder/")}
    renamed = {f"task/logits/{name.rpartition('/')[2]}": by_name.pop(name) for name in head}
    by_name |= renamed
    pairs = [(v, by_name[v.name.partition(":")[0]]) for v in ours.trainable_variables]
    assign(ours, {mine.name.partition(":")[0]: other.numpy() for mine, other in pairs})
    return ours, logits, pairs


def their_loss(kind: str, logits: tf.Tensor, features) -> tf.Tensor:
    """As tf-models' tasks have it: means over the batch."""
    cross_entropy = tf_keras.losses.sparse_categorical_crossentropy
    if kind == "regression":
        return tf.reduce_mean(
            tf_keras.losses.mean_squared_error(features["label_values"][:, None], logits)
        )
    if kind == "spans":
        parts = [
            cross_entropy(features[f"{name}_positions"], logits[..., i], from_logits=True)
            for i, name in enumerate(("start", "end"))
        ]
        return (tf.reduce_mean(parts[0]) + tf.reduce_mean(parts[1])) / 2
    loss = cross_entropy(features["label_ids"], logits, from_logits=True)
    if kind == "classification":
        return tf.reduce_mean(loss)
    weights = features["label_weights"]
    return tf.reduce_sum(loss * weights) / tf.reduce_sum(weights)


def relative_error(found, expected) -> float:
    found, expected = np.ravel(found).astype(np.float64), np.ravel(expected).astype(np.float64)
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


@pytest.mark.parametrize("kind", OUTPUTS)
def test_forward_and_all_gradients_equal_tf_models(kind):
    ours, logits, pairs = pair(kind)
    features = features_of(kind)
    found = ours.eval_outputs(features)
    np.testing.assert_allclose(found, logits(features), atol=2e-5)
    assert np.std(found) > 0.3

    @tf.function
    def gradients():
        with tf.GradientTape(persistent=True) as tape:
            loss_sum, _, weight_sum = ours.sums(features, dropout=None)
            loss = loss_sum / weight_sum
            their = their_loss(kind, logits(features), features)
        mine, others = zip(*pairs, strict=True)
        found, expected = tape.gradient(loss, mine), tape.gradient(their, others)
        return (
            loss,
            their,
            [*map(tf.convert_to_tensor, found)],
            [*map(tf.convert_to_tensor, expected)],
        )

    loss, their, found, expected = gradients()
    np.testing.assert_allclose(loss, their, rtol=1e-6)
    np.testing.assert_allclose(
        mean_loss(kind, ours.eval_outputs(features).numpy(), features), loss, rtol=1e-6
    )
    scale = max(np.linalg.norm(gradient) for gradient in expected)
    for (variable, _), one, wanted in zip(pairs, found, expected, strict=True):
        if np.linalg.norm(wanted) < 1e-6 * scale:  # where a shift of all scores changes nothing
            assert np.linalg.norm(one) < 1e-6 * scale
        else:
            assert relative_error(one, wanted) < 3e-5, variable.name


@pytest.mark.parametrize("optimizer", ["lamb", "adamw"])
def test_an_update_equals_tf_models(optimizer):
    """The card's LAMB beside tf-models' own, AdamW beside tf_keras', on its classifier."""
    ours, logits, pairs = pair("classification")
    features = features_of("classification")
    excluded = ["LayerNorm", "layer_norm", "bias"]
    settings = dict(learning_rate=0.01, beta_1=0.9, beta_2=0.999, epsilon=1e-6)
    config = OptimizerConfig(
        optimizer=optimizer, peak_learning_rate=0.01, beta_2=0.999, weight_decay_rate=0.01
    )
    mine, others = zip(*pairs, strict=True)
    if optimizer == "lamb":
        theirs = tf_models_lamb.LAMB(
            weight_decay_rate=0.01,
            exclude_from_weight_decay=excluded,
            exclude_from_layer_adaptation=excluded,
            **settings,
        )
    else:
        theirs = tf_keras.optimizers.AdamW(weight_decay=0.01, jit_compile=False, **settings)
        # In the names of tf-models: its attention's biases and LayerNorms.
        theirs.exclude_from_weight_decay(
            var_list=[v for v in others if any(part in v.name for part in excluded)]
        )
    with tf.GradientTape(persistent=True) as tape:
        loss_sum, _, weight_sum = ours.sums(features, dropout=None)
        loss, their = (
            loss_sum / weight_sum,
            their_loss("classification", logits(features), features),
        )
    before = [variable.numpy() for variable in mine]
    for one, gradients, variables in (
        (build_optimizer(config, 0.01), tape.gradient(loss, mine), mine),
        (theirs, tape.gradient(their, others), others),
    ):
        gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
        one.apply_gradients(zip(gradients, variables, strict=True))
    for old, found, wanted in zip(before, mine, others, strict=True):
        wanted = np.reshape(wanted, old.shape)
        if "key/bias" not in found.name:  # whose gradient is rounding
            assert relative_error(found - old, wanted - old) < 5e-3, found.name
            assert np.linalg.norm(wanted - old) > 0


def test_sums_do_not_depend_on_how_a_batch_is_cut():
    """With dropout: an example has the same mask wherever it is computed."""
    model = Finetuner(CONFIG, kind="tokens", num_outputs=5, seed=4)
    features = token_batch()

    @tf.function
    def sums(features, example_B):
        return model.sums(
            features, dropout=Dropout(seed=1, step=tf.constant(7), example_B=example_B)
        )

    whole = np.stack(sums(features, tf.range(B)))
    halves = [
        np.stack(sums({n: v[part] for n, v in features.items()}, tf.range(B)[part]))
        for part in (slice(0, 2), slice(2, 4))
    ]
    np.testing.assert_allclose(sum(halves), whole, rtol=1e-5)
    assert abs(whole[0] - model.sums(features, dropout=None)[0]) > 1  # there is dropout
    assert not np.allclose(np.stack(sums(features, tf.range(B) + 4)), whole, rtol=1e-2)


def test_rematerialized_blocks_change_no_gradient():
    features = batch()
    results = []
    for rematerialize in (False, True):
        model = Finetuner(
            CONFIG, kind="spans", num_outputs=2, seed=4, rematerialize_blocks=rematerialize
        )

        @tf.function
        def gradients(model=model):
            with tf.GradientTape() as tape:
                dropout = Dropout(seed=1, step=tf.constant(7), example_B=tf.range(B))
                loss = model.sums(features, dropout=dropout)[0]
            found = tape.gradient(loss, model.trainable_variables)
            return [tf.convert_to_tensor(gradient) for gradient in found]

        results.append(gradients())
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


def test_bfloat16_is_close_and_its_outputs_are_float32():
    features = batch()
    found = {}
    for dtype in (tf.float32, tf.bfloat16):
        model = Finetuner(CONFIG, kind="classification", num_outputs=3, seed=4, dtype=dtype)
        found[dtype] = model.eval_outputs(features)
        assert found[dtype].dtype == tf.float32
    assert 0 < relative_error(found[tf.bfloat16], found[tf.float32]) < 0.03


def elements(make, replicas: int, count: int) -> list[dict]:
    context = tf.distribute.InputContext(1, 0, replicas)
    return list(make(context).take(count).as_numpy_iterator())


def test_training_batches_follow_the_order_of_the_seed():
    features = {"input_word_ids": np.arange(14, dtype=np.int32).reshape(7, 2)}
    make = training_batches(features, seed=5, global_batch_size=4, start_step=3)
    expected, _ = sequence_at(np.arange(12, 20), num_sequences=7, seed=5)
    rows = np.concatenate([e["input_word_ids"] for e in elements(make, 1, 2)])
    assert rows[:, 0].tolist() == (2 * expected).tolist()
    on_two = np.concatenate([e["input_word_ids"] for e in elements(make, 2, 4)])
    assert on_two.tolist() == rows.tolist()


def test_evaluation_batches_show_everything_once_and_fill_up():
    features = {"input_word_ids": np.arange(5, dtype=np.int32)[:, None]}
    make, num_steps = evaluation_batches(features, global_batch_size=2)
    assert num_steps == 3
    rows = [e["input_word_ids"][:, 0].tolist() for e in elements(make, 1, 9)]
    assert rows == [[0, 1], [2, 3], [4, 4]]


NAMES = [
    "encoder/word_embeddings/embeddings:0",
    "encoder/embeddings/layer_norm/gamma:0",
    "encoder/transformer/layer_0/output/kernel:0",
    "encoder/transformer/layer_1/self_attention/query/bias:0",
    "encoder/pooler_transform/kernel:0",
    "task/logits/bias:0",
]


def test_factors_of_layers():
    assert layer_factors(NAMES, 0.5) == [0.125, 0.125, 0.25, 0.5, 1.0, 1.0]
    assert layer_factors(NAMES, 1.0) == [1.0] * 6
    assert layer_factors(["bert/cls/predictions/output_bias/bias:0"], 0.5) == [1.0]


@pytest.mark.parametrize("optimizer", ["lamb", "adamw"])
def test_layer_decay_scales_updates(optimizer):
    """One step with decay is a step without, times the factor of each variable."""

    def moves(layer_decay: float) -> list[np.ndarray]:
        variables = [tf.Variable([1.0, -2.0], name=name.partition(":")[0]) for name in NAMES]
        config = OptimizerConfig(optimizer=optimizer, clip_norm=0.0, layer_decay=layer_decay)
        built = build_optimizer(config, 0.125)
        gradients = [tf.constant([0.5, 0.25])] * len(variables)
        built.apply_gradients(zip(gradients, variables, strict=True))
        return [variable.numpy() - [1.0, -2.0] for variable in variables]

    for factor, plain, scaled in zip(
        layer_factors(NAMES, 0.5), moves(1.0), moves(0.5), strict=True
    ):
        assert np.all(plain < 0)
        np.testing.assert_allclose(scaled, factor * plain, rtol=1e-4)
