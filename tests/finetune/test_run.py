"""Fine-tuning from the command line to the SavedModel, on tasks small enough to memorize."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data import files
from data.errors import UserError
from finetune import predict, run
from pretrain.checkpoints.catalog import committed
from pretrain.train.metrics_log import CLOCK_METRICS, read_metrics
from pretrain.train.trainer import Trainer
from tests.support.finetuning import LONGER, arguments, write_rows, write_squad
from tests.support.html_pages import check_page, visible_text

STEPS = "TrainConfig.train_steps = {}"


@pytest.fixture(scope="module")
def model_dir(finetuned) -> Path:
    return finetuned.model_dir


def read(path: Path):
    return json.loads(path.read_text())


def test_separable_task_is_learned(model_dir):
    summary = read(model_dir / "summary.json")
    assert [seed["seed"] for seed in summary["seeds"]] == [12345, 12346]
    assert summary["dev"]["best"] == 1.0
    assert summary["num_collapsed"] == 0
    best = read(model_dir / f"seed-{summary['best_seed']}/metrics.json")
    assert best in summary["seeds"]
    assert best["splits"]["dev"]["accuracy"] == best["splits"]["test"]["accuracy"] == 1.0
    assert best["step"] == read(model_dir / f"seed-{summary['best_seed']}/best.json")["step"]


def test_predictions_have_a_line_for_each_row(model_dir, clauses):
    lines = (model_dir / "seed-12345/predictions/test/test.tsv").read_text().splitlines()
    assert lines[0] == "index\tprediction"
    assert len(lines) == 25


def test_report_pages(model_dir):
    for path, parts in {
        model_dir / "seed-12345/report.html": (
            "own classification: seed-12345",
            "always the same answer",
            "dev accuracy",
        ),
        model_dir / "report.html": ("all seeds", "12,345 12345"[7:], "best dev accuracy"),
    }.items():
        page = path.read_text()
        check_page(page)
        for part in parts:
            assert part in visible_text(page)


PROGRAM = """
import sys
import tensorflow as tf, tensorflow_text
model = tf.saved_model.load(sys.argv[1])
outputs = model.signatures["serving_default"](text=tf.constant(sys.argv[2:]))
assert model.labels.numpy().tolist() == [b"no", b"yes"]
assert not [name for name in sys.modules if name.partition(".")[0] in ("finetune", "official")]
print(*(label.decode() for label in outputs["label"].numpy()), *outputs["probabilities"].numpy()[:, 1])
"""


def test_saved_model_loads_without_our_code(model_dir, clauses, tmp_path):
    """In a process that cannot import this package, labels equal those of the run."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM, str(model_dir / "export/model"), *clauses[:6]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    )
    assert done.returncode == 0, done.stderr
    printed = done.stdout.split()
    best = read(model_dir / "summary.json")["best_seed"]
    lines = (model_dir / f"seed-{best}/predictions/dev/dev.tsv").read_text().splitlines()
    assert printed[:6] == [line.split("\t")[1] for line in lines[1:7]]
    for label, probability in zip(printed[:6], map(float, printed[6:]), strict=True):
        assert (probability > 0.5) == (label == "yes")


def test_predict_keeps_the_order_of_the_input(model_dir, clauses, tmp_path, capsys):
    (tmp_path / "new.txt").write_text("\n".join([*clauses, ""]))
    flags = [f"--model_dir={model_dir}", f"--input={tmp_path}/new.txt"]
    predict.main([*flags, f"--output={tmp_path}/a.jsonl", "--batch_size=5"])
    assert "predict: 24 answers in" in capsys.readouterr().out
    answers = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [answer["text"] for answer in answers] == clauses
    expected = ["yes" if text.endswith(",") else "no" for text in clauses]
    assert [answer["label"] for answer in answers] == expected
    assert all(sum(a["probabilities"].values()) == pytest.approx(1) for a in answers)
    assert answers[0]["probabilities"].keys() == {"no", "yes"}


def rows_of(directory: Path) -> list[dict]:
    """Rows of metrics.jsonl, without metrics that depend on the clock."""
    rows = read_metrics(directory / "seed-12345")
    return [{name: v for name, v in row.items() if name not in CLOCK_METRICS} for row in rows]


def test_interrupted_run_resumes_bit_for_bit(finetuned, model_dir, tmp_path, monkeypatch, capsys):
    """SIGTERM after 20 steps, then the same command: equals the run without interruption."""
    flags = finetuned.arguments(tmp_path / "m")
    flags.append("--gin_param=TrainConfig.steps_per_loop = 5")
    train = Trainer.train

    def train_with_sigterm(self, iterator, num_steps):
        if self.step >= 20:
            os.kill(os.getpid(), signal.SIGTERM)
        return train(self, iterator, num_steps)

    monkeypatch.setattr(Trainer, "train", train_with_sigterm)
    with pytest.raises(SystemExit) as caught:
        run.main(flags)
    assert caught.value.code == 42
    assert "fine-tuning: stopped after step" in capsys.readouterr().err
    assert 20 < committed(tmp_path / "m/seed-12345")[-1].step < 30
    assert not (tmp_path / "m/summary.json").exists()
    monkeypatch.undo()
    monkeypatch.setattr("finetune.run.export_seed", lambda *_: None)  # tested elsewhere
    run.main(flags)
    assert rows_of(tmp_path / "m") == rows_of(model_dir)
    metrics = [read(path / "seed-12345/metrics.json") for path in (tmp_path / "m", model_dir)]
    assert metrics[0] == metrics[1]

    # A third run has nothing left to do.
    monkeypatch.setattr("finetune.seed_run.SeedRun", None)
    run.main(flags)
    assert "seed 12345, step" in capsys.readouterr().out


