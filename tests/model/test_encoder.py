"""Our encoder beside tf-models' with the same weights: outputs, gradients, and an update."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from model.attention import attention
from model.compute_weights import refresh_compute_weights
from model.config import EncoderConfig
from model.dropout import Dropout
from model.encoder import gather_rows
from model.layers import apply_dropout, bias_dropout_add, bias_gelu, layer_norm, sum_rows
from model.mlm import Pretrainer, mlm_sums
from model.weights import build_tf_models, from_tf_models, to_tf_models, trained_variables
from optim.lamb import LAMB

V = 90
# (batch, positions, predictions, layers, heads, hidden, inner)
SHAPES = [(3, 24, 5, 3, 4, 32, 48), (2, 7, 7, 1, 1, 8, 40), (1, 33, 1, 2, 6, 48, 16)]


def config(
    layers=3, heads=4, hidden=32, inner=48, rate=0.0, activation="gelu_tanh"
) -> EncoderConfig:
    return EncoderConfig(
        vocab_size=V,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=inner,
        hidden_activation=activation,
        max_position_embeddings=40,
        hidden_dropout_prob=rate,
        attention_probs_dropout_prob=rate,
        initializer_range=0.2,  # outputs that depend on their inputs
    )


def batch(size=3, positions=24, predictions=5) -> dict[str, tf.Tensor]:
    """With padding, two segments, repeated positions, and unused slots of predictions."""
    rng = np.random.default_rng(size)
    lengths = rng.integers(positions // 2, positions, size)
    mask = (np.arange(positions) < lengths[:, None]).astype(np.int32)
    values = {
        "input_word_ids": rng.integers(0, V, (size, positions)),
        "input_mask": mask,
        "input_type_ids": rng.integers(0, 2, (size, positions)),
        "masked_lm_positions": rng.integers(0, positions // 2, (size, predictions)),
        "masked_lm_ids": rng.integers(0, V, (size, predictions)),
    }
    values = {name: tf.constant(value, tf.int32) for name, value in values.items()}
    weights = np.ones((size, predictions), np.float32)
    weights[:, predictions // 2 + 1 :] = 0
    return {**values, "masked_lm_weights": tf.constant(weights)}


def pair(architecture: EncoderConfig):
    """tf-models' model, every vector of it random too, and ours with the same weights."""
    tf_keras.mixed_precision.set_global_policy("float32")
    theirs = build_tf_models(architecture, seed=3)
    rng = np.random.default_rng(0)
    for variable in theirs.trainable_variables:
        if variable.shape.rank < 3:
            variable.assign_add(rng.normal(size=variable.shape) * 0.1)
    ours = Pretrainer(architecture, seed=4)
    from_tf_models(theirs, ours)
    return ours, theirs


def theirs_inputs(model, features):
    return {name: features[name] for name in model.inputs}


def sums_and_gradients(logits, variables, features, *, jit_compile=False):
    @tf.function(jit_compile=jit_compile)
    def compute():
        with tf.GradientTape() as tape:
            sums = mlm_sums(logits(), features["masked_lm_ids"], features["masked_lm_weights"])
        gradients = tape.gradient(sums[0], variables)
        return sums, [tf.convert_to_tensor(gradient) for gradient in gradients]

    return compute()


