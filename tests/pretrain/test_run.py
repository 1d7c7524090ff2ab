"""The command pretrain.run: what it writes, how it resumes, and its errors."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data import files, schema
from data.cli.main import run_main
from data.errors import UserError
from data.manifest import Manifest
from pretrain import run
from pretrain.checkpoints.best import best_step
from pretrain.checkpoints.catalog import committed
from pretrain.train.metrics_log import read_metrics
from tests.support.jobs import upload
from tests.support.pretraining import TINY, arguments


@pytest.fixture(scope="module")
def model_dir(small_build, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("run") / "model"
    run.main(arguments(small_build, path))
    return path


def losses(model_dir) -> dict[int, float]:
    return {row["step"]: row["loss"] for row in read_metrics(model_dir) if "loss" in row}


def test_model_directory_has_every_file(model_dir, small_build):
    names = {path.name for path in model_dir.iterdir()}
    assert {
        "config.gin",
        "operative_config.gin",
        "environment.json",
        "metrics.jsonl",
        "checkpoints",
        "report.html",
        "best.json",
        "data.json",
        "run.json",
        "vocab.txt",
    } <= names
    assert any(name.startswith("events.out.tfevents") for name in names)
    assert "TrainConfig.train_steps = 6" in (model_dir / "config.gin").read_text()
    environment = json.loads((model_dir / "environment.json").read_text())
    assert environment["packages"]["tensorflow"].startswith("2.20")
    evaluations = {row["step"]: row["eval_loss"] for row in read_metrics(model_dir)[2::2]}
    assert best_step(model_dir) == min(evaluations, key=evaluations.get)
    report = (model_dir / "report.html").read_text()
    assert f"{evaluations[6]:.3f}" in report
    manifest = Manifest.load(small_build)
    assert f"{manifest.num_sequences('train'):,}" in report
    assert manifest.sha256 in report


def test_metrics_have_training_and_evaluation_rows(model_dir, small_build):
    rows = read_metrics(model_dir)
    assert [row["step"] for row in rows] == [2, 4, 4, 6, 6]
    training = [row for row in rows if "loss" in row]
    assert set(training[0]) == {
        "step",
        "row",
        "time",
        "loss",
        "mlm_accuracy",
        "grad_norm",
        "learning_rate",
        "trust_ratio_min",
        "trust_ratio_median",
        "trust_ratio_max",
        "trust_ratios",
        "bad_steps",
        "examples_per_second",
        "tokens_per_second",
        "input_wait_fraction",
    }
    assert training[0]["loss"] == pytest.approx(np.log(1500), rel=0.05)
    assert all(0 <= row["input_wait_fraction"] <= 1 for row in training)
    evaluations = [row for row in rows if "eval_loss" in row]
    assert len(evaluations) == 2
    # The baseline, computed from the files of the build.
    import tensorflow as tf

    from data.storage.records import parse_specs

    manifest = Manifest.load(small_build)
    (shard,) = manifest.split("eval")
    records = tf.data.TFRecordDataset(str(small_build / shard.masked[0].path))
    features = tf.io.parse_example(list(records), parse_specs(64, 10))
    labels, weights, tokens, positions = (
        features[name].numpy()
        for name in (
            "masked_lm_ids",
            "masked_lm_weights",
            "input_word_ids",
            "masked_lm_positions",
        )
    )
    is_hidden = tokens[np.arange(len(tokens))[:, None], positions] != labels
    for name, chosen in (
        ("eval_baseline_accuracy", weights > 0),
        ("eval_hidden_baseline_accuracy", (weights > 0) & is_hidden),
    ):
        best = np.bincount(labels[chosen]).max() / chosen.sum()
        assert evaluations[0][name] == pytest.approx(best)
    assert {"eval_loss/books", "eval_mlm_accuracy/cross_boundary"} <= set(evaluations[0])


def test_only_the_newest_checkpoints_are_kept(model_dir):
    assert [ref.step for ref in committed(model_dir)] == [4, 6]
    assert sorted(p.name for p in (model_dir / "checkpoints").iterdir()) == [
        "newest.json",
        "step-00000004",
        "step-00000006",
    ]


def test_resumed_run_has_the_same_losses(small_build, model_dir, tmp_path):
    copy = shutil.copytree(model_dir, tmp_path / "model")
    shutil.rmtree(copy / "checkpoints/step-00000006")
    # What a kill during a save leaves behind: files without a commit record.
    shutil.copytree(copy / "checkpoints/step-00000004", copy / "checkpoints/step-00000005")
    (copy / "checkpoints/step-00000005/COMMIT.json").unlink()
    run.main(arguments(small_build, copy))
    assert losses(copy) == losses(model_dir)
    assert [row["step"] for row in read_metrics(copy)] == [2, 4, 4, 6, 6]


def test_online_masks_train_the_same(small_build, model_dir, tmp_path):
    run.main(arguments(small_build, tmp_path / "m", "InputConfig.masks = 'online'"))
    assert losses(tmp_path / "m") == losses(model_dir)


def test_remote_build_and_model_directory(small_build, model_dir, tmp_path):
    data_dir, remote = f"ram://{tmp_path.name}/d", f"ram://{tmp_path.name}/m"
    upload(small_build, data_dir)
    scratch = f"--scratch_dir={tmp_path}/scratch"
    run.main([*arguments(data_dir, remote, "TrainConfig.train_steps = 4"), scratch])
    run.main([*arguments(data_dir, remote), scratch])  # resumes
    assert len(list((tmp_path / "scratch").iterdir())) == 1
    assert [row["step"] for row in read_metrics(remote)] == [2, 4, 4, 6, 6]
    assert [ref.step for ref in committed(remote)] == [4, 6]
    assert best_step(remote) in (4, 6)
    assert files.exists(f"{remote}/report.html")


def test_missing_last_evaluation_is_made_on_resume(small_build, model_dir, tmp_path):
    copy = shutil.copytree(model_dir, tmp_path / "m")
    rows = (model_dir / "metrics.jsonl").read_text().splitlines(keepends=True)
    (copy / "metrics.jsonl").write_text("".join(rows[:-1]))
    run.main(arguments(small_build, copy))

    def without_time(row: str) -> dict:
        return {name: value for name, value in json.loads(row).items() if name != "time"}

    *before, last = (copy / "metrics.jsonl").read_text().splitlines(keepends=True)
    assert before == rows[:-1]
    assert without_time(last) == without_time(rows[-1])


def test_finished_run_is_not_trained_again(small_build, model_dir, capsys):
    before = losses(model_dir)
    run.main(arguments(small_build, model_dir))
    output = capsys.readouterr().out
    assert "is already trained (6 steps)" in output
    assert "after 6 steps, held-out: loss" in output
    assert "always guessing" in output
    assert losses(model_dir) == before


def test_finished_run_continues_with_more_steps(small_build, model_dir, tmp_path):
    copy = shutil.copytree(model_dir, tmp_path / "model")
    run.main(arguments(small_build, copy, "TrainConfig.train_steps = 8"))
    assert [ref.step for ref in committed(copy)] == [6, 8]


def test_evaluated_steps_are_saved(small_build, model_dir, tmp_path):
    copy = shutil.copytree(model_dir, tmp_path / "model")
    params = [f"TrainConfig.{name}_interval = {n}" for name, n in (("eval", 7), ("checkpoint", 0))]
    run.main(arguments(small_build, copy, "TrainConfig.train_steps = 8", *params))
    assert [ref.step for ref in committed(copy)] == [7, 8]


def test_eval_mode_prints_the_metrics(small_build, model_dir, capsys):
    run.main([*arguments(small_build, model_dir), "--mode", "eval"])
    line = f"MLM accuracy {read_metrics(model_dir)[-1]['eval_mlm_accuracy']:.2%}"
    assert line in capsys.readouterr().out


def test_eval_mode_does_not_change_the_record(small_build, model_dir):
    before = {name: (model_dir / name).read_bytes() for name in ("run.json", "config.gin")}
    longer = "TrainConfig.train_steps = 9999"
    run.main([*arguments(small_build, model_dir, longer), "--mode", "eval"])
    assert {name: (model_dir / name).read_bytes() for name in before} == before


def test_dry_run_prints_and_writes_nothing(small_build, tmp_path, capsys):
    run.main([*arguments(small_build, tmp_path / "m"), "--dry_run"])
    output = capsys.readouterr().out
    assert "train_steps = 6" in output
    assert "vocab_size = 1500" in output  # taken from the data
    assert "6 updates of 4 sequences: 24 sequences" in output
    assert re.search(r"[\d,]+ trained parameters; a device needs about \d+ kB for weights", output)
    assert not (tmp_path / "m").exists()
    run.main(["--gin_file", "gin/lambert_large.gin", "--dry_run"])
    output = capsys.readouterr().out
    assert "learning rate 0.0025 reached at update 10,000" in output
    # 16 bytes for each of 335 M parameters, and 2 for each of those in kernels; docs/plan.md has the formula.
    assert "335,174,458 trained parameters; a device needs about 5.97 GB for weights," in output
    assert "and 496 MB for each sequence of a micro-batch" in output


class TestErrors:
    def fails(self, argv, message):
        with pytest.raises(UserError, match=message):
            run.main(argv)

    def test_no_manifest(self, tmp_path):
        (tmp_path / "data").mkdir()
        self.fails(arguments(tmp_path / "data", tmp_path / "m"), "data is not a finished build")

    def test_missing_flags(self, small_build):
        self.fails(["--gin_param", TINY[0], "--model_dir", "m"], "--data_dir is missing")
        self.fails([], "nothing to run: give --gin_file")

    def test_model_directory_of_another_configuration(self, small_build, model_dir):
        self.fails(
            arguments(small_build, model_dir, "EncoderConfig.hidden_size = 32"),
            "belongs to another run: EncoderConfig.hidden_size was 16 and is 32 now",
        )

    def test_model_directory_of_other_data(self, small_build, model_dir, tmp_path):
        copy = shutil.copytree(small_build, tmp_path / "data")
        manifest = copy / schema.MANIFEST_FILE
        manifest.write_text(manifest.read_text().replace('"rejected": 0', '"rejected": 1'))
        self.fails(arguments(copy, model_dir), "its data has sha256 .*, the data given")

    def test_checkpoints_without_a_run_record(self, small_build, model_dir, tmp_path):
        shutil.copytree(model_dir / "checkpoints", tmp_path / "m/checkpoints")
        self.fails(arguments(small_build, tmp_path / "m"), r"has checkpoints but no run\.json")

    def test_damaged_checkpoint(self, small_build, model_dir, tmp_path):
        copy = shutil.copytree(model_dir, tmp_path / "m")
        for step in (4, 6):
            (copy / f"checkpoints/step-0000000{step}/ckpt.index").unlink()
        self.fails(
            arguments(small_build, copy), "none that can be restored .*ckpt.index is missing"
        )

    def test_nothing_to_evaluate(self, small_build, tmp_path):
        self.fails([*arguments(small_build, tmp_path / "m"), "--mode", "eval"], "has no checkpoint")
        assert not (tmp_path / "m").exists()

    def test_discarding_checkpoints_in_eval_mode(self, small_build, model_dir):
        argv = [*arguments(small_build, model_dir), "--mode", "eval", "--discard_checkpoints"]
        self.fails(
            argv, "--discard_checkpoints starts training at step 0, but --mode eval does not"
        )
        assert [ref.step for ref in committed(model_dir)] == [4, 6]

    def test_damaged_held_out_text(self, small_build, model_dir, tmp_path):
        """Manifest and sizes are right, so only reading finds it."""
        copy = shutil.copytree(small_build, tmp_path / "data")
        for path in copy.glob("masked/eval/*/*.tfrecord"):
            content = bytearray(path.read_bytes())
            content[-50] ^= 1
            path.write_bytes(content)
        argv = [*arguments(copy, model_dir), "--mode", "eval"]
        self.fails(argv, r"shard-\S+\.tfrecord: record \d+")

    def test_small_vocabulary(self, small_build, tmp_path):
        self.fails(
            arguments(small_build, tmp_path / "m", "EncoderConfig.vocab_size = 1000"),
            "EncoderConfig.vocab_size=1000 does not fit the vocabulary of the data, 1500",
        )

    def test_large_vocabulary(self, small_build, tmp_path):
        self.fails(
            arguments(small_build, tmp_path / "m", "EncoderConfig.vocab_size = 30522"),
            r"EncoderConfig.vocab_size=30522 does not fit .* \(or to at most 1536, padded",
        )

    def test_warmup_longer_than_training(self, small_build, tmp_path):
        argv = arguments(small_build, tmp_path / "m", "OptimizerConfig.warmup_steps = 6")
        message = "warmup_steps=6 leaves nothing of TrainConfig.train_steps=6"
        self.fails(argv, message)
        self.fails([*argv, "--dry_run"], message)

    def test_missing_remote_build(self):
        self.fails(
            arguments("ram://b/d", "m"), r"ram://b/d/manifest\.json is missing: ram://b/d is"
        )

    def test_nan_loss_stops_the_run(self, small_build, model_dir, tmp_path):
        """Before a row of metrics has it."""
        params = [f"TrainConfig.{name}_interval = 0" for name in ("checkpoint", "eval")]
        params += ["OptimizerConfig.peak_learning_rate = 1e30", "TrainConfig.max_bad_steps = 1"]
        argv = arguments(small_build, tmp_path / "m", *params)
        message = r"2 of the last 128 steps were skipped, .* \d \(loss nan, gradient.*are ruined \("
        self.fails(argv, message)
        rows = read_metrics(tmp_path / "m")
        assert all(np.isfinite(row["loss"]) for row in rows)

    def test_short_positions(self, small_build, tmp_path):
        self.fails(
            arguments(small_build, tmp_path / "m", "EncoderConfig.max_position_embeddings = 32"),
            "max_position_embeddings=32 is smaller than the sequences of the data, 64",
        )

    def test_wrong_setting_is_one_line_with_exit_code_2(self, tmp_path):
        command = [sys.executable, "-m", "pretrain.run", "--gin_param", "TrainConfig.seeed=1"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 2
        lines = done.stderr.splitlines()
        assert lines == ["error: TrainConfig has no parameter 'seeed'; did you mean 'seed'?"]

    def test_file_in_place_of_the_model_directory_is_one_line(self, small_build, tmp_path, capsys):
        (tmp_path / "file").touch()
        with pytest.raises(SystemExit) as caught:
            run_main(run.main, arguments(small_build, tmp_path / "file"))
        assert caught.value.code == 2
        assert capsys.readouterr().err.endswith("file: File exists\n")

    def test_damaged_run_record(self, small_build, model_dir, tmp_path):
        copy = shutil.copytree(model_dir, tmp_path / "m")
        intact = json.loads((copy / "run.json").read_text())
        for content, message in {
            "{": "it is not JSON",
            "[" * 100_000: "it is nested more than 64 deep",
            "{}": "config is missing",
            '{"config": []}': "config is an empty list, must be an object",
            '{"config": {"train": 7}}': "config.train is 7, must be an object",
            json.dumps(intact | {"lower_case": 1}): "lower_case is 1, must be true or false",
            json.dumps(intact | {"data_sha256": [1]}): "data_sha256 is a list of 1, must be text",
            json.dumps(
                intact | {"initial_sha256": {}}
            ): "initial_sha256 is an empty object, must be",
        }.items():
            (copy / "run.json").write_text(content)
            self.fails(arguments(small_build, copy), rf"run\.json is damaged: {message}")
        config = {**intact["config"], "train": {"train_stepz": 1}}
        (copy / "run.json").write_text(json.dumps(intact | {"config": config}))
        self.fails(arguments(small_build, copy), r"version of this program: it has 'train_stepz'")
        (copy / "run.json").write_text(json.dumps(intact | {"new": 1}))
        self.fails(
            arguments(small_build, copy), r"by another version of this program: it has 'new'"
        )

    def test_ctrl_c(self, capsys):
        def interrupted(argv):
            raise KeyboardInterrupt

        with pytest.raises(SystemExit) as caught:
            run_main(interrupted, [])
        assert caught.value.code == 130
        assert "run the same command again to resume" in capsys.readouterr().err