def test_text_added_after_training_is_predicted(finetuned, model_dir, tmp_path, monkeypatch):
    """The seed is not trained again, but evaluated again."""
    shutil.copytree(model_dir / "seed-12345", tmp_path / "m/seed-12345")
    task = shutil.copytree(finetuned.task, tmp_path / "task")
    lines = (task / "test.jsonl").read_text()
    (task / "test.jsonl").write_text(lines + '{"text": "and one more"}\n')
    monkeypatch.setattr(Trainer, "train", None)
    monkeypatch.setattr("finetune.run.export_seed", lambda *_: None)
    run.main(arguments(finetuned.encoder, task, tmp_path / "m", *finetuned.params))
    predicted = [
        (directory / "seed-12345/predictions/test/test.tsv").read_text().splitlines()
        for directory in (model_dir, tmp_path / "m")
    ]
    assert predicted[1][:-1] == predicted[0]
    assert predicted[1][-1].startswith("24\t")
    scores = [read(path / "seed-12345/metrics.json") for path in (model_dir, tmp_path / "m")]
    assert scores[0]["splits"]["dev"] == scores[1]["splits"]["dev"]
    assert scores[0]["step"] == scores[1]["step"]


def test_summary_keeps_earlier_seeds_with_the_same_settings(
    finetuned, model_dir, tmp_path, monkeypatch
):
    both = shutil.copytree(model_dir, tmp_path / "m")
    other = shutil.copytree(both / "seed-12346", both / "seed-7")
    record = read(other / "metrics.json")
    (other / "metrics.json").write_text(json.dumps({**record, "seed": 7, "train_steps": 9}))
    monkeypatch.setattr("finetune.seed_run.SeedRun", None)  # there is nothing to train
    monkeypatch.setattr("finetune.run.export_seed", lambda *_: None)
    run.main(finetuned.arguments(both))
    assert read(both / "summary.json") == read(model_dir / "summary.json")


def test_seeds_that_learn_nothing_are_stopped(small_encoder, clauses, tmp_path, capsys):
    """With random labels and a negligible learning rate."""
    labels = np.random.default_rng(0).permutation(["no", "yes"] * 12)
    rows = [{"text": t, "label": label} for t, label in zip(clauses, labels, strict=True)]
    params = [*write_rows(tmp_path / "task", rows), "TaskConfig.kind = 'classification'"]
    params += [STEPS.format(400), "OptimizerConfig.peak_learning_rate = 1e-9"]
    params += ["FinetuneConfig.warmup_fraction = 0.025", "TrainConfig.log_interval = 10"]
    flags = arguments(small_encoder, tmp_path / "task", tmp_path / "m", *params)
    with pytest.raises(UserError, match="all 2 seeds collapsed; try more --restarts"):
        run.main([*flags, "--restarts=2"])
    summary = read(tmp_path / "m/summary.json")
    assert summary["num_collapsed"] == 2
    assert summary["dev_without_collapsed"] is None
    for seed in summary["seeds"]:
        assert seed["step"] == seed["collapse"]["step"] == 310  # of 400
        assert "giving the same answer has 0.6931" in seed["collapse"]["reason"]
        assert seed["splits"].keys() == {"dev"}
    printed = capsys.readouterr()
    assert "fine-tuning: seed 12346 has collapsed: mean training loss 0." in printed.err
    assert "2 seeds, dev accuracy: best 0." in printed.out
    page = (tmp_path / "m/seed-12345/report.html").read_text()
    assert "Collapsed, detected at step 310" in visible_text(page)
    assert not (tmp_path / "m/export").exists()


def test_seed_that_has_learned_nothing_by_the_end_is_exported_with_a_warning(
    small_encoder, clauses, tmp_path, capsys
):
    labels = np.random.default_rng(0).permutation(["no", "yes"] * 12)
    rows = [{"text": t, "label": label} for t, label in zip(clauses, labels, strict=True)]
    params = [*write_rows(tmp_path / "task", rows), "TaskConfig.kind = 'classification'"]
    params += [STEPS.format(8), "OptimizerConfig.peak_learning_rate = 1e-9"]
    run.main(arguments(small_encoder, tmp_path / "task", tmp_path / "m", *params))
    assert read(tmp_path / "m/summary.json")["num_collapsed"] == 1
    assert "seed 12345 is exported, but the seed collapsed" in capsys.readouterr().err
    card = (tmp_path / "m/export/README.md").read_text()
    assert "**Warning: this model has learned nothing**" in card


