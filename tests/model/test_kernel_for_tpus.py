"""The stored kernels for TPUs, interpreted: dropout masks, outputs and gradients."""

import numpy as np
import pytest
import tensorflow as tf

from model.dropout import Dropout
from model.kernels import texts
from tests.support import mosaic

BATCH, HEADS, POSITIONS = 2, 4, 512
RATE = 0.1
# Outputs and gradients are bfloat16.
TOLERANCE = 0.004


@pytest.fixture(scope="module")
def found():
    """Masks of the forward and the backward pass, inputs, and outputs with gradients."""
    dropout = Dropout(seed=12345, step=tf.constant(7), example_B=tf.constant([3, 2**31 - 1]))
    mask = dropout.attention_probs_mask(4, RATE, rows_BR=None, columns=POSITIONS, heads=HEADS)
    rng = np.random.default_rng(0)
    shape = (BATCH, POSITIONS, HEADS * texts.HEAD_SIZE)
    q, k, v, dy = (rng.standard_normal(shape).astype(mosaic.BFLOAT16) for _ in range(4))
    bias = np.zeros((BATCH, POSITIONS, 1), np.float32)
    bias[1, 400:] = -1e9
    y, dq, dk, dv = (np.zeros(shape, mosaic.BFLOAT16) for _ in range(4))
    lse = np.zeros((BATCH, HEADS // 2, 2, POSITIONS), np.float32)
    threshold = np.array([mask.threshold ^ (1 << 31)], np.uint32).view(np.int32)
    scalars = [
        mask.key.numpy().view(np.int32),
        threshold,
        np.array([1 / mask.keep_probability], np.float32),
    ]
    masks = {"forward": [], "backward": []}
    for b in range(BATCH):
        for pair in range(HEADS // 2):
            lanes = slice(pair * 128, pair * 128 + 128)
            blocks = [x[b : b + 1, :, lanes] for x in (q, k, v, y, dy, dq, dk, dv)]
            statistics = lse[b : b + 1, pair : pair + 1]
            inputs = [*scalars, *blocks[:3], bias[b : b + 1]]
            masks["forward"].append(_run("forward", (b, pair, 0), [*inputs, blocks[3], statistics]))
            more = [blocks[3], statistics, *blocks[4:]]
            masks["backward"].append(_run("backward", (b, pair, 0), [*inputs, *more]))
    inputs = {"q": q, "k": k, "v": v, "dy": dy, "bias": bias}
    return mask, masks, inputs, {"y": y, "dq": dq, "dk": dk, "dv": dv}


def _run(kernel, rounds, blocks):
    text = texts._text(f"tpu-512-{kernel}").substitute(batch=BATCH, pairs=HEADS // 2)
    return mosaic.run(text, rounds, blocks)


@pytest.mark.parametrize("kernel", ["forward", "backward"])
def test_masks_are_those_of_the_other_forms_to_the_bit(found, kernel):
    """A kernel compares the hashes of keys by queries, head by head, in one or several chunks of queries."""
    mask, masks, _, _ = found
    keep = mask.keep().numpy()
    assert 0.899 < keep.mean() < 0.901
    for place, compared in enumerate(masks[kernel]):
        b, pair = divmod(place, HEADS // 2)
        for head in range(2):
            kept_TS = np.concatenate(compared[head::2], axis=1)
            np.testing.assert_array_equal(kept_TS.T, keep[b, 2 * pair + head])


@pytest.mark.parametrize("name", ["y", "dq", "dk", "dv"])
def test_outputs_and_gradients_equal_those_in_float64(found, name):
    mask, _, inputs, results = found
    expected = _reference(inputs, mask.keep().numpy() / mask.keep_probability)[name]
    result = results[name].astype(np.float64)
    assert np.linalg.norm(result - expected) < TOLERANCE * np.linalg.norm(expected)


def _reference(inputs, factor_BAST):
    shape = inputs["q"].shape

    def heads(x):
        x = x.astype(np.float64).reshape(BATCH, POSITIONS, HEADS, texts.HEAD_SIZE)
        return x.transpose(0, 2, 1, 3)

    q, k, v, dy = (heads(inputs[name]) for name in ("q", "k", "v", "dy"))
    bias_B11T = inputs["bias"].astype(np.float64).transpose(0, 2, 1)[:, None]
    scores = q @ k.swapaxes(2, 3) / 8 + bias_B11T
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    dweights = (dy @ v.swapaxes(2, 3)) * factor_BAST
    dscores = weights * (dweights - (dweights * weights).sum(-1, keepdims=True)) / 8
    results = {
        "y": (weights * factor_BAST) @ v,
        "dq": dscores @ k,
        "dk": dscores.swapaxes(2, 3) @ q,
        "dv": (weights * factor_BAST).swapaxes(2, 3) @ dy,
    }
    return {name: x.transpose(0, 2, 1, 3).reshape(shape) for name, x in results.items()}
