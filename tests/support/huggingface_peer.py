"""Models in transformers, which is installed in the environment of the parity tests."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.support.paths import ROOT, SUPPORT

PARITY_PYTHON = ROOT / ".venv-parity/bin/python"
needs_parity = pytest.mark.skipif(
    not PARITY_PYTHON.exists(), reason="needs .venv-parity: make test-parity"
)
SENTENCES = ["The Phoenix and the bird of loudest lay.", "On the sole [MASK] tree.", "Über, naïve."]


def transformers_on(directory: Path, texts: list[str], tmp_path: Path) -> dict[str, np.ndarray]:
    """Return token ids, hidden states, and logits or pooled output; loading must not warn."""
    (tmp_path / "texts.json").write_text(json.dumps(texts))
    script = SUPPORT / "huggingface_load.py"
    command = [PARITY_PYTHON, script, directory, tmp_path / "texts.json", tmp_path / "out.npz"]
    environment = {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout) == {"complaints": {}, "tokenizer": "BertTokenizer"}
    assert "REPORT" not in done.stderr
    assert "warning" not in done.stderr.lower()
    with np.load(tmp_path / "out.npz") as arrays:
        return dict(arrays)


def our_features(theirs: dict[str, np.ndarray]) -> dict[str, tf.Tensor]:
    names = {
        "input_word_ids": "input_ids",
        "input_mask": "attention_mask",
        "input_type_ids": "token_type_ids",
    }
    features = {ours: tf.constant(theirs[name], tf.int32) for ours, name in names.items()}
    batch, length = theirs["input_ids"].shape
    features["masked_lm_positions"] = tf.tile(tf.range(length)[None], [batch, 1])
    return features
