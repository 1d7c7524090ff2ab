"""The phases of a build, as they are shown."""

import io
import json

import pytest

from data.cli import logs
from data.config import BuildConfig
from data.pipeline import BuildPlan
from data.sources import progress
from data.sources.documents import InputFile, whole_file
from data.stages.journal import Journal
from data.stages.runner import BuildProgress

PHASES = {
    "read": {"00000": 3_000_000, "00001": 1_000_000},
    "duplicates": {},
    "pack": {"train-00000": 1, "eval-00000": 1},
}


@pytest.fixture
def finish(tmp_path):
    """Function that records a task as finished."""

    def write(task: str) -> None:
        path = tmp_path / "unfinished/done" / f"{task}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({}))

    return write


def wait_for(stream: io.StringIO, text: str) -> None:
    while text not in stream.getvalue():
        pass


def test_each_phase_of_a_build_is_shown_in_turn(tmp_path, finish, monkeypatch):
    monkeypatch.setattr(progress, "_LINE_SECONDS", 0.001)
    stream = io.StringIO()
    finish("read/00001")  # by the build that is resumed
    with logs.shown_on(stream), BuildProgress(Journal(str(tmp_path)), PHASES):
        wait_for(stream, "data: reading text: 25% of 4 MB\n")
        (tmp_path / "unfinished/begun/read").mkdir(parents=True)
        (tmp_path / "unfinished/begun/read/00000").write_text("1000000")
        wait_for(stream, "data: reading text: 50% of 4 MB, ")
        finish("read/00000")
        wait_for(stream, "data: packing: 0% of 2 shards\n")
        finish("pack/eval-00000")
        wait_for(stream, "data: packing: 50% of 2 shards, ")


def test_a_build_that_stops_ends_the_display(tmp_path):
    with BuildProgress(Journal(str(tmp_path)), PHASES):
        pass


def test_the_tasks_of_a_build_have_the_names_of_their_records(vocab):
    file = InputFile(kind="text", path="a", name="a", num_bytes=7)
    config = BuildConfig(copies=2, num_shards=2, num_eval_shards=1)
    plan = BuildPlan(config=config, vocab=vocab, output_dir="D", units=("unit",), made_by={})
    assert plan.tasks([tuple(whole_file(file))]) == {
        "read": {"unit": 7},
        "duplicates": {"documents": 1, "00000": 1, "00001": 1},
        "pack": {"train-00000": 1, "train-00001": 1, "eval-00000": 1},
        "mask": {
            **{"train-000-00000": 1, "train-001-00000": 1, "train-000-00001": 1},
            **{"train-001-00001": 1, "eval-000-00000": 1},
        },
    }