def test_run_with_high_loss_and_good_scores_has_not_collapsed(finetuned, tmp_path, monkeypatch):
    """The model directory is on storage with a scheme, and all output must be there."""
    params = [
        "FinetuneConfig.collapse_check_fraction = 0.0",
        "FinetuneConfig.collapse_margin = 0.999",
    ]
    monkeypatch.chdir(tmp_path)
    model_dir = "ram://finetuned/slow"
    run.main(finetuned.arguments(model_dir, *params))
    record = json.loads(files.read_bytes(f"{model_dir}/seed-12345/metrics.json"))
    assert record["splits"]["dev"]["accuracy"] > 0.9
    assert record["collapse"] is None
    assert files.list_dir(f"{model_dir}/seed-12345/predictions/test") == ["test.tsv"]
    exported = files.list_dir(f"{model_dir}/export")
    assert exported == ["README.md", "SHA256SUMS", "export.json", "model"]
    assert files.list_dir(f"{model_dir}/export/model/variables")
    assert not list(tmp_path.iterdir())


def test_regression_is_learned(small_encoder, clauses, tmp_path):
    rows = [{"text": text, "label": (len(text) - 40) / 5} for text in clauses]
    params = [*write_rows(tmp_path / "task", rows), "TaskConfig.kind = 'regression'", *LONGER]
    params += ["OptimizerConfig.optimizer = 'lamb'", "OptimizerConfig.layer_decay = 0.9"]
    run.main(
        arguments(small_encoder, tmp_path / "task", tmp_path / "m", *params, STEPS.format(150))
    )
    scores = read(tmp_path / "m/seed-12345/metrics.json")["splits"]["dev"]
    assert scores["pearson"] > 0.9
    assert scores["loss"] == pytest.approx(scores["mean_squared_error"], rel=1e-5)
    (tmp_path / "new.txt").write_text("\n".join(clauses))
    flags = [f"--model_dir={tmp_path}/m", f"--input={tmp_path}/new.txt"]
    predict.main([*flags, f"--output={tmp_path}/a.jsonl"])
    answers = [
        json.loads(line)["score"] for line in (tmp_path / "a.jsonl").read_text().splitlines()
    ]
    lines = (tmp_path / "m/seed-12345/predictions/dev/dev.tsv").read_text().splitlines()
    np.testing.assert_allclose(answers, [float(line.split()[1]) for line in lines[1:]], atol=1e-4)


def test_token_classification_is_learned(small_encoder, clauses, tmp_path):
    rows = []
    for text in clauses:
        words = text.split()
        rows.append({"text": words, "label": ["long" if len(w) > 4 else "short" for w in words]})
    # Longer than the 48 tokens of a sequence and the 64 positions of the encoder.
    rows[5] = {name: [item for row in rows for item in row[name]] for name in ("text", "label")}
    params = [*write_rows(tmp_path / "task", rows), "TaskConfig.kind = 'tokens'", *LONGER]
    run.main(arguments(small_encoder, tmp_path / "task", tmp_path / "m", *params))
    directory = tmp_path / "m/seed-12345"
    assert read(directory / "metrics.json")["splits"]["dev"]["accuracy"] > 0.97
    flags = [f"--model_dir={tmp_path}/m", f"--input={tmp_path}/task/dev.jsonl"]
    predict.main([*flags, f"--output={tmp_path}/a.jsonl", "--batch_size=7"])
    answers = [
        json.loads(line)["labels"] for line in (tmp_path / "a.jsonl").read_text().splitlines()
    ]
    written = (directory / "predictions/dev/dev.jsonl").read_text().splitlines()
    assert answers == [json.loads(line)["label"] for line in written]

    (tmp_path / "new.txt").write_text("\n")
    flags = [f"--model_dir={tmp_path}/m", f"--input={tmp_path}/new.txt"]
    predict.main([*flags, f"--output={tmp_path}/b.jsonl"])
    assert json.loads((tmp_path / "b.jsonl").read_text()) == {"text": "", "labels": []}


def test_question_answering_is_learned(small_encoder, clauses, tmp_path):
    params = write_squad(tmp_path / "task", clauses[:16])
    run.main(arguments(small_encoder, tmp_path / "task", tmp_path / "m", *params, *LONGER))
    directory = tmp_path / "m/seed-12345"
    assert read(directory / "metrics.json")["splits"]["dev"]["f1"] > 0.9
    flags = [f"--model_dir={tmp_path}/m", f"--input={tmp_path}/task/dev-v1.1.json"]
    predict.main([*flags, f"--output={tmp_path}/a.jsonl"])
    answers = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert {a["id"]: a["answer"] for a in answers} == read(
        directory / "predictions/dev/predictions.json"
    )
    for answer, context in zip(answers, clauses, strict=False):
        assert context[answer["start"] : answer["end"]] == answer["answer"]
