"""Model directories that lose files between two starts or during a run."""

import json
import shutil
from pathlib import Path

import pytest
import tensorflow as tf

from data.errors import UserError
from pretrain import run
from pretrain.checkpoints.catalog import committed
from pretrain.checkpoints.model_dir import load_run
from pretrain.config import RunConfig
from pretrain.train.metrics_log import CLOCK_METRICS, read_metrics
from pretrain.train.trainer import Trainer
from tests.support.model_dirs import make_model_dir
from tests.support.pretraining import arguments


def rows(model_dir) -> list[dict]:
    """Return the rows of metrics without what depends on the clock."""
    return [
        {name: value for name, value in row.items() if name not in CLOCK_METRICS}
        for row in read_metrics(model_dir)
    ]


@pytest.fixture(scope="module")
def trained(small_build, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("trained") / "m"
    run.main(arguments(small_build, path))
    return path


def lose_records(model_dir: Path) -> None:
    for pattern in ("checkpoints/*/COMMIT.json", "checkpoints/newest.json"):
        for path in model_dir.glob(pattern):
            path.unlink()


def lose_checkpoints(model_dir: Path) -> None:
    shutil.rmtree(model_dir / "checkpoints")


def lose_checkpoints_of_an_older_version(model_dir: Path) -> None:
    shutil.rmtree(model_dir / "checkpoints")
    (model_dir / "saved.json").unlink()


def lose_all_but_rows_of_training(model_dir: Path) -> None:
    shutil.rmtree(model_dir / "checkpoints")
    for name in ("saved.json", "best.json"):
        (model_dir / name).unlink()
    path = model_dir / "metrics.jsonl"
    lines = [line for line in path.read_text().splitlines() if "eval_loss" not in line]
    path.write_text("".join(f"{line}\n" for line in lines))


def content(model_dir: Path) -> dict[str, bytes]:
    return {
        str(path): path.read_bytes()
        for path in model_dir.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


@pytest.mark.parametrize(
    "lose",
    [
        lose_records,
        lose_checkpoints,
        lose_checkpoints_of_an_older_version,
        lose_all_but_rows_of_training,
    ],
)
def test_lost_checkpoints_are_never_a_silent_start_from_zero(small_build, trained, tmp_path, lose):
    model_dir = shutil.copytree(trained, tmp_path / "m")
    lose(model_dir)
    before = content(model_dir)
    with pytest.raises(UserError, match=r"has no checkpoint, but .*--discard_checkpoints"):
        run.main(arguments(small_build, model_dir))
    assert content(model_dir) == before


def test_run_killed_before_its_first_checkpoint_starts_again(small_build, trained, tmp_path):
    model_dir = shutil.copytree(trained, tmp_path / "m")
    lose_all_but_rows_of_training(model_dir)
    path = model_dir / "metrics.jsonl"
    path.write_text(path.read_text().splitlines(keepends=True)[0])
    run.main(arguments(small_build, model_dir))
    assert rows(model_dir) == rows(trained)


def test_flipped_byte_does_not_lose_a_run_that_keeps_one_checkpoint(small_build, trained, tmp_path):
    model_dir = shutil.copytree(trained, tmp_path / "m")
    path = model_dir / "checkpoints/step-00000006/ckpt.data-00000-of-00001"
    damaged = bytearray(path.read_bytes())
    damaged[200] ^= 1
    path.write_bytes(damaged)
    run.main(arguments(small_build, model_dir, "TrainConfig.keep_checkpoints = 1"))
    assert (model_dir / "checkpoints/step-00000006.damaged").exists()
    assert committed(model_dir)[-1].step == 6
    assert rows(model_dir) == rows(trained)


def test_ruined_weights_replace_no_checkpoint(small_build, tmp_path, monkeypatch):
    """The run is healthy up to step 2; then a weight grows beyond all bounds, and all steps are NaN."""
    model_dir, train = tmp_path / "m", Trainer.train

    def train_and_ruin(self, iterator, num_steps):
        if self.step == 2:
            self.variables[0].assign_add(1e29 * tf.ones_like(self.variables[0]))
        return train(self, iterator, num_steps)

    monkeypatch.setattr(Trainer, "train", train_and_ruin)
    params = ("TrainConfig.keep_checkpoints = 1", "TrainConfig.steps_per_loop = 2")
    with pytest.raises(UserError, match=r"ruined after step 4: \S+ has .*; they are not saved"):
        run.main(arguments(small_build, model_dir, *params))
    assert [ref.step for ref in committed(model_dir)] == [2]


def test_absurd_learning_rate_saves_nothing(small_build, tmp_path):
    params = ("OptimizerConfig.peak_learning_rate = 1e30", "TrainConfig.max_bad_steps = 1")
    with pytest.raises(UserError, match=r"the weights are ruined after step 2"):
        run.main(arguments(small_build, tmp_path / "m", *params))
    assert committed(tmp_path / "m") == []


@pytest.mark.parametrize("change", ["move", "remove", "empty"])
def test_vanished_directory_ends_the_run_with_an_error(small_build, tmp_path, monkeypatch, change):
    model_dir, train = tmp_path / "m", Trainer.train

    def train_and_change(self, iterator, num_steps):
        if self.step == 5 and change == "move":
            model_dir.rename(tmp_path / "moved")
        elif self.step == 5 and change == "remove":
            shutil.rmtree(model_dir)
        elif self.step == 5:
            for path in model_dir.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        return train(self, iterator, num_steps)

    monkeypatch.setattr(Trainer, "train", train_and_change)
    with pytest.raises(UserError, match=r"/m was moved, removed or emptied during the run"):
        run.main(arguments(small_build, model_dir, "TrainConfig.steps_per_loop = 1"))
    assert not model_dir.exists() or list(model_dir.iterdir()) == []


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [("train", "seed", "7"), ("encoder", "hidden_size", None), (None, "data_sha256", 7)],
)
def test_wrong_type_in_the_record_of_a_run_is_blamed_on_the_file(tmp_path, part, name, value):
    path = make_model_dir(tmp_path) / "run.json"
    record = json.loads(path.read_text())
    (record["config"][part] if part else record)[name] = value
    path.write_text(json.dumps(record))
    with pytest.raises(UserError, match=rf"^{path} is damaged: .*{name}"):
        load_run(str(tmp_path), RunConfig)
