"""Run one case in a folder of its own, and compare what happened with what is right.

The command runs in a fork of this process, which has loaded the libraries already, or as a process of its
own. Its output goes to files; what it opens for writing outside its folder is recorded.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fnmatch
import hashlib
import importlib
import json
import os
import re
import resource
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from data.cli.main import run_main
from tests.faults.case import Case, Command
from tests.support.paths import ROOT

LIMIT_SECONDS = float(os.environ.get("FAULTS_LIMIT_SECONDS", "300"))
MAX_ERROR_LINES = 1  # of a command that refuses
MAX_LINES = 200  # of any output
MAX_LINE = 4000  # characters
MAX_MEMORY = 6 * 2**30  # bytes, with the libraries
_MAX_HASHED = 2**26
# Messages, and lines of TensorFlow about itself, which no command can turn off.
_NOTICE = re.compile(
    r"WARNING: All log messages before absl::InitializeLog|[IW]\d{4} \d\d:?|\d{4}-\S+Z (?:INFO|WARNING) "
)
# What any command may leave behind, also one that refuses.
_ALWAYS = ("inside/model/.lock", "inside/*/.lock", "inside/*/*/.lock", "tmp/*", "out/*")
_WRITE_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_WRITE_EVENTS = {
    "os.mkdir": 0,
    "os.rename": 1,
    "os.link": 1,
    "os.symlink": 1,
    "os.remove": 0,
    "os.rmdir": 0,
    "os.truncate": 0,
    "os.chmod": 0,
    "shutil.rmtree": 0,
}


@dataclasses.dataclass(frozen=True)
class Ran:
    """Behaviour of a command.

    Attributes:
      code: exit code; negative is a signal; None if it ran past the time limit.
      stdout: what it printed.
      stderr: what it printed as errors.
      seconds: duration.
      memory: largest resident memory, in bytes.
      outside: paths that it opened for writing outside its folder.
      changed: paths below its folder that it created, changed or removed.
      result: see Command.result; None unless the code is 0.
    """

    code: int | None
    stdout: str
    stderr: str
    seconds: float
    memory: int
    outside: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    result: object = None

    @property
    def last_line(self) -> str:
        """The error, or else the end of the output."""
        lines = [line for line in (self.stderr or self.stdout).splitlines() if line.strip()]
        return lines[-1] if lines else ""


def run_case(case: Case, artefacts: Path, folder: Path, python_path: str = "") -> Ran:
    """Copy what the command needs, damage it, run the command, and look at what has changed."""
    inside = folder / "inside"
    for part in (inside, folder / "tmp", folder / "home", folder / "outside", folder / "out"):
        part.mkdir(parents=True)
    (folder / "outside/canary").write_text("stay as you are\n")
    for name in case.command.needs:
        source = artefacts / name
        if source.is_dir():
            shutil.copytree(source, inside / name, symlinks=True)
        else:
            shutil.copy2(source, inside / name)
    case.apply(inside)
    before = snapshot(folder)
    ran = _run(case.command, folder, is_process=case.is_process, python_path=python_path)
    after = snapshot(folder)
    changed = sorted(
        path for path in before.keys() | after.keys() if before.get(path) != after.get(path)
    )
    result = None
    if ran.code == 0:
        try:
            result = _plain(case.command.result(inside, ran.stderr + ran.stdout))
        except Exception as error:
            result = f"no result: {error!r}"
    return dataclasses.replace(ran, changed=tuple(changed), result=result)


def problems(case: Case, ran: Ran, expected: object) -> list[str]:
    """Return what is wrong with what a command did; nothing if all is right.

    Args:
      case: the case.
      ran: what the command did.
      expected: result of the command on undamaged files.
    """
    found, right = [], case.right
    if ran.code is None:
        return [f"it did not end within {LIMIT_SECONDS} seconds"]
    if ran.code < 0:
        found.append(f"it was killed by signal {-ran.code}")
    if "Traceback (most recent call last)" in ran.stdout + ran.stderr:
        found.append("a stack trace")
    if ran.memory > MAX_MEMORY:
        found.append(f"it took {ran.memory:,} bytes of memory")
    found += [f"it opened {path} for writing" for path in ran.outside]
    lines = [line for line in (ran.stdout + ran.stderr).splitlines() if line.strip()]
    if len(lines) > MAX_LINES or max(map(len, lines), default=0) > MAX_LINE:
        found.append(f"{len(lines)} lines of up to {max(map(len, lines))} characters")
    allowed = _ALWAYS
    if ran.code == 0 and right.may_succeed:
        allowed += tuple(f"inside/{pattern}" for pattern in case.command.writes)
        found += [
            f"it does not say {text!r}" for text in right.says if text not in "\n".join(lines)
        ]
        if not right.changes_result and ran.result != expected:
            found.append(f"another result: {_difference(ran.result, expected)}")
    elif right.code is not None and ran.code == right.code:
        allowed += tuple(f"inside/{pattern}" for pattern in case.command.leaves)
        found += _problems_of_refusal(case, ran)
    else:
        found.append(f"exit code {ran.code}")
    found += [
        f"it changed {path}"
        for path in ran.changed
        if not any(fnmatch.fnmatch(path, pattern) for pattern in allowed)
    ]
    return found


def _problems_of_refusal(case: Case, ran: Ran) -> list[str]:
    lines = [line for line in ran.stderr.splitlines() if line.strip()]
    lines = [line for line in lines if not _NOTICE.match(line)]
    if len(lines) > MAX_ERROR_LINES or not ran.last_line.startswith("error: "):
        return [f"{len(lines)} lines of errors, the last is {ran.last_line[:200]!r}"]
    return [
        f"the error does not name {name!r}" for name in case.right.names if name not in lines[-1]
    ]


def snapshot(folder: Path) -> dict[str, str]:
    """Return type, permissions and content of everything below a folder, by relative path."""
    found = {}
    for root, directories, names in os.walk(folder):
        for name in (*directories, *names):
            path = Path(root, name)
            status = path.lstat()
            content = ""
            if stat.S_ISLNK(status.st_mode):
                content = os.readlink(path)
            elif stat.S_ISREG(status.st_mode):
                content = f"{status.st_size}"
                if status.st_size <= _MAX_HASHED:
                    content += hashlib.sha256(path.read_bytes()).hexdigest()
            found[path.relative_to(folder).as_posix()] = f"{status.st_mode:o} {content}"
    return found


def in_child(function: Callable[[], int], *, stdout: Path, stderr: Path, limit: float) -> Ran:
    """Run a function in a fork of this process, which returns its exit code."""
    started = time.monotonic()
    child = os.fork()
    if not child:
        code = 70
        try:
            os.setsid()
            for stream, path in ((1, stdout), (2, stderr)):
                target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
                os.dup2(target, stream)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
            sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
            code = function()
        except BaseException:
            traceback.print_exc()
            code = 1
        finally:
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(Exception):
                    stream.flush()
            os._exit(code)
    status, usage = wait(child, started + limit)
    if status is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        _, _, usage = os.wait4(child, 0)
    else:
        with contextlib.suppress(ProcessLookupError):  # what it may have left running
            os.killpg(child, signal.SIGKILL)
    return Ran(
        code=None if status is None else os.waitstatus_to_exitcode(status),
        stdout=_text(stdout),
        stderr=_text(stderr),
        seconds=time.monotonic() - started,
        memory=usage.ru_maxrss * 1024 if usage else 0,
    )


def wait(child: int, deadline: float) -> tuple[int | None, Any]:
    """Wait for a process until a time of the monotonic clock; return status and usage."""
    while True:
        done, status, usage = os.wait4(child, os.WNOHANG)
        if done:
            return status, usage
        if time.monotonic() > deadline:
            return None, None
        time.sleep(0.01)


def call_main(command: Command) -> int:
    """Run the entry point of a command in this process, and return its exit code."""
    module = importlib.import_module(command.module)
    sys.argv = [f"{command.module}", *command.args]
    try:
        run_main(module.main, command.args)
    except SystemExit as stop:
        code = 0 if stop.code is None else stop.code
        if not isinstance(code, int):
            print(code, file=sys.stderr)
            code = 1
    else:
        code = 0
    for thread in threading.enumerate():  # as the interpreter does at its end
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    return code


def _run(command: Command, folder: Path, *, is_process: bool, python_path: str) -> Ran:
    environment = {
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
        "CUDA_VISIBLE_DEVICES": "",
        "LAMBERT_PREEMPTION_URL": "",
        "PYTHONDONTWRITEBYTECODE": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    violations = folder / "out/violations"

    def run() -> int:
        os.chdir(folder / "inside")
        os.environ.update(environment)
        sys.dont_write_bytecode = True
        _limit_memory()
        if is_process:
            os.environ["PYTHONPATH"] = f"{ROOT}:{python_path}"
            argv = [sys.executable, "-P", "-m", command.module, *command.args]
            return subprocess.run(argv, check=False).returncode
        import tempfile

        tempfile.tempdir = None
        watch_writes(folder, violations)
        return call_main(command)

    ran = in_child(
        run,
        stdout=folder / "out/stdout",
        stderr=folder / "out/stderr",
        limit=LIMIT_SECONDS,
    )
    outside = tuple(sorted(set(_text(violations).splitlines()))) if violations.exists() else ()
    return dataclasses.replace(ran, outside=outside)


def _limit_memory() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (2**35, 2**35))


def watch_writes(folder: Path, violations: Path) -> None:
    """Record every path that this process opens for writing outside a folder."""
    target = os.open(violations, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    roots = (str(folder), "/dev/null", "/proc/", "/dev/shm/", "/dev/tty", "/dev/ptmx")  # noqa: S108

    def hook(event: str, args: tuple) -> None:
        if event == "open":
            path, _, flags = args
            if not (isinstance(flags, int) and flags & _WRITE_FLAGS):
                return
        elif event in _WRITE_EVENTS:
            path = args[_WRITE_EVENTS[event]]
        else:
            return
        if isinstance(path, (str, bytes, os.PathLike)):
            path = os.path.abspath(os.fsdecode(path))
            if not path.startswith(roots):
                os.write(target, f"{path}\n".encode("utf-8", "replace"))

    sys.addaudithook(hook)


def _text(path: Path) -> str:
    if not path.exists():
        return ""
    with path.open("rb") as file:
        return file.read(2**20).decode("utf-8", "replace")


def _plain(value: object) -> object:
    return json.loads(json.dumps(value, sort_keys=True, default=str))


def _difference(actual: object, expected: object) -> str:
    if isinstance(actual, dict) and isinstance(expected, dict):
        keys = [k for k in actual.keys() | expected.keys() if actual.get(k) != expected.get(k)]
        shown = sorted(keys)[:3]
        return ", ".join(
            f"{k}: {str(actual.get(k))[:80]} not {str(expected.get(k))[:80]}" for k in shown
        )
    for one, other in zip(str(actual).splitlines(), str(expected).splitlines(), strict=False):
        if one != other:
            return f"{one[:150]!r} not {other[:150]!r}"
    return f"{str(actual)[:100]!r} not {str(expected)[:100]!r}"
