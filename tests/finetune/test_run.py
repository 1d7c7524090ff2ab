"""Fine-tuning from its command to its SavedModel, on tasks that are learned by heart."""

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
from finetune import predict, run, summary
from finetune.collapse import Collapsed, CollapseDetector
from finetune.config import FinetuneConfig
from pretrain.checkpoints.checkpoint import committed
from pretrain.train.config import TrainConfig
from pretrain.train.metrics_log import read_metrics
from pretrain.train.trainer import Trainer
from tests.support.finetuning import LONGER, arguments, write_rows, write_squad
from tests.support.html_pages import check_page, visible_text
from tests.support.pretraining import CLOCK_METRICS

STEPS = "TrainConfig.train_steps = {}"


@pytest.fixture(scope="module")
def model_dir(finetuned) -> Path:
    return finetuned.model_dir


def read(path: Path):
    return json.loads(path.read_text())


def test_a_separable_task_is_learned(model_dir):
    found = read(model_dir / "summary.json")
    assert [seed["seed"] for seed in found["seeds"]] == [12345, 12346]
    assert found["dev"]["best"] == 1.0
    assert found["num_collapsed"] == 0
    best = read(model_dir / f"seed-{found['best_seed']}/metrics.json")
    assert best in found["seeds"]
    assert best["splits"]["dev"]["accuracy"] == best["splits"]["test"]["accuracy"] == 1.0
    assert best["step"] == read(model_dir / f"seed-{found['best_seed']}/best.json")["step"]


def test_predictions_are_written(model_dir, clauses):
    lines = (model_dir / "seed-12345/predictions/test/test.tsv").read_text().splitlines()
    assert lines[0] == "index\tprediction"
    assert len(lines) == 25


def test_pages_of_a_seed_and_of_all(model_dir):
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
found = model.signatures["serving_default"](text=tf.constant(sys.argv[2:]))
assert not [name for name in sys.modules if name.partition(".")[0] in ("finetune", "official")]
print(*(label.decode() for label in found["label"].numpy()), *found["probabilities"].numpy()[:, 1])
"""


def test_the_saved_model_needs_nobodys_code(model_dir, clauses, tmp_path):
    """In a process that does not find this package; labels and probabilities are those of the run."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM, str(model_dir / "export/model"), *clauses[:6]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    )
    assert done.returncode == 0, done.stderr
    found = done.stdout.split()
    best = read(model_dir / "summary.json")["best_seed"]
    lines = (model_dir / f"seed-{best}/predictions/dev/dev.tsv").read_text().splitlines()
    assert found[:6] == [line.split("\t")[1] for line in lines[1:7]]
    for label, probability in zip(found[:6], map(float, found[6:]), strict=True):
        assert (probability > 0.5) == (label == "yes")


def test_predict_answers_in_the_order_of_the_input(model_dir, clauses, tmp_path, capsys):
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
    """All that was measured, without what depends on the clock."""
    rows = read_metrics(directory / "seed-12345")
    return [{name: v for name, v in row.items() if name not in CLOCK_METRICS} for row in rows]


def test_a_run_that_was_stopped_goes_on_exactly(
    finetuned, model_dir, tmp_path, monkeypatch, capsys
):
    """SIGTERM in the middle, then the same command: to the last bit the run without a stop."""
    flags = finetuned.arguments(tmp_path / "m")
    flags.append("--gin_param=TrainConfig.steps_per_loop = 5")
    train = Trainer.train

    def train_and_be_told(self, iterator, num_steps):
        if self.step >= 20:
            os.kill(os.getpid(), signal.SIGTERM)
        return train(self, iterator, num_steps)

    monkeypatch.setattr(Trainer, "train", train_and_be_told)
    with pytest.raises(SystemExit) as caught:
        run.main(flags)
    assert caught.value.code == 42
    assert "fine-tuning: stopped after step" in capsys.readouterr().out
    assert 20 < committed(tmp_path / "m/seed-12345")[-1].step < 30
    assert not (tmp_path / "m/summary.json").exists()
    monkeypatch.undo()
    monkeypatch.setattr("finetune.run.export_seed", lambda *_: None)  # the same as ever
    run.main(flags)
    assert rows_of(tmp_path / "m") == rows_of(model_dir)
    metrics = [read(path / "seed-12345/metrics.json") for path in (tmp_path / "m", model_dir)]
    assert metrics[0] == metrics[1]

    # A third start has nothing left to do.
    monkeypatch.setattr("finetune.seed_run.SeedRun", None)
    run.main(flags)
    assert "seed 12345, step" in capsys.readouterr().out


