"""Barriers between forward and backward pass for GPUs, and dropout masks kept between them on TPUs."""

import contextlib
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from launch.accelerators.tpus import TPUS
from model import tracing
from model.attention import attention
from model.dropout import Dropout
from model.layers import apply_dropout, bias_dropout_add, bias_gelu
from model.tracing import tracing_for
from tests.support.paths import ROOT

HIDDEN, HEADS, LENGTH, BATCH = 8, 2, 4, 3


def step():
    """Return a compiled function of its own: gradients of a block with dropout at three sites."""

    @tf.function(jit_compile=True, autograph=False)
    def gradients(x_BSH, bias_H, number):
        dropout = Dropout(seed=1, step=number, example_B=tf.range(BATCH))
        rows = tf.range(LENGTH)[None]
        hidden = [dropout.hidden_mask(site, 0.3, rows_BR=rows, columns=HIDDEN) for site in range(2)]
        weights = dropout.attention_probs_mask(2, 0.3, rows_BR=rows, columns=LENGTH, heads=HEADS)
        with tf.GradientTape() as tape:
            tape.watch((x_BSH, bias_H))
            y_BSH = apply_dropout(x_BSH, hidden[0])
            heads = tf.transpose(tf.reshape(y_BSH, [BATCH, LENGTH, HEADS, -1]), [0, 2, 1, 3])
            out = attention(heads, heads, heads, tf.zeros([BATCH, 1, 1, LENGTH]), weights)
            out_BSH = tf.reshape(tf.transpose(out, [0, 2, 1, 3]), x_BSH.shape)
            y_BSH = bias_dropout_add(y_BSH, out_BSH, bias_H, hidden[1])
            loss = tf.reduce_sum(bias_gelu(y_BSH, bias_H, "gelu_tanh") ** 2)
        return tape.gradient(loss, (x_BSH, bias_H))

    return gradients


def inputs():
    rng = np.random.default_rng(0)
    shapes = ((BATCH, LENGTH, HIDDEN), (HIDDEN,))
    values = [tf.constant(rng.normal(size=shape).astype(np.float32)) for shape in shapes]
    return [
        *values,
        tf.constant(2),
    ]  # the last one is no constant for XLA, which would compute masks itself


# One for each mask and one for gelu.
@pytest.mark.parametrize(("device", "barriers"), [("GPU", 4), ("v5e", 0), (None, 0)])
def test_barriers_of_recomputations_are_for_gpus(device, barriers):
    with tracing_for(device) if device else contextlib.nullcontext():
        text = step().experimental_get_compiler_ir(*inputs())(stage="stablehlo")
    assert text.count("optimization_barrier") == barriers


def hashed_masks(text: str) -> int:
    """Return how many times a program multiplies hashes of whole masks."""
    shapes = [
        f"tensor<{BATCH}x{LENGTH}x{HIDDEN}xui32>",
        f"tensor<{BATCH}x{HEADS}x{LENGTH}x{LENGTH}xui32>",
    ]
    products = [line for line in text.splitlines() if "stablehlo.multiply" in line]
    return sum(shape in line for line in products for shape in shapes) // 2


@pytest.mark.parametrize(
    ("accelerator", "times", "barriers"),
    [("v3-8", 3, 3), ("v4-8", 3, 3), ("v5litepod-8", 7, 0), ("v6e-8", 7, 0), ("", 7, 0)],
)
def test_masks_are_hashed_once_where_multiplications_are_slow(
    monkeypatch, accelerator, times, barriers
):
    monkeypatch.setenv("TPU_ACCELERATOR_TYPE", accelerator)
    text = step().experimental_get_compiler_ir(*inputs())(stage="stablehlo")
    assert hashed_masks(text) == times
    assert text.count("optimization_barrier") == barriers


def test_the_table_of_tpus_says_which_multiply_slowly():
    found = {tpu.name for tpu in TPUS.values() if not tpu.multiplies_integers}
    assert found == set(tracing._WITHOUT_MULTIPLICATION)


# Fused, the two programs may be vectorised differently, and how depends on the instructions of the machine:
# with AVX-512 their sums over a batch differ in the last bit. XLA reads its flags once in a process.
PROGRAM = """
from model.tracing import tracing_for
from tests.model.test_tracing import inputs, step

found = [step()(*inputs())]
for device in ("GPU", "v4"):
    with tracing_for(device):
        found.append(step()(*inputs()))
for gradients in found:
    print(*(gradient.numpy().tobytes().hex() for gradient in gradients))
"""


def test_barriers_change_no_gradient():
    environment = {**os.environ, "XLA_FLAGS": "--xla_disable_hlo_passes=fusion"}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    plain, for_gpus, for_v4 = done.stdout.splitlines()
    assert plain == for_gpus == for_v4


def test_devices_of_this_machine_decide(monkeypatch):
    monkeypatch.setattr(tf.config, "list_logical_devices", {"GPU": ["GPU:0"]}.get)
    text = step().experimental_get_compiler_ir(*inputs())(stage="stablehlo")
    assert text.count("optimization_barrier") == 4
