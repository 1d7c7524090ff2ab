"""Exports in ONNX Runtime, converted by tf2onnx as in docs/interoperability.md."""

import subprocess

import numpy as np
import pytest
import tensorflow as tf

from tests.support.paths import ROOT, SUPPORT

ONNX_PYTHON = ROOT / ".venv-onnx/bin/python"


@pytest.mark.parity
@pytest.mark.skipif(not ONNX_PYTHON.exists(), reason="needs .venv-onnx: make test-parity")
@pytest.mark.parametrize("signature", ["serving_default", "mlm"])
def test_outputs_equal_those_of_the_saved_model(published, tmp_path, signature):
    """With padding; sizes of batch, sequence and predictions are dynamic."""
    encoder, model = published.export_dir / "encoder", tmp_path / "model.onnx"
    flags = {"saved-model": encoder, "signature_def": signature, "opset": 17, "output": model}
    convert = [str(part) for name, value in flags.items() for part in (f"--{name}", value)]
    run([ONNX_PYTHON, "-m", "tf2onnx.convert", *convert])
    loaded = tf.saved_model.load(str(encoder)).signatures[signature]
    rng = np.random.default_rng(0)
    for batch, length, predictions in ((3, 12, 4), (1, 64, 7)):
        inputs = {
            "input_word_ids": rng.integers(0, 1500, [batch, length]),
            "input_mask": np.arange(length)[None] < rng.integers(1, length, [batch, 1]),
            "input_type_ids": rng.integers(0, 2, [batch, length]),
        }
        if signature == "mlm":
            inputs["masked_lm_positions"] = rng.integers(0, length, [batch, predictions])
        inputs = {name: value.astype(np.int32) for name, value in inputs.items()}
        np.savez(tmp_path / "in.npz", **inputs)
        script = SUPPORT / "onnx_outputs.py"
        run([ONNX_PYTHON, script, model, tmp_path / "in.npz", tmp_path / "out.npz"])
        expected = loaded(**{name: tf.constant(value) for name, value in inputs.items()})
        with np.load(tmp_path / "out.npz") as found:
            assert set(found) == set(expected)
            for name, value in expected.items():
                assert np.std(value) > 0.01
                np.testing.assert_allclose(found[name], value, rtol=0, atol=1e-5)


def run(command: list) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