def test_text_that_is_added_later_is_predicted(finetuned, model_dir, tmp_path, monkeypatch):
    """A trained seed is not trained again for it, and not taken for one that has seen it."""
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


def test_no_seed_is_forgotten(finetuned, model_dir, tmp_path, monkeypatch):
    """A start that asks for one seed of two keeps the other in the summary; one of other settings not."""
    both = shutil.copytree(model_dir, tmp_path / "m")
    other = shutil.copytree(both / "seed-12346", both / "seed-7")
    record = read(other / "metrics.json")
    (other / "metrics.json").write_text(json.dumps({**record, "seed": 7, "train_steps": 9}))
    monkeypatch.setattr("finetune.seed_run.SeedRun", None)  # there is nothing to train
    monkeypatch.setattr("finetune.run.export_seed", lambda *_: None)
    run.main(finetuned.arguments(both))
    assert read(both / "summary.json") == read(model_dir / "summary.json")


def test_seeds_that_learn_nothing_are_given_up(small_encoder, clauses, tmp_path, capsys):
    """Labels by lot, and a learning rate that moves nothing."""
    lots = np.random.default_rng(0).permutation(["no", "yes"] * 12)
    rows = [{"text": t, "label": label} for t, label in zip(clauses, lots, strict=True)]
    params = [*write_rows(tmp_path / "task", rows), "TaskConfig.kind = 'classification'"]
    params += [STEPS.format(40), "OptimizerConfig.peak_learning_rate = 1e-9"]
    flags = arguments(small_encoder, tmp_path / "task", tmp_path / "m", *params)
    with pytest.raises(UserError, match="all 2 seeds collapsed; try more --restarts"):
        run.main([*flags, "--restarts=2"])
    found = read(tmp_path / "m/summary.json")
    assert found["num_collapsed"] == 2
    assert found["dev_without_collapsed"] is None
    for seed in found["seeds"]:
        assert seed["step"] == seed["collapse"]["step"] == 12  # of 40
        assert "0.6931 is that of always giving the same answer" in seed["collapse"]["reason"]
        assert seed["splits"].keys() == {"dev"}
    output = capsys.readouterr().out
    assert "fine-tuning: seed 12346 has collapsed: mean training loss 0." in output
    assert "2 seeds, dev accuracy: best 0." in output
    page = (tmp_path / "m/seed-12345/report.html").read_text()
    assert "Collapsed, detected at step 12" in visible_text(page)
    assert not (tmp_path / "m/export").exists()


def test_a_slow_run_has_not_failed(finetuned, tmp_path, monkeypatch):
    """Its training loss is hardly below that of learning nothing, and it is right on most of dev.

    And all that comes out is where it was asked for, on storage with a scheme as well.
    """
    params = [
        "FinetuneConfig.collapse_check_fraction = 0.0",
        "FinetuneConfig.collapse_margin = 0.999",
    ]
    monkeypatch.chdir(tmp_path)
    model_dir = "ram://finetuned/slow"
    run.main(finetuned.arguments(model_dir, *params))
    found = json.loads(files.read_bytes(f"{model_dir}/seed-12345/metrics.json"))
    assert found["splits"]["dev"]["accuracy"] > 0.9
    assert found["collapse"] is None
    assert files.list_dir(f"{model_dir}/seed-12345/predictions/test") == ["test.tsv"]
    exported = files.list_dir(f"{model_dir}/export")
    assert exported == ["README.md", "SHA256SUMS", "export.json", "model"]
    assert files.list_dir(f"{model_dir}/export/model/variables")
    assert not list(tmp_path.iterdir())


