"""Exit codes and messages of commands, with standard streams that are closed, full or without a reader."""

import subprocess
import sys

import pytest

# The first argument says how the program ends, the others are files to write.
PROGRAM = """
import subprocess, sys
from data import files
from data.cli.main import run_main
from data.errors import UserError

def main(argv):
    how, *paths = argv
    for path in paths:
        files.write_atomically(path, b"x" * 5000)
    for number in range(20_000):
        print("line", number)
    if how == "error":
        raise UserError("a setting is wrong")
    if how == "preempted":
        sys.exit(42)
    if how == "bug":
        raise OSError("no file and no number")

run_main(main)
"""
PLAN = [sys.executable, "-m", "launch.plan", "--gin_file", "gin/lambert_large.gin"]


def run_in_shell(script: str, *command: str) -> tuple[int, str, str]:
    """Run a command as "$@" of a bash script; return its exit code and output."""
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {script}", "-", *command], capture_output=True, text=True
    )
    return done.returncode, done.stdout, done.stderr


def program(*arguments: object) -> list[str]:
    return [sys.executable, "-c", PROGRAM, *map(str, arguments)]


@pytest.mark.parametrize(("how", "code"), [("done", 0), ("error", 2), ("preempted", 42)])
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_change_no_exit_code_and_no_file(tmp_path, how, code, closed):
    path = tmp_path / "file"
    found, out, err = run_in_shell(f'"$@" {closed}', *program(how, path))
    assert found == code
    assert path.read_bytes() == b"x" * 5000
    visible = out if "2>&-" in closed else err
    said = how == "error" and not (">&-" in closed.split() and "2>&-" in closed)
    assert visible.endswith("error: a setting is wrong\n") is said


def test_output_that_nobody_reads_ends_the_command_without_a_word(tmp_path):
    assert run_in_shell('"$@" | head -1', *program("done")) == (141, "line 0\n", "")
    assert run_in_shell('"$@" 2>&1 | head -1', *program("done")) == (141, "line 0\n", "")


def test_full_output_is_one_line():
    message = "error: standard output: No space left on device\n"
    assert run_in_shell('"$@" > /dev/full', *program("done")) == (2, "", message)
    assert run_in_shell('"$@" > /dev/full 2> /dev/full', *program("error"))[0] == 2


def test_file_beyond_the_limit_is_named(tmp_path):
    script = 'ulimit -f 2; "$@"'
    found = run_in_shell(script, *program("done", tmp_path / "large"))
    assert found == (2, "", f"error: {tmp_path}/large: File too large\n")
    assert list(tmp_path.iterdir()) == []


def test_bug_keeps_its_stack_trace():
    code, _, err = run_in_shell('"$@"', *program("bug"))
    assert code == 1
    assert "Traceback" in err
    assert "no file and no number" in err


@pytest.mark.parametrize(
    ("script", "expected"), [('"$@" >&-', 0), ('"$@" 2>&-', 0), ('"$@" | true', 141)]
)
def test_program_of_the_project(script, expected):
    code, _, err = run_in_shell(script, *PLAN, "--accelerator", "v5e-256")
    assert (code, err) == (expected, "")
