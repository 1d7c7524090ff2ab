"""Kernels of attention: their texts, the calls of them, and the choice between them and XLA."""

import json
import re
import shutil

import pytest
import tensorflow as tf

from data.errors import UserError
from launch.accelerators.chips import this_cpu
from launch.accelerators.gpus import GPUS
from launch.accelerators.tpus import TPUS
from model.attention import attention
from model.config import EncoderConfig
from model.dropout import Dropout
from model.kernels import texts
from model.kernels.devices import DEVICES, problem
from pretrain.train.config import TrainConfig
from pretrain.train.recipe import choose_kernels
from tests.support.paths import ROOT

LARGE = EncoderConfig(hidden_size=1024, num_attention_heads=16)
NAMES = {"tpu": ("forward", "backward"), "gpu": ("forward", "backward_queries", "backward_keys")}
TARGETS = {"tpu": "tpu_custom_call", "gpu": "__gpu$xla.gpu.triton"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A copy of the texts that a test may damage."""
    copy = tmp_path / "kernels"
    shutil.copytree(texts._FOLDER, copy)
    monkeypatch.setattr(texts, "_FOLDER", copy)
    _forget()
    yield copy
    _forget()


def _forget():
    texts._index.cache_clear()
    texts._text.cache_clear()


def test_every_text_is_in_the_index_and_intact():
    index = json.loads((texts._FOLDER / "index.json").read_text())["kernels"]
    assert set(index) == {
        f"{device}-{positions}-{name}"
        for device, names in NAMES.items()
        for name in names
        for positions in (512, 1024, 2048)
    }
    assert {path.stem for path in texts._FOLDER.glob("*.mlir")} == set(index)
    for name in index:
        assert texts._text(name).is_valid(), name


def test_a_damaged_text_is_an_error_of_one_line(folder):
    path = folder / "tpu-512-forward.mlir"
    path.write_bytes(path.read_bytes().replace(b"2146121005", b"2146121007", 1))
    sizes = texts.Sizes(batch=8, positions=512, heads=16)
    with pytest.raises(UserError, match=r"tpu-512-forward\.mlir is damaged: its sha256 .*install"):
        texts.stablehlo("tpu", "forward", sizes, arguments=[], results=[])
    path.unlink()
    with pytest.raises(
        UserError, match=r"tpu-512-forward\.mlir: No such file or directory; .*make"
    ):
        texts.stablehlo("tpu", "forward", sizes, arguments=[], results=[])


def test_a_damaged_index_is_an_error_of_one_line(folder):
    (folder / "index.json").write_text('{"kernels": [')
    with pytest.raises(UserError, match=r"index\.json is damaged: it is not JSON.*; install the"):
        problem("v5e", positions=512, heads=16, head_size=64, dtype="bfloat16")


def test_a_batch_beyond_32_bits_is_an_error():
    sizes = texts.Sizes(batch=4096, positions=512, heads=16)
    with pytest.raises(UserError, match="4096 sequences is too large; lower"):
        texts.stablehlo("gpu", "forward", sizes, arguments=[], results=[])


@pytest.mark.parametrize("rate", [0.1, 0.0])
@pytest.mark.parametrize("device", list(NAMES))
def test_a_compiled_step_calls_the_kernels(device, rate):
    """Forward and backward pass, with the sizes of the call filled in, and no [S, T] left in XLA's part."""

    @tf.function(jit_compile=True, autograph=False)
    def step(q_BASD, k_BATD, v_BATD, dy_BASD):
        dropout = Dropout(seed=5, step=tf.constant(6), example_B=tf.range(3))
        mask = dropout.attention_probs_mask(1, rate, rows_BR=None, columns=512, heads=4)
        with tf.GradientTape() as tape:
            tape.watch((q_BASD, k_BATD, v_BATD))
            bias_B11T = tf.zeros([3, 1, 1, 512], tf.bfloat16)
            y_BASD = attention(q_BASD, k_BATD, v_BATD, bias_B11T, mask, kernels=device)
        return y_BASD, *tape.gradient(y_BASD, (q_BASD, k_BATD, v_BATD), dy_BASD)

    spec = tf.TensorSpec((3, 4, 512, 64), tf.bfloat16)
    text = step.experimental_get_compiler_ir(*[spec] * 4)(stage="stablehlo")
    calls = [line for line in text.splitlines() if f"custom_call @{TARGETS[device]}(" in line]
    assert len(calls) == len(NAMES[device])
    assert all("tensor<3x512x256xbf16>" in call for call in calls)
    assert "512x512x" not in re.sub(r'"[^"]*"', "", text)


def test_unknown_kinds_of_devices_are_errors():
    x_BASD = tf.zeros([1, 2, 512, 64], tf.bfloat16)
    with pytest.raises(ValueError, match="kernels='npu': must be one of tpu, gpu, cudnn"):
        attention(x_BASD, x_BASD, x_BASD, tf.zeros([1, 1, 1, 512]), None, kernels="npu")


@pytest.mark.parametrize(
    ("setting", "device", "kernels"),
    [
        *(("xla", device, None) for device in DEVICES),
        *(("auto", device, None) for device in DEVICES if device != "hopper"),
        ("auto", "hopper", "gpu"),
        *(("kernel", device, "tpu") for device in ("v4", "v5e", "v5p", "v6e")),
        *(("kernel", device, "gpu") for device in ("hopper", "gpu")),
    ],
)
@pytest.mark.parametrize("seq_length", [512, 1024, 2048])
def test_kernels_are_chosen_where_asked_for_or_measured(setting, device, kernels, seq_length):
    train = TrainConfig(attention=setting)
    assert choose_kernels(train, LARGE, device=device, seq_length=seq_length) == kernels


def test_by_default_other_sizes_are_left_to_xla():
    precise = TrainConfig(precision="float32")
    assert choose_kernels(precise, LARGE, device="hopper", seq_length=512) is None
    assert choose_kernels(TrainConfig(), LARGE, device="hopper", seq_length=128) is None
    uncompiled = TrainConfig(jit_compile="off")
    assert choose_kernels(uncompiled, LARGE, device="hopper", seq_length=512) is None


@pytest.mark.parametrize(
    ("device", "train", "encoder", "length", "message"),
    [
        ("cpu", {}, {}, 512, "on a CPU: there are kernels for TPUs and GPUs only"),
        ("v3", {}, {}, 512, "on a TPU v3: the TPU compiler refuses the kernels for this TPU"),
        ("tpu", {}, {}, 512, "on an unknown TPU: .*TPU_ACCELERATOR_TYPE, such as v5litepod-8"),
        ("pre-ampere", {}, {}, 512, "on a GPU older than Ampere: .* compute capability 8.0"),
        (
            "v5e",
            {"precision": "float32"},
            {},
            512,
            "TrainConfig.precision must be 'mixed_bfloat16'",
        ),
        ("gpu", {"jit_compile": "off"}, {}, 512, "TrainConfig.jit_compile is 'off'"),
        ("v6e", {}, {}, 128, "on a TPU v6e: sequences have 128 tokens, and .* 512, 1024, 2048"),
        ("gpu", {}, {"num_attention_heads": 8}, 512, "heads have size 128, and .* of size 64"),
        (
            *("v5e", {}, {"hidden_size": 960, "num_attention_heads": 15}, 512),
            "num_attention_heads=15 is odd",
        ),
    ],
    ids=[
        "cpu",
        "v3",
        "unknown-tpu",
        "old-gpu",
        "float32",
        "not-compiled",
        "length",
        "head-size",
        "odd",
    ],
)
def test_asking_for_kernels_that_do_not_exist_is_an_error(device, train, encoder, length, message):
    train = TrainConfig(attention="kernel", **train)
    encoder = EncoderConfig(**{"hidden_size": 1024, "num_attention_heads": 16, **encoder})
    with pytest.raises(UserError) as caught:
        choose_kernels(train, encoder, device=device, seq_length=length)
    assert re.fullmatch(
        rf"TrainConfig\.attention='kernel' .*{message}.*; set it to 'auto' or 'xla'",
        str(caught.value),
    )


def test_the_documented_table_is_that_of_the_code():
    text = (ROOT / "docs/performance.md").read_text().partition("## Attention as a kernel")[2]
    rows = [line.split("|")[1:4] for line in text.splitlines() if re.match(r"\| `\w", line)]
    expected = {
        name: (device.kernels or "none", "kernels" if device.is_default else "XLA")
        for name, device in DEVICES.items()
    }
    found = {name.strip(" `"): (kernels.strip(), auto.strip()) for name, kernels, auto in rows}
    assert found == expected


def test_every_chip_has_a_row_in_the_table_of_kernels():
    kinds = {chip.device_kind for chip in (*TPUS.values(), *GPUS.values(), this_cpu())}
    # Without the environment variable, TensorFlow does not know which TPU it has.
    assert kinds | {"tpu"} == DEVICES.keys()
    for device in DEVICES.values():
        assert bool(device.problem) != bool(device.kernels)
        assert device.kernels or not device.is_default
