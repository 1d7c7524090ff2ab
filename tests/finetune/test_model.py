"""Encoder and head, compared with tf-models' classifiers and span labeler."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from official.modeling.optimization import lamb as tf_models_lamb
from official.nlp.modeling import models

from finetune.model import Finetuner, mean_loss
from finetune.tasks.task import INPUTS
from model.config import EncoderConfig
from model.dropout import Dropout
from model.weights import assign, build_tf_models
from optim.build import build_optimizer
from optim.config import OptimizerConfig

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
    """Inputs with padding and two segments, and targets of all kinds but "tokens"."""
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
    """The same inputs with targets of "tokens"."""
    rng = np.random.default_rng(3)
    label_ids = tf.constant(rng.integers(0, 5, (B, S)), tf.int32)
    weights = tf.constant(rng.integers(0, 2, (B, S)), tf.float32)
    return {**batch(), "label_ids": label_ids, "label_weights": weights}


def features_of(kind: str) -> dict[str, tf.Tensor]:
    return token_batch() if kind == "tokens" else batch()


def tf_models_model(kind: str):
    """tf-models' model with random biases, too, and a function from features to its logits."""
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
        outputs = model({name: features[name] for name in INPUTS}, training=False)
        if isinstance(outputs, dict):
            outputs = outputs["logits"]
        return tf.stack(outputs, axis=-1) if kind == "spans" else outputs

    return model, logits


def both_models(kind: str):
    """Our model with the weights of tf-models', the latter's logits, and pairs of variables."""
    theirs, logits = tf_models_model(kind)
    ours = Finetuner(CONFIG, kind=kind, num_outputs=OUTPUTS[kind], seed=4)
    by_name = {v.name.partition(":")[0]: v for v in theirs.trainable_variables}
    head = {name for name in by_name if not name.startswith("encoder/")}
    renamed = {f"task/logits/{name.rpartition('/')[2]}": by_name.pop(name) for name in head}
    by_name |= renamed
    pairs = [(v, by_name[v.name.partition(":")[0]]) for v in ours.trainable_variables]
    assign(ours, {our.name.partition(":")[0]: their.numpy() for our, their in pairs})
    return ours, logits, pairs


def tf_models_loss(kind: str, logits: tf.Tensor, features) -> tf.Tensor:
    """Loss as in tf-models' tasks, a mean over the batch."""
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


def relative_error(actual, expected) -> float:
    actual, expected = np.ravel(actual).astype(np.float64), np.ravel(expected).astype(np.float64)
    return np.linalg.norm(actual - expected) / np.linalg.norm(expected)


@pytest.mark.parametrize("kind", OUTPUTS)
def test_outputs_and_gradients_equal_tf_models(kind):
    model, tf_models_logits, pairs = both_models(kind)
    features = features_of(kind)
    outputs = model.eval_outputs(features)
    np.testing.assert_allclose(outputs, tf_models_logits(features), atol=2e-5)
    assert np.std(outputs) > 0.3

    @tf.function
    def losses_and_gradients():
        with tf.GradientTape(persistent=True) as tape:
            loss_sum, _, weight_sum = model.sums(features, dropout=None)
            loss = loss_sum / weight_sum
            expected_loss = tf_models_loss(kind, tf_models_logits(features), features)
        ours, theirs = zip(*pairs, strict=True)
        gradients, expected = tape.gradient(loss, ours), tape.gradient(expected_loss, theirs)
        return (
            loss,
            expected_loss,
            [*map(tf.convert_to_tensor, gradients)],
            [*map(tf.convert_to_tensor, expected)],
        )

    loss, expected_loss, gradients, expected = losses_and_gradients()
    np.testing.assert_allclose(loss, expected_loss, rtol=1e-6)
    np.testing.assert_allclose(
        mean_loss(kind, model.eval_outputs(features).numpy(), features), loss, rtol=1e-6
    )
    scale = max(np.linalg.norm(gradient) for gradient in expected)
    for (variable, _), gradient, expected_gradient in zip(pairs, gradients, expected, strict=True):
        # A bias that shifts all logits of a softmax alike has gradient 0 except for rounding.
        if np.linalg.norm(expected_gradient) < 1e-6 * scale:
            assert np.linalg.norm(gradient) < 1e-6 * scale
        else:
            assert relative_error(gradient, expected_gradient) < 3e-5, variable.name


@pytest.mark.parametrize("optimizer", ["lamb", "adamw"])
def test_update_equals_tf_models(optimizer):
    """Compares LAMB with that of tf-models, AdamW with that of tf_keras, on the classifier."""
    model, tf_models_logits, pairs = both_models("classification")
    features = features_of("classification")
    excluded = ["LayerNorm", "layer_norm", "bias"]
    settings = dict(learning_rate=0.01, beta_1=0.9, beta_2=0.999, epsilon=1e-6)
    config = OptimizerConfig(
        optimizer=optimizer, peak_learning_rate=0.01, beta_2=0.999, weight_decay_rate=0.01
    )
    ours, theirs = zip(*pairs, strict=True)
    if optimizer == "lamb":
        reference = tf_models_lamb.LAMB(
            weight_decay_rate=0.01,
            exclude_from_weight_decay=excluded,
            exclude_from_layer_adaptation=excluded,
            **settings,
        )
    else:
        reference = tf_keras.optimizers.AdamW(weight_decay=0.01, jit_compile=False, **settings)
        reference.exclude_from_weight_decay(
            var_list=[v for v in theirs if any(part in v.name for part in excluded)]
        )
    with tf.GradientTape(persistent=True) as tape:
        loss_sum, _, weight_sum = model.sums(features, dropout=None)
        loss = loss_sum / weight_sum
        expected_loss = tf_models_loss("classification", tf_models_logits(features), features)
    before = [variable.numpy() for variable in ours]
    for built, gradients, variables in (
        (build_optimizer(config, 0.01), tape.gradient(loss, ours), ours),
        (reference, tape.gradient(expected_loss, theirs), theirs),
    ):
        gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
        built.apply_gradients(zip(gradients, variables, strict=True))
    for old, new, expected in zip(before, ours, theirs, strict=True):
        expected = np.reshape(expected, old.shape)
        if "key/bias" not in new.name:  # its gradient is 0 except for rounding
            assert relative_error(new - old, expected - old) < 5e-3, new.name
            assert np.linalg.norm(expected - old) > 0


def test_sums_do_not_depend_on_the_division_of_a_batch():
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
    assert abs(whole[0] - model.sums(features, dropout=None)[0]) > 1  # dropout has an effect
    assert not np.allclose(np.stack(sums(features, tf.range(B) + 4)), whole, rtol=1e-2)


def test_rematerialized_blocks_have_the_same_gradients():
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
            gradients = tape.gradient(loss, model.trainable_variables)
            return [tf.convert_to_tensor(gradient) for gradient in gradients]

        results.append(gradients())
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


def test_bfloat16_outputs_are_close_and_float32():
    features = batch()
    outputs = {}
    for dtype in (tf.float32, tf.bfloat16):
        model = Finetuner(CONFIG, kind="classification", num_outputs=3, seed=4, dtype=dtype)
        outputs[dtype] = model.eval_outputs(features)
        assert outputs[dtype].dtype == tf.float32
    assert 0 < relative_error(outputs[tf.bfloat16], outputs[tf.float32]) < 0.03
