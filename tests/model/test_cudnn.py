"""Attention by cuDNN: the calls of it, and where it is refused. `make bench-gpu` checks its numbers."""

import re

import pytest
import tensorflow as tf

from data.errors import UserError
from model.attention import attention
from model.config import EncoderConfig
from model.dropout import Dropout
from pretrain.train.config import TrainConfig
from pretrain.train.recipe import check_device, choose_kernels

LARGE = {"hidden_size": 1024, "num_attention_heads": 16, "attention_probs_dropout_prob": 0.0}


def test_a_compiled_step_calls_cudnn_in_both_passes():
    """Without copies of queries, keys and values: all are [B, S, A, D] in memory."""

    @tf.function(jit_compile=True, autograph=False)
    def step(x_BSH, dy_BSH):
        def heads(x_BSH):
            return tf.transpose(tf.reshape(x_BSH, [3, 96, 4, 32]), [0, 2, 1, 3])

        with tf.GradientTape() as tape:
            tape.watch(x_BSH)
            bias_B11T = tf.zeros([3, 1, 1, 96], tf.bfloat16)
            y = attention(*[heads(x_BSH)] * 3, bias_B11T, None, kernels="cudnn")
            y_BSH = tf.reshape(tf.transpose(y, [0, 2, 1, 3]), [3, 96, 128])
        return y_BSH, tape.gradient(y_BSH, x_BSH, dy_BSH)

    spec = tf.TensorSpec((3, 96, 128), tf.bfloat16)
    text = step.experimental_get_compiler_ir(spec, spec)(stage="stablehlo")
    calls = re.findall(r"custom_call @__cudnn\$(\w+)\(.* : \((.*)\) -> ", text)
    assert [name for name, _ in calls] == ["fmhaSoftmax", "fmhaSoftmaxBackward"]
    heads, lengths = ["tensor<3x96x4x32xbf16>"] * 3, ["tensor<3xi32>"] * 2
    statistics = ["tensor<3x4x96xf32>"]
    assert [operands.split(", ") for _, operands in calls] == [
        [*heads, *lengths],
        [*heads, *statistics, *heads[:2], *lengths],
    ]
    assert "96x96x" not in re.sub(r'"[^"]*"', "", text)
    optimized = step.experimental_get_compiler_ir(spec, spec)(stage="hlo")
    assert "fmha_scale" in optimized


def test_dropout_is_refused():
    x_BASD = tf.zeros([1, 2, 64, 64], tf.bfloat16)
    dropout = Dropout(seed=5, step=tf.constant(6), example_B=tf.range(1))
    mask = dropout.attention_probs_mask(1, 0.1, rows_BR=None, columns=64, heads=2)
    with pytest.raises(ValueError, match="attention by cuDNN has no dropout"):
        attention(x_BASD, x_BASD, x_BASD, tf.zeros([1, 1, 1, 64]), mask, kernels="cudnn")


@pytest.mark.parametrize("device", ["hopper", "gpu"])
@pytest.mark.parametrize("seq_length", [100, 512, 4096])
def test_it_takes_any_length(device, seq_length):
    train = TrainConfig(attention="cudnn")
    encoder = EncoderConfig(**LARGE)
    check_device(train, device)
    assert choose_kernels(train, encoder, device=device, seq_length=seq_length) == "cudnn"


@pytest.mark.parametrize(
    ("device", "train", "encoder", "message"),
    [
        ("cpu", {}, {}, "on a CPU: it is for GPUs of compute capability 8.0 and more"),
        ("v5e", {}, {}, "on a TPU v5e: it is for GPUs of compute capability 8.0 and more"),
        ("pre-ampere", {}, {}, "on a GPU older than Ampere: it is for GPUs"),
        (
            "hopper",
            {},
            {"attention_probs_dropout_prob": 0.1},
            "attention_probs_dropout_prob=0.1 must",
        ),
        ("hopper", {"precision": "float32"}, {}, "TrainConfig.precision must be 'mixed_bfloat16'"),
        ("gpu", {"jit_compile": "off"}, {}, "TrainConfig.jit_compile is 'off'"),
        ("gpu", {}, {"num_attention_heads": 4}, "heads have size 256, and it takes multiples of 8"),
    ],
    ids=["cpu", "tpu", "old-gpu", "dropout", "float32", "not-compiled", "head-size"],
)
def test_where_it_cannot_be_it_is_an_error(device, train, encoder, message):
    train = TrainConfig(attention="cudnn", **train)
    with pytest.raises(UserError) as caught:
        choose_kernels(train, EncoderConfig(**{**LARGE, **encoder}), device=device, seq_length=512)
    assert re.fullmatch(
        rf"TrainConfig\.attention='cudnn' .*{message}.*; set it to 'auto' or 'xla'",
        str(caught.value),
    )


@pytest.mark.parametrize("device", ["cpu", "v3", "v5e", "pre-ampere"])
def test_a_job_is_refused_before_it_is_submitted(device):
    with pytest.raises(UserError, match=r"TrainConfig\.attention='cudnn' on a"):
        check_device(TrainConfig(attention="cudnn"), device)
