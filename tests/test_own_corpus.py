"""Run docs/own-corpus.md with smaller settings: write its files and run its commands in order."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.markdown import ROOT, code_blocks

PAGE = ROOT / "docs/own-corpus.md"
TRANSFORMERS = ROOT / ".venv-parity/bin/python"

# Smaller settings for each gin file of the page, appended to it: the last value counts.
SMALLER = {
    "my_data.gin": [
        "BuildConfig.max_seq_length = 64",
        "BuildConfig.max_predictions = 10",
        "BuildConfig.num_shards = 2",
        "BuildConfig.eval_fraction = 0.2",
    ],
    "my_model.gin": [
        "EncoderConfig.num_hidden_layers = 2",
        "EncoderConfig.hidden_size = 32",
        "EncoderConfig.num_attention_heads = 2",
        "EncoderConfig.intermediate_size = 64",
        "EncoderConfig.max_position_embeddings = 64",
        "TrainConfig.train_steps = 40",
        "TrainConfig.eval_interval = 20",
        "OptimizerConfig.peak_learning_rate = 0.02",
    ],
    "continue.gin": [
        "TrainConfig.train_steps = 4",
        "TrainConfig.eval_interval = 2",
    ],
}
FOR_BOTH_RUNS = [
    "TrainConfig.global_batch_size = 8",
    "TrainConfig.micro_batch_size = 4",
    "TrainConfig.eval_batch_size = 8",
    "TrainConfig.log_interval = 1",
    "TrainConfig.checkpoint_interval = 2",
    "TrainConfig.precision = 'float32'",
    "OptimizerConfig.warmup_steps = 2",
]


def write_texts(folder: Path, books: Path) -> None:
    """Write the golden books, ten paragraphs per document."""
    folder.mkdir()
    for book in sorted(books.glob("*.txt")):
        paragraphs = book.read_text(encoding="utf-8").split("\n\n")
        for first in range(0, len(paragraphs), 10):
            text = "\n\n".join(paragraphs[first : first + 10])
            (folder / f"{book.stem}-{first:04}.txt").write_text(text, encoding="utf-8")


def run(command: str, folder: Path) -> str:
    """Run a line of the page in a shell, with this Python and this checkout."""
    python = Path(sys.executable).parent
    path = {"PATH": f"{python}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=folder,
        env={**os.environ, **path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def tutorial(tmp_path_factory, golden) -> tuple[Path, dict[str, str]]:
    """Run the whole page; return its folder and the output of each command."""
    folder = tmp_path_factory.mktemp("own")
    write_texts(folder / "texts", golden / "books")
    printed = {}
    for language, content in code_blocks(PAGE):
        if language == "gin":
            name = re.match(r"# (\S+)\n", content)[1]
            smaller = SMALLER[name] + (FOR_BOTH_RUNS if "TrainConfig" in content else [])
            (folder / name).write_text("\n".join([content, *smaller, ""]))
        elif language == "sh":
            for line in content.splitlines():
                if "--from bert-base-uncased" in line:  # any BERT in Hugging Face's format will do
                    shutil.copytree(folder / "H", folder / "bert-base-uncased")
                printed[line] = run(line.replace("--vocab_size 16000", "--vocab_size 900"), folder)
    return folder, printed


@pytest.mark.slow
def test_both_routes_export_encoders(tutorial):
    folder, printed = tutorial
    assert {"my_data.gin", "my_model.gin", "continue.gin"} <= {p.name for p in folder.iterdir()}
    for build in ("D", "D2"):
        manifest = json.loads((folder / build / "manifest.json").read_text())
        assert manifest["config"]["copies"] == 0
    runs = (("M", 40, "E", "H"), ("M2", 4, "E2", "H2"))
    for model_dir, steps, export, hugging_face in runs:
        rows = [json.loads(line) for line in (folder / model_dir / "metrics.jsonl").open()]
        assert max(row["step"] for row in rows) == steps
        assert any("eval_loss" in row for row in rows)
        assert (folder / model_dir / "report.html").is_file()
        assert (folder / export / "encoder/saved_model.pb").is_file()
        assert (folder / hugging_face / "model.safetensors").is_file()
    predictions = [text for command, text in printed.items() if "fill_mask" in command]
    assert len(predictions) == 2
    assert all("[MASK]" in text for text in predictions)


@pytest.mark.slow
def test_imported_weights_have_the_scores_of_the_export(tutorial):
    _, printed = tutorial
    published, imported = (
        float(re.search(r"held-out: loss ([\d.]+)", text)[1])
        for command, text in printed.items()
        if "--mode eval" in command
    )
    assert published < 6.6  # fresh weights score log(900) = 6.80
    assert abs(published - imported) < 0.01


@pytest.mark.slow
@pytest.mark.parity
@pytest.mark.skipif(not TRANSFORMERS.exists(), reason="needs .venv-parity: make test-parity")
def test_transformers_runs_the_code_of_the_page(tutorial):
    folder, _ = tutorial
    (script,) = [content for language, content in code_blocks(PAGE) if language == "python"]
    done = subprocess.run([TRANSFORMERS, "-c", script], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "torch.Size([1, " in done.stdout
