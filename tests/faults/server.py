"""Load the libraries once, make the artefacts, and run cases in forks of this process."""

from __future__ import annotations

import dataclasses
import importlib
import logging
import os
import pickle
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from tests.faults import artefacts
from tests.faults.case import Case, Command, same
from tests.faults.sandbox import LIMIT_SECONDS, Ran, in_child, problems, run_case

# Everything that a command loads; TensorFlow has no threads and no devices before its first operation.
_LIBRARIES = (
    *("tensorflow", "tf_keras", "apache_beam", "rich.console", "matplotlib.figure"),
    *("official.nlp.modeling.models", "data.build", "data.pipeline", "data.view.__main__"),
    *("data.read.graph_reader", "launch.plan.__main__", "launch.worker.stage"),
    *("pretrain.experiment", "pretrain.export.__main__", "pretrain.report.__main__"),
    *("pretrain.run", "pretrain.train.exits"),
)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """A case, what its command did, and what is wrong with that."""

    case: Case
    ran: Ran
    problems: tuple[str, ...]


def load_libraries() -> None:
    """Import what commands import, and silence what libraries print about themselves."""
    os.environ.update(CUDA_VISIBLE_DEVICES="", TF_CPP_MIN_LOG_LEVEL="3", LAMBERT_PREEMPTION_URL="")
    logging.disable(logging.WARNING)
    for name in _LIBRARIES:
        importlib.import_module(name)
    logging.disable(logging.NOTSET)


def make_artefacts(folder: Path, show: Callable[[str], None]) -> None:
    """Make the artefacts that a folder lacks."""
    logs = folder.parent / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    for name, make in artefacts.make_steps(folder).items():
        complete = folder.parent / f"{name}.complete"
        if complete.exists():
            continue
        show(name)
        shutil.rmtree(folder / name, ignore_errors=True)
        folder.mkdir(exist_ok=True)

        def run(make: Callable[[], object] = make) -> int:
            os.chdir(folder)
            return make() or 0

        log = logs / f"{name}.log"
        log.unlink(missing_ok=True)
        ran = in_child(run, stdout=log, stderr=log, limit=3 * LIMIT_SECONDS)
        if ran.code:
            raise RuntimeError(f"{name} could not be made: {ran.stdout[-2000:]}")
        complete.touch()


def run_cases(
    cases: Sequence[Case], folder: Path, *, jobs: int
) -> Iterator[Outcome | tuple[Command, Ran]]:
    """Run commands on undamaged files, then the cases; yield each when it is finished.

    Args:
      cases: the cases.
      folder: folder of the artefacts.
      jobs: number of cases that run at the same time.

    Yields:
      (command, what it did) on undamaged files, once for each command whose result a case is compared
      with; then an outcome for each case.
    """
    compared = [c.command for c in cases if c.right.may_succeed and not c.right.changes_result]
    commands = list({id(command): command for command in compared}.values())
    whole = [
        Case(row=-1, detail="", apply=lambda _: None, command=command, right=same())
        for command in commands
    ]
    results: dict[int, object] = {}
    for number, ran in _run_all(whole, folder, jobs=jobs):
        command = whole[number].command
        if wrong := problems(whole[number], ran, ran.result):
            raise RuntimeError(f"{command} on undamaged files: {wrong}: {ran.stderr[-1500:]}")
        results[id(command)] = ran.result
        yield command, ran
    for number, ran in _run_all(cases, folder, jobs=jobs):
        case = cases[number]
        yield Outcome(case, ran, tuple(problems(case, ran, results.get(id(case.command)))))


def _run_all(cases: Sequence[Case], folder: Path, *, jobs: int) -> Iterator[tuple[int, Ran]]:
    """Yield (number of the case, what its command did) in the order in which they end."""
    work = folder.parent / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    waiting: Iterable[int] = iter(range(len(cases)))
    running: dict[int, int] = {}
    while True:
        while len(running) < jobs and (number := next(waiting, None)) is not None:
            running[_start(cases[number], folder, work / str(number))] = number
        if not running:
            return
        for child, number in list(running.items()):
            done, _ = os.waitpid(child, os.WNOHANG)
            if done:
                del running[child]
                yield number, _finish(work / str(number))
        time.sleep(0.005)


def _start(case: Case, folder: Path, place: Path) -> int:
    """Run a case in a fork of this process, which survives whatever its command does."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        ran = run_case(case, folder, place)
        (place / "ran.pickle").write_bytes(pickle.dumps(ran))
        code = 0
    except BaseException as error:
        place.mkdir(parents=True, exist_ok=True)
        (place / "failed").write_text(f"{type(error).__name__}: {error}")
    finally:
        os._exit(code)


def _finish(place: Path) -> Ran:
    result = place / "ran.pickle"
    if result.exists():
        ran = pickle.loads(result.read_bytes())  # noqa: S301  written by the fork above
    else:
        failed = place / "failed"
        why = failed.read_text() if failed.exists() else "no result"
        ran = Ran(
            code=70, stdout="", stderr=f"the case could not be run: {why}", seconds=0, memory=0
        )
    _remove(place)
    return ran


def _remove(place: Path) -> None:
    for path in place.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
    shutil.rmtree(place, ignore_errors=True)
