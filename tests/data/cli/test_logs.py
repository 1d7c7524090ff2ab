"""Messages: their form, their level, and the file that they go to as well."""

import io
import json
import logging as python_logging
import re
import subprocess
import sys

import pytest
from absl import logging

from data.cli import logs

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
PROGRAM = """
from absl import logging
from data.cli import logs
from data.cli.main import run_main
from data.cli.parser import CommandParser
from data.errors import UserError

def main(argv):
    parser = CommandParser(prog="python -m data.example")
    parser.add_argument("--how", default="")
    args = parser.parse_args(argv)
    assert vars(args) == {"how": args.how}
    logging.debug("fine print")
    logging.info("100% read")
    logging.warning("a word is missing")
    print("the result")
    if args.how == "error":
        raise UserError("a setting is wrong")
    if args.how == "bug":
        raise RuntimeError("a bug")

logs._OURS = ("<string>",)
run_main(main)
"""


@pytest.fixture(autouse=True)
def restored():
    yield
    logs.start()


def run(*arguments: str, task: dict | None = None) -> tuple[str, str]:
    """Run the program above as one of our modules, and return standard output and error."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        capture_output=True,
        text=True,
        env={"TF_CONFIG": json.dumps(task or {}), "PYTHONPATH": "."},
    )
    return done.stdout, done.stderr


def test_message_has_time_and_level(capsys, monkeypatch):
    monkeypatch.setattr(logs, "_OURS", (__file__,))
    logging.info("100% read")
    logging.warning("a word is missing")
    logging.debug("fine print")
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(f"{TIME} INFO 100% read\n{TIME} WARNING a word is missing\n", err)


def test_message_names_the_worker_of_several(capsys, monkeypatch):
    monkeypatch.setattr(logs, "_OURS", (__file__,))
    task = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(task))
    logs.start()
    logging.info("resuming")
    assert re.fullmatch(f"{TIME} INFO worker 1: resuming\n", capsys.readouterr().err)


@pytest.mark.parametrize("text", ["", "{}", "x", "[]", '{"cluster": {"worker": ["a:1"]}}'])
def test_one_process_has_no_number(monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    assert logs.worker_index() is None


@pytest.mark.parametrize(
    ("level", "shown"),
    [("error", 1), ("warning", 2), ("info", 3), ("debug", 4)],
)
def test_level_chooses_the_messages(capsys, monkeypatch, level, shown):
    monkeypatch.setattr(logs, "_OURS", (__file__,))
    logs.set_verbosity(level)
    for log in (logging.error, logging.warning, logging.info, logging.debug):
        log("message")
    assert len(capsys.readouterr().err.splitlines()) == shown


def test_libraries_are_silent_unless_asked(capsys):
    """They log through absl, as tf-models does, or through Python's logging; this file is not ours."""
    library = python_logging.getLogger("a.library")
    logging.warning("untraced functions")
    assert not library.isEnabledFor(python_logging.ERROR)
    logging.error("cannot read")
    logs.set_verbosity("debug")
    logging.warning("untraced functions")
    assert library.isEnabledFor(python_logging.INFO)
    levels = [line.split()[1] for line in capsys.readouterr().err.splitlines()]
    assert levels == ["ERROR", "WARNING"]


def test_messages_can_go_elsewhere(capsys, monkeypatch):
    monkeypatch.setattr(logs, "_OURS", (__file__,))
    stream = io.StringIO()
    with logs.shown_on(stream):
        logging.info("inside")
        assert logs.terminal() is stream
    logging.info("outside")
    assert stream.getvalue().endswith(" INFO inside\n")
    assert capsys.readouterr().err.endswith(" INFO outside\n")


@pytest.mark.parametrize(
    ("how", "last"), [("", "WARNING a word"), ("error", "ERROR error: a set"), ("bug", "a bug")]
)
def test_file_has_messages_and_errors(tmp_path, how, last):
    folder = tmp_path / "new/logs"
    for _ in range(2):
        out, _ = run("--log_dir", str(folder), f"--how={how}")
        assert out == "the result\n"
    (path,) = folder.iterdir()
    assert path.name == "data.example.log"
    lines = path.read_text().splitlines()
    assert last in lines[-1]
    assert sum(
        line.endswith(("ERROR error: a setting is wrong", "a bug")) for line in lines
    ) == 2 * (how != "")


def test_workers_have_files_of_their_own(tmp_path):
    task = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}
    run(f"--log_dir={tmp_path}", task=task)
    assert [path.name for path in tmp_path.iterdir()] == ["data.example.worker-1.log"]


def test_remote_folder_is_an_error():
    assert run("--log_dir", "gs://b/l")[1] == "error: --log_dir gs://b/l: must be a local folder\n"


def test_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    assert run(f"--log_dir={tmp_path}/file/l")[1].startswith(f"error: {tmp_path}/file")


def test_unknown_level_is_an_error():
    assert run("--verbosity=loud")[1].startswith(
        "error: argument --verbosity: invalid choice: 'loud'"
    )