def relative_error(found, expected) -> float:
    """Of a tensor as a whole."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


@pytest.mark.parametrize("jit_compile", [False, True], ids=["ops", "compiled"])
@pytest.mark.parametrize(
    ("shape", "activation"), [*((shape, "gelu_tanh") for shape in SHAPES), (SHAPES[0], "gelu")]
)
def test_forward_and_all_gradients_equal_tf_models(shape, activation, jit_compile):
    ours, theirs = pair(config(*shape[3:], activation=activation))
    features = batch(*shape[:3])
    encode = tf.function(ours.encoder, jit_compile=jit_compile)
    found, expected = encode(features), theirs(theirs_inputs(theirs, features))
    for one, wanted in zip(found["encoder_outputs"], expected["encoder_outputs"], strict=True):
        np.testing.assert_allclose(one, wanted, atol=2e-5)
        assert np.std(wanted) > 0.5
    logits = ours.logits(features)
    np.testing.assert_allclose(logits, expected["mlm_logits"], atol=5e-5)
    assert np.std(expected["mlm_logits"]) > 0.5

    pairs = trained_variables(ours, theirs)
    our_variables = list(ours.trainable_variables)
    sums, gradients = sums_and_gradients(
        lambda: ours.logits(features), our_variables, features, jit_compile=jit_compile
    )
    expected_sums, expected_gradients = sums_and_gradients(
        lambda: theirs(theirs_inputs(theirs, features), training=True)["mlm_logits"],
        pairs,
        features,
    )
    np.testing.assert_allclose(sums, expected_sums, rtol=1e-6)
    # A shift of all scores of a row changes nothing: what is left of this gradient is rounding.
    scale = max(np.linalg.norm(gradient) for gradient in expected_gradients)
    for variable, one, wanted in zip(our_variables, gradients, expected_gradients, strict=True):
        wanted = np.reshape(wanted, one.shape)
        if "key/bias" in variable.name:
            assert np.linalg.norm(one) < 1e-5 * scale
            assert np.linalg.norm(wanted) < 1e-5 * scale
        elif np.linalg.norm(wanted) > 1e-6 * scale:
            assert relative_error(one, wanted) < 2e-5, variable.name
        else:  # one attended position or one predicted row: no gradient at all
            assert np.linalg.norm(one) < 1e-5 * scale, variable.name


@pytest.mark.parametrize("activation", ["gelu_tanh", "gelu"])
def test_gelu_and_its_gradient_equal_automatic_ones(activation):
    x = tf.linspace(-7.0, 6.0, 150)[None] + tf.constant([[0.0], [0.01]])
    bias = tf.linspace(-0.5, 0.7, 150)
    upstream = tf.random.stateless_normal(x.shape, seed=[1, 2])
    results = []
    for dtype, function in (
        (tf.float32, lambda x, bias: bias_gelu(x, bias, activation)),
        (tf.float64, lambda x, bias: tf.nn.gelu(x + bias, approximate=activation == "gelu_tanh")),
    ):
        inputs = [tf.cast(value, dtype) for value in (x, bias)]
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            y = function(*inputs)
            loss = tf.reduce_sum(y * tf.cast(upstream, dtype))
        results.append([y, *tape.gradient(loss, inputs)])
    for one, wanted in zip(*results, strict=True):
        np.testing.assert_allclose(one, wanted, atol=1e-5)


def test_the_two_forms_of_gelu():
    """Their largest difference is 0.00047, near 2.7; u * Phi(u) there is 2.6906."""
    u, bias = tf.constant([[2.7, -2.7, 0.0, 10.0]]), tf.zeros(4)
    exact, tanh = (bias_gelu(u, bias, name).numpy()[0] for name in ("gelu", "gelu_tanh"))
    np.testing.assert_allclose(exact, [2.690639, -0.009361, 0, 10], atol=1e-6)
    np.testing.assert_allclose(tanh - exact, [0.000473, 0.000473, 0, 0], atol=2e-6)


@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_the_last_block_at_predicted_positions_equals_all_of_it(rate):
    ours, _ = pair(config(rate=rate))
    features = batch()
    size, length = features["input_word_ids"].shape
    dropout = Dropout(seed=1, step=tf.constant(2), example_B=tf.range(size))
    everywhere = tf.tile(tf.range(length)[None], [size, 1])
    whole = ours.encoder.encode(features, dropout=dropout, positions_BP=everywhere)
    positions = features["masked_lm_positions"]
    some = ours.encoder.encode(features, dropout=dropout, positions_BP=positions)
    np.testing.assert_allclose(some, tf.gather(whole, positions, batch_dims=1), atol=1e-5)
    if not rate:
        np.testing.assert_allclose(whole, ours.encoder(features)["sequence_output"], atol=1e-5)
    np.testing.assert_array_equal(
        gather_rows(whole, positions), tf.gather(whole, positions, batch_dims=1)
    )


@pytest.mark.parametrize("jit_compile", [False, True], ids=["ops", "compiled"])
def test_gradients_with_dropout_equal_automatic_ones(jit_compile):
    """The masks of the backward pass are those of the forward pass, at each function."""
    keys = tf.random.stateless_normal([4, 2, 3, 5, 8], seed=[1, 2])
    q, k, v, weights = tf.unstack(keys)
    bias = tf.constant([0.0, 0, 0, 0, -1e9])[None, None, None] * tf.ones([2, 1, 1, 1])
    dropout = Dropout(seed=5, step=tf.constant(6), example_B=tf.range(2))
    rows = tf.range(5)[None]
    mask = dropout.attention_probs_mask(1, 0.4, rows_BR=rows, columns=5, heads=3)
    feature_mask = dropout.hidden_mask(2, 0.4, rows_BR=rows, columns=8)

    def factor(mask):
        return tf.cast(mask.keep(), tf.float32) / mask.keep_probability

    def plain_attention(q, k, v):
        scores = tf.matmul(q, k, transpose_b=True) * 8**-0.5 + bias
        return tf.matmul(tf.nn.softmax(scores) * factor(mask), v)

    def compare(function, plain, inputs, weights):
        results = []
        for compute in (function, plain):

            @tf.function(jit_compile=jit_compile)
            def value_and_gradients(compute=compute):
                with tf.GradientTape() as tape:
                    tape.watch(inputs)
                    y = compute(*inputs)
                    loss = tf.reduce_sum(y * weights)
                return [y, *tape.gradient(loss, inputs)]

            results.append(value_and_gradients())
        for one, wanted in zip(*results, strict=True):
            np.testing.assert_allclose(one, wanted, atol=2e-6)
            assert np.abs(wanted).max() > 0.1

    compare(lambda *x: attention(*x, bias, mask), plain_attention, [q, k, v], weights)
    inputs = [q[:, 0], k[:, 0], v[0, 0, 0]]
    compare(
        lambda x, y, b: bias_dropout_add(x, y, b, feature_mask),
        lambda x, y, b: x + (y + b) * factor(feature_mask),
        inputs,
        weights[:, 0],
    )
    compare(
        lambda x: apply_dropout(x, feature_mask),
        lambda x: x * factor(feature_mask),
        inputs[:1],
        weights[:, 0],
    )


def test_layer_norm_of_equal_values_is_finite():
    """Their variance is 0, and rounding must not make the root of a negative number of it."""
    x = tf.constant([0.1, 1e-6, 333.33, -7e4])[:, None] * tf.ones([4, 12])
    y = layer_norm(x, tf.ones([12]), tf.range(12.0), tf.float32)
    assert np.isfinite(y).all()


@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
@pytest.mark.parametrize("jit_compile", [False, True], ids=["ops", "compiled"])
def test_sums_over_rows_do_not_stand_still(dtype, jit_compile):
    """In bfloat16 256 + 1 is 256."""
    ones = tf.ones([4, 512, 3], dtype)
    sums = tf.function(sum_rows, jit_compile=jit_compile)(ones)
    assert sums.dtype == tf.float32
    assert sums.numpy().tolist() == [2048.0, 2048.0, 2048.0]


@pytest.mark.parametrize("jit_compile", [False, True], ids=["ops", "compiled"])
def test_attention_in_bfloat16_has_no_bias(jit_compile):
    """Its gradients are those of float32 and noise: 0.9 in bfloat16 would scale some by 1.0017."""
    rng = np.random.default_rng(0)
    q, k, v, dy = (
        tf.cast(tf.constant(rng.normal(size=(2, 2, 64, 32)), tf.float32), tf.bfloat16)
        for _ in range(4)
    )

    @tf.function(jit_compile=jit_compile)
    def gradients(*inputs):
        *qkv, dy = inputs
        dropout = Dropout(seed=0, step=tf.constant(0), example_B=tf.range(2))
        mask = dropout.attention_probs_mask(1, 0.1, rows_BR=tf.range(64)[None], columns=64, heads=2)
        with tf.GradientTape() as tape:
            tape.watch(qkv)
            y = attention(*qkv, tf.zeros([2, 1, 1, 64], dy.dtype), mask)
        return tape.gradient(y, qkv, dy)

    halves = gradients(q, k, v, dy)
    wanted = gradients(*(tf.cast(x, tf.float32) for x in (q, k, v, dy)))
    for half, whole in zip(halves, wanted, strict=True):
        scale = tf.reduce_sum(tf.cast(half, tf.float32) * whole) / tf.reduce_sum(whole**2)
        assert abs(scale - 1) < 8e-4


def test_bfloat16_stays_near_float32():
    """One rounding in bfloat16 is 2**-9 = 0.002; a model of three blocks is some of them away."""
    ours, _ = pair(config())
    half = Pretrainer(config(), seed=4, dtype=tf.bfloat16)
    for variable, value in zip(half.variables, ours.variables, strict=True):
        variable.assign(value)
    refresh_compute_weights(half)
    features = batch()
    assert half.logits(features).dtype == tf.bfloat16
    dropout = Dropout(seed=1, step=tf.constant(2), example_B=tf.range(3))
    results = []
    for model in (half, ours):
        variables = list(model.trainable_variables)
        assert {variable.dtype for variable in variables} == {tf.float32}
        compute = lambda model=model: model.logits(features, dropout=dropout)  # noqa: E731
        results.append(sums_and_gradients(compute, variables, features))
    (sums, gradients), (expected_sums, expected) = results
    np.testing.assert_allclose(sums[0], expected_sums[0], rtol=0.01)
    for variable, one, wanted in zip(ours.trainable_variables, gradients, expected, strict=True):
        if "key/bias" not in variable.name:  # its gradient is zero but for rounding
            assert relative_error(one, wanted) < 0.05, variable.name


def test_an_update_with_lamb_equals_that_of_tf_models():
    ours, theirs = pair(config())
    features = batch()
    settings = {
        "weight_decay_rate": 0.01,
        "exclude_from_weight_decay": ["layer_norm", "LayerNorm", "bias"],
        "exclude_from_layer_adaptation": ["layer_norm", "LayerNorm", "bias"],
        "epsilon": 1e-3,  # LAMB divides by the gradient's size; without it rounding would decide
    }
    their_variables = trained_variables(ours, theirs)
    before = [variable.numpy() for variable in their_variables]
    for variables, logits in (
        (list(ours.trainable_variables), lambda: ours.logits(features)),
        (
            their_variables,
            lambda: theirs(theirs_inputs(theirs, features), training=True)["mlm_logits"],
        ),
    ):
        _, gradients = sums_and_gradients(logits, variables, features)
        LAMB(0.05, **settings).apply_gradients(zip(gradients, variables, strict=True))
    for ours_, theirs_, old in zip(ours.trainable_variables, their_variables, before, strict=True):
        change = np.reshape(theirs_.numpy() - old, ours_.shape)
        found = ours_.numpy() - np.reshape(old, ours_.shape)
        if "key/bias" in ours_.name:  # its gradient is rounding alone
            np.testing.assert_allclose(found, change, atol=1e-4)
        else:
            assert relative_error(found, change) < 1e-3, ours_.name
            assert np.abs(change).max() > 1e-3, ours_.name


class TestWeights:
    def test_there_and_back(self):
        ours, theirs = pair(config())
        other = build_tf_models(config(), seed=9)
        pooler = [v.numpy() for v in other.encoder_network.pooler_layer.trainable_variables]
        to_tf_models(ours, other)
        for one, wanted in zip(
            trained_variables(ours, other), ours.trainable_variables, strict=True
        ):
            np.testing.assert_array_equal(np.reshape(one, wanted.shape), wanted)
        kept = other.encoder_network.pooler_layer.trainable_variables
        for variable, value in zip(kept, pooler, strict=True):
            np.testing.assert_array_equal(variable, value)
        features = theirs_inputs(theirs, batch())
        np.testing.assert_array_equal(other(features)["mlm_logits"], theirs(features)["mlm_logits"])

    def test_names_and_numbers_are_tf_models(self):
        ours, theirs = pair(config())
        names = [variable.name for variable in trained_variables(ours, theirs)]
        assert names == [variable.name for variable in ours.trainable_variables]
        assert len(names) == len(set(names)) == len(theirs.trainable_variables) - 2

    def test_other_architectures_are_refused(self):
        ours = Pretrainer(config(layers=1), seed=0)
        with pytest.raises(ValueError, match=r"variables of one model only: .*layer_1"):
            to_tf_models(ours, build_tf_models(config(layers=2), seed=0))

    def test_initial_values(self):
        wide = config(hidden=128, inner=512)
        first, second, other = (Pretrainer(wide, seed=seed) for seed in (7, 7, 8))
        for a, b, c in zip(first.variables, second.variables, other.variables, strict=True):
            np.testing.assert_array_equal(a, b)
            if a.shape.rank == 2:
                assert not np.array_equal(a, c)
                assert abs(np.mean(a)) < 0.01
                # A normal cut at two standard deviations has 0.88 of its spread.
                np.testing.assert_allclose(np.std(a), 0.2 * 0.8796, rtol=0.1)
                assert 0.38 < np.abs(a).max() <= 0.4
            else:
                np.testing.assert_array_equal(a, np.full(a.shape, float("gamma" in a.name)))
        kernels = [v.numpy() for v in first.variables if v.shape == (128, 128)]
        assert len({kernel.tobytes() for kernel in kernels}) == len(kernels)


@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
def test_the_compiled_step_is_fit_for_a_tpu(dtype):
    """No dynamic shapes and no doubles, which `jit_compile` on a CPU would let pass."""
    model = Pretrainer(config(layers=2, rate=0.1), seed=0, dtype=dtype)
    variables, features = list(model.trainable_variables), batch()
    optimizer = LAMB(0.01)
    optimizer.build(variables)

    @tf.function(jit_compile=True)
    def step(features):
        with tf.GradientTape() as tape:
            size = features["input_word_ids"].shape[0]
            dropout = Dropout(seed=1, step=optimizer.iterations, example_B=tf.range(size))
            logits = model.logits(features, dropout=dropout)
            sums = mlm_sums(logits, features["masked_lm_ids"], features["masked_lm_weights"])
        gradients = [tf.convert_to_tensor(g) for g in tape.gradient(sums[0], variables)]
        gradients, _ = tf.clip_by_global_norm(gradients, 1.0)
        optimizer.apply_gradients(
            zip(gradients, variables, strict=True), skip_gradients_aggregation=True
        )
        return sums[0]

    text = step.experimental_get_compiler_ir(features)(stage="stablehlo")
    assert "stablehlo.dot" in text
    assert "ui32" in text
    for unfit in ("f64", "set_dimension_size", "#stablehlo.bounds"):
        assert unfit not in text
    if dtype == tf.bfloat16:
        products = [line for line in text.splitlines() if "stablehlo.dot" in line]
        in_float32 = [line for line in products if "bf16" not in line]
        # Types of segments: the embedding, its gradient, and that of its sum over the batch.
        assert len(in_float32) <= 3, in_float32
