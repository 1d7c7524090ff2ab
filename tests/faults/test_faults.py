"""The table of damage, the runner behind `make test-faults`, its page, and some of its cases.

`make test-faults` runs all cases, in minutes; these tests make sure that it would notice what is wrong.
"""

import collections
import json
import os
import shutil

import pytest

from tests.faults import commands, page, sandbox
from tests.faults import damage as d
from tests.faults.case import Case, Command, expand, refused, refused_or_same, row, same
from tests.faults.fuzz import records, tfrecords
from tests.faults.table import builds, table


@pytest.fixture(scope="module")
def artefacts(small_build, tmp_path_factory):
    folder = tmp_path_factory.mktemp("artefacts")
    shutil.copytree(small_build, folder / "data")
    return folder


def nothing(_) -> None:
    """Damage nothing."""


def misbehave(*args: str) -> Command:
    return Command(module="tests.support.misbehaving", args=args, needs=("data",))


def run(artefacts, folder, command, right, apply=nothing, expected=None):
    """Return what a case did and what is wrong with that."""
    case = Case(row=0, detail="", apply=apply, command=command, right=right)
    ran = sandbox.run_case(case, artefacts, folder / "case")
    return ran, sandbox.problems(case, ran, expected)


def test_page_lists_the_rows_of_the_table():
    """If this fails, run `make test-faults`, which writes the page."""
    assert page.documented_rows() == [page.row_text(entry) for entry in table()]


def test_page_has_the_number_of_cases_that_was_asked_for():
    numbers = [int(line.split("|")[-2]) for line in page_lines() if line.startswith("| ")]
    assert sum(numbers) >= 200
    assert min(numbers) >= 1


def page_lines() -> list[str]:
    """Return the lines of the page that are rows of the table."""
    rows = page.documented_rows()
    text = (page.ROOT / page.FILE).read_text()
    return [line for line in text.splitlines() if any(line.startswith(start) for start in rows)]


def test_rows_have_distinct_names():
    names = collections.Counter(page.row_text(entry) for entry in table())
    assert [name for name, number in names.items() if number > 1] == []


@pytest.mark.parametrize(
    ("name", "apply", "right"),
    [
        ("undamaged", nothing, same("is intact")),
        ("flipped bit", d.flip(builds.PACKED), refused("shard-00000.npy is damaged")),
        ("half a manifest", d.truncate(builds.MANIFEST), refused("manifest.json is damaged")),
        ("a field", d.at(builds.MANIFEST, ("rejected",), "0"), refused("rejected is")),
        ("a pipe", d.instead(builds.VOCAB, os.mkfifo), refused("vocab.txt is a pipe")),
        ("notes beside it", d.write("data/notes.txt", "mine"), refused_or_same()),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_cases_of_a_build(artefacts, tmp_path, name, apply, right):
    del name
    whole, wrong = run(artefacts, tmp_path, commands.VERIFY, same(), expected=None)
    del wrong  # there is no result to compare with yet
    _, wrong = run(
        artefacts, tmp_path / "damaged", commands.VERIFY, right, apply, expected=whole.result
    )
    assert wrong == []


@pytest.mark.parametrize(
    ("what", "right", "problem"),
    [
        ("trace", refused(), "a stack trace"),
        ("crash", refused(), "it was killed by signal 11"),
        ("code", refused(), "exit code 3"),
        ("code", same(), "exit code 3"),
        ("result", refused(), "exit code 0"),
        ("write outside", same(), "it changed outside/ran"),
        ("change", refused(), "it changed inside/data/vocab.txt"),
        ("two lines", refused(), "2 lines of errors"),
        ("endless line", refused(), "lines of up to 10021 characters"),
        ("refuse", refused("manifest.json"), "the error does not name 'manifest.json'"),
        ("refuse", same(), "exit code 2"),
        ("result", same("resumed"), "it does not say 'resumed'"),
        ("result", same(), "another result"),
    ],
)
def test_what_is_wrong_is_found(artefacts, tmp_path, what, right, problem):
    _, wrong = run(artefacts, tmp_path, misbehave(what), right, expected="7\n")
    assert problem in "; ".join(wrong)


def test_writing_anywhere_else_is_found(artefacts, tmp_path):
    path = tmp_path / "elsewhere"
    _, wrong = run(
        artefacts, tmp_path, misbehave("write elsewhere", str(path)), same(), expected=""
    )
    assert f"it opened {path} for writing" in wrong


def test_hanging_is_found(artefacts, tmp_path, monkeypatch):
    monkeypatch.setattr(sandbox, "LIMIT_SECONDS", 1)
    _, wrong = run(artefacts, tmp_path, misbehave("hang"), same())
    assert wrong == ["it did not end within 1 seconds"]


def test_command_of_its_own_process(artefacts, tmp_path):
    case = Case(
        row=0,
        detail="",
        apply=d.truncate(builds.MANIFEST),
        command=commands.VERIFY,
        right=refused("manifest.json"),
        is_process=True,
    )
    ran = sandbox.run_case(case, artefacts, tmp_path / "case")
    assert sandbox.problems(case, ran, None) == []


def test_each_field_of_a_record_is_damaged(tmp_path):
    record = {"a": 1, "b": {"c": "x"}, "d": [{"e": 1.5}, {"e": 2}, {"e": 3.5}], "new": None}
    (tmp_path / "r.json").write_text(json.dumps(record))
    entry = row("", "r.json", "", d.wrong_types("r.json"), commands.VERIFY, refused(), each=True)
    names = [case.detail.partition(" is ")[0] for case in expand([entry], tmp_path)]
    assert names == ["a", "b", "b.c", "d", "d[0]", "d[0].e", "d[2]", "d[2].e", "new"]
    for case in expand([entry], tmp_path):
        (tmp_path / "copy").mkdir(exist_ok=True)
        shutil.copy(tmp_path / "r.json", tmp_path / "copy")
        case.apply(tmp_path / "copy")
        assert (tmp_path / "copy/r.json").read_text() != json.dumps(record)


def test_each_field_may_be_missing(tmp_path):
    (tmp_path / "r.json").write_text('{"a": 1, "b": {"c": [2]}}')
    names = [name for name, _ in d.missing_fields("r.json")(tmp_path)]
    assert names == ["without a", "without b", "without b.c"]


@pytest.mark.parametrize("fuzz", [records.fuzz_manifests, tfrecords.fuzz_numpy])
def test_some_inputs_of_the_fuzzing(artefacts, tmp_path, fuzz):
    outcomes = list(fuzz(tmp_path / "inside", artefacts, iter(range(100))))
    assert len(outcomes) == 100
    assert {"read", "refused"} <= set(outcomes)