def watch(constant_loss=1.0, rows=(), **finetune) -> CollapseDetector:
    config = FinetuneConfig(**{"collapse_check_fraction": 0.4, **finetune})
    return CollapseDetector(
        config, TrainConfig(train_steps=100), constant_loss=constant_loss, rows=rows
    )


def test_the_loss_that_is_judged():
    """At the first row from step 40 on: the mean over the rows of the last 20 steps."""
    one = watch()
    for step, loss in ((10, 0.1), (20, 0.1), (30, 1.01), (39, 0.96)):
        one.after_row(step, {"loss": loss})
    with pytest.raises(Collapsed) as caught:
        one.after_row(42, {"loss": 0.98})
    assert caught.value.collapse.step == 42
    assert "mean training loss 0.9833" in caught.value.collapse.reason

    one = watch(rows=[{"step": 30, "loss": 1.01}, {"step": 30, "eval_loss": 9.0}])
    one.after_row(40, {"loss": 0.9})  # 0.955
    one.after_row(50, {"loss": 7.0})  # looked at once only
    assert one.check().step == 50  # and at the end
    one.after_row(60, {"loss": 0.1})
    one.after_row(70, {"loss": 0.1})
    assert one.check() is None


def test_a_run_that_is_judged_at_its_end_only():
    one = watch(collapse_check_fraction=0.0)
    one.after_row(50, {"loss": 9.0})
    assert one.check() is not None


def seed_record(seed, accuracy, collapse=None) -> dict:
    return {
        "seed": seed,
        "step": 10,
        "main_metric": "accuracy",
        "collapse": collapse,
        "splits": {"dev": {"accuracy": accuracy}},
    }


def test_the_summary_has_every_seed():
    """The card's experience with MNLI: two runs of three."""
    lost = seed_record(3, 0.33, {"step": 5, "reason": "loss 1.1"})
    found = summary.summarize([seed_record(1, 0.89), seed_record(2, 0.88), lost])
    assert found["dev"] == {
        "best": 0.89,
        "median": 0.88,
        "mean": pytest.approx(0.7),
        "standard_deviation": pytest.approx(0.32047, abs=1e-5),
    }
    assert found["dev_without_collapsed"]["median"] == pytest.approx(0.885)
    assert (found["best_seed"], found["num_collapsed"]) == (1, 1)
    lines = summary.describe(found).splitlines()
    assert lines[3].split() == ["3", "10", "0.3300", "collapsed:", "loss", "1.1"]
    assert lines[4] == (
        "3 seeds, dev accuracy: best 0.8900, median 0.8800, mean 0.7000 ± 0.3205; 1 collapsed,"
        " without them median 0.8850"
    )


def test_model_directories_side_by_side():
    good, bad = (
        summary.summarize([seed_record(s, a) for s, a in enumerate(accuracies)])
        for accuracies in ((0.9, 0.8), (0.6, 0.7))
    )
    first, second = summary.compare({"good": good, "bad": bad}).splitlines()
    assert first == (
        "dev accuracy  good  mean 0.8500 ± 0.0707 of 2 seeds, from 0.8000 to 0.9000; +0.2000 against bad"
    )
    assert second == "dev accuracy  bad   mean 0.6500 ± 0.0707 of 2 seeds, from 0.6000 to 0.7000"


def test_numbers_are_learned(small_encoder, clauses, tmp_path):
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


def test_words_are_labelled(small_encoder, clauses, tmp_path):
    rows = []
    for text in clauses:
        words = text.split()
        rows.append({"text": words, "label": ["long" if len(w) > 4 else "short" for w in words]})
    # More than the 48 tokens of a sequence, and than the 64 of the encoder.
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


def test_questions_are_answered(small_encoder, clauses, tmp_path):
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
