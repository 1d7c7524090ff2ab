"""Beam runners: supported runners, their options, readable errors, progress."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import io
import itertools
import os
import re
import sys
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from data.cli import logs
from data.cli.workers import choose_workers
from data.errors import UserError, shorten
from data.files import is_remote
from data.sources.progress import Phase, Progress
from data.stages.journal import WORKERS_LOG, Journal

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

# The full class name, because Beam's "DirectRunner" selects one of two engines.
DEFAULT_RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
_LOCAL_RUNNERS = ("FnApiRunner", "PortableRunner", "PrismRunner")
# Their workers do not share a local disk, so all files must be in shared storage.
_REMOTE_RUNNERS = ("DataflowRunner", "FlinkRunner", "SparkRunner")
_REFUSED = {
    "DirectRunner": "it selects FnApiRunner or PrismRunner, depending on the machine",
    "DaskRunner": "it silently loses elements that are emitted at the end of a bundle",
}
# Name and unit of the phase of each kind of tasks in the journal.
_PHASES = {
    "read": ("reading text", "B"),
    "duplicates": ("finding duplicates", "task"),
    "pack": ("packing", "shard"),
    "mask": ("masking", "shard"),
}
# Classes of Beam's options for these; they change nothing on this machine, and Beam takes them silently.
_REMOTE_OPTIONS = (
    *("FlinkRunnerOptions", "GoogleCloudOptions", "JobServerOptions", "PortableOptions"),
    *("SparkRunnerOptions", "WorkerOptions"),
)
# Options of Beam that choose the workers.
_WORKER_FLAGS = ("--runner", "--direct_num_workers", "--direct_running_mode")
_MAX_WORKERS = 1024


def worker_flags(beam_args: Sequence[str], workers: int | None, *, num_bytes: int) -> list[str]:
    """Return Beam's options for processes on this machine; none if its own options choose them.

    Args:
      beam_args: Beam's options of the command line.
      workers: number of processes; None takes all cores, but fewer for little text.
      num_bytes: size of the input.

    Raises:
      UserError: the number is out of range, or Beam's options choose the workers, too.
    """
    number = choose_workers(workers, num_bytes=num_bytes)
    chosen = [flag for flag in beam_args if flag.partition("=")[0] in _WORKER_FLAGS]
    if chosen and workers is not None:
        raise UserError(
            f"--workers {workers} and {chosen[0]} both choose the workers; give one of them"
        )
    if chosen:
        return []
    if number == 1:
        return []
    return [f"--direct_num_workers={number}", "--direct_running_mode=multi_processing"]


def pipeline_options(
    beam_args: Sequence[str], *, output_dir: str, paths: Sequence[str]
) -> PipelineOptions:
    """Return Beam's options, checked.

    Args:
      beam_args: arguments of the command line; the runner defaults to FnApiRunner.
      output_dir: build directory.
      paths: files that the build reads.

    Raises:
      UserError: an unknown or unsupported runner, a misspelt option, or a local path for workers
        on other machines.
    """
    from apache_beam.options.pipeline_options import PipelineOptions

    runner = _checked_runner(beam_args)
    if runner.rpartition(".")[2] in _REMOTE_RUNNERS:
        for path in (output_dir, *paths):
            if not is_remote(path):
                raise UserError(
                    f"--runner={runner}: {path} is a local path, which workers on other machines"
                    " cannot reach; copy the files to a bucket and give gs://... paths"
                )
    # The job servers of Flink and Spark, in Java, have no CRITICAL.
    log_level = "CRITICAL" if runner.endswith("FnApiRunner") else "ERROR"
    usage = io.StringIO()
    try:
        with contextlib.redirect_stderr(usage):
            options = PipelineOptions(
                list(beam_args), runner=runner, default_sdk_harness_log_level=log_level
            )
            values = options.get_all_options()
    except SystemExit:  # a value of another type; the usage of Beam has more than a hundred lines
        reason = usage.getvalue().strip().rpartition("error: ")[2]
        raise UserError(f"{reason}; see the options of Beam") from None
    workers = values.get("direct_num_workers", 1)
    if not 0 <= workers <= _MAX_WORKERS:
        raise UserError(
            f"--direct_num_workers={workers}: must be between 0 (one per core) and {_MAX_WORKERS}"
        )
    return options


def _checked_runner(beam_args: Sequence[str]) -> str:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--runner", default=DEFAULT_RUNNER)
    runner = parser.parse_known_args(list(beam_args))[0].runner
    name = runner.rpartition(".")[2]
    if name not in (*_LOCAL_RUNNERS, *_REMOTE_RUNNERS):
        reason = f": {_REFUSED[name]}" if name in _REFUSED else ""
        raise UserError(
            f"--runner={runner} is not supported{reason}; omit it to build on this machine (with"
            f" --workers N), or use one of"
            f" {', '.join((*_LOCAL_RUNNERS, *_REMOTE_RUNNERS))}"
        )
    return runner


def check_prism(beam_args: Sequence[str]) -> None:
    """Check that Prism is a program on this machine; Beam would else download one and run it.

    Raises:
      UserError: the runner is Prism, and its program is missing.
    """
    if not _checked_runner(beam_args).endswith("PrismRunner"):
        return
    from apache_beam.version import __version__

    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--prism_location")
    program = parser.parse_known_args(list(beam_args))[0].prism_location
    if program is None or not (os.path.isfile(program) and os.access(program, os.X_OK)):
        given = "is missing" if program is None else f"{program}: is no program"
        raise UserError(
            f"--prism_location {given}; build it with"
            f" `go install github.com/apache/beam/sdks/v2/go/cmd/prism@v{__version__}`"
        )


def check_flags(beam_args: Sequence[str], own_flags: Collection[str]) -> None:
    """Raise a UserError for options that Beam ignores silently: unknown ones, and those of other runners.

    Args:
      beam_args: what the program's own parser does not know.
      own_flags: flags of that parser, for suggestions.
    """
    from apache_beam.options import pipeline_options

    known = set(_flags_of(pipeline_options.PipelineOptions.__subclasses__()))
    is_local = _checked_runner(beam_args).rpartition(".")[2] == "FnApiRunner"
    remote = _flags_of(getattr(pipeline_options, name) for name in _REMOTE_OPTIONS)
    for previous, flag in itertools.pairwise(["", *beam_args]):
        if not flag.startswith("-") and (not previous.startswith("-") or "=" in previous):
            raise UserError(f"{flag!r} belongs to no option; see --help")
        name = flag.removeprefix("--").partition("=")[0]
        if flag.startswith("-") and name not in known and name.removeprefix("no_") not in known:
            own = [own_flag.removeprefix("--") for own_flag in own_flags]
            nearest = difflib.get_close_matches(name, [*own, *known], n=1)
            hint = f"did you mean --{nearest[0]}?" if nearest else "see --help"
            raise UserError(f"{flag} is neither an option of this program nor of Beam; {hint}")
        if flag.startswith("-") and is_local and name in remote:
            raise UserError(
                f"{flag} has no effect on this machine: it is an option of other runners; --workers N"
                " sets the number of processes here"
            )


def _flags_of(options: Iterable[Any]) -> set[str]:
    """Return the names of the flags of classes of Beam's options, without dashes."""
    parser = argparse.ArgumentParser(add_help=False, conflict_handler="resolve")
    for cls in options:
        if hasattr(cls, "_add_argparse_args"):
            cls._add_argparse_args(parser)
    flags = [flag for action in parser._actions for flag in action.option_strings]
    return {flag.lstrip("-") for flag in flags}


@contextlib.contextmanager
def readable_beam_errors(output_dir: str) -> Iterator[None]:
    """Raise UserErrors and OS errors of workers as one line.

    Beam turns exceptions of workers into text, with a stack trace and the name of the step.

    Args:
      output_dir: build directory, where the log of the workers is.
    """
    try:
        yield
    except Exception as error:
        if "KeyboardInterrupt" in str(error):
            raise KeyboardInterrupt from None
        name = "" if isinstance(error, UserError) else rf"\b(?:{'|'.join(_user_errors())}): "
        step = r"(?: \[while running .*)?$"
        messages = re.findall(rf"{name}(.+?){step}", str(error), re.M)
        # A full disk or a missing permission, for example; the message names the file.
        messages += re.findall(rf"\b\w*Error: \[Errno \d+\] (.+?){step}", str(error), re.M)
        if messages:
            raise UserError(messages[-1]) from None
        ended = re.search(r"failed in state \w+: (?:[\w.$]+: )?(.+)", str(error))
        if ended and "Traceback" not in str(error):
            raise UserError(
                f"the engine ended the job: {shorten(ended[1])}; what is finished is kept: run the same"
                " command again"
            ) from None
        if "Channel closed prematurely" in str(error):
            raise UserError(
                "a worker process died; if it ran out of memory, use fewer workers"
                f" (--workers); its log is {output_dir}/{WORKERS_LOG}"
            ) from None
        raise


def _user_errors(kind: type[UserError] = UserError) -> Iterator[str]:
    """Yield the names of the class and of all classes derived from it."""
    yield kind.__name__
    for derived in kind.__subclasses__():
        yield from _user_errors(derived)


@contextlib.contextmanager
def quiet_workers(log_path: str) -> Iterator[None]:
    """Redirect the output of worker processes to a file; our own messages stay on the terminal.

    Beam's workers print a dozen lines each when they start and stop, at any log level.
    """
    os.makedirs(os.path.dirname(log_path), exist_ok=True)
    sys.stderr.flush()
    terminal = os.dup(2)
    with open(log_path, "ab") as log:
        os.dup2(log.fileno(), 2)
    try:
        with open(terminal, "w", closefd=False) as stream, logs.shown_on(stream):
            yield
    finally:
        sys.stderr.flush()
        os.dup2(terminal, 2)
        os.close(terminal)


class BuildProgress:
    """Shows the phases of a build one after the other, by the records of finished tasks."""

    def __init__(self, journal: Journal, phases: Mapping[str, Mapping[str, int]]):
        """Describe the build.

        Args:
          journal: records of finished tasks.
          phases: size of each task, by kind of tasks (in order) and name of the task; the size is in
            bytes for "read".
        """
        self._journal, self._phases = journal, phases
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *unused: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        for kind, sizes in self._phases.items():
            name, unit = _PHASES[kind]
            done = self._done(kind)
            phase = Phase(name=name, total=sum(sizes.values()), unit=unit, done=done)
            if done == phase.total or self._ended.is_set():
                continue
            with Progress(phase, program="data") as progress:
                self._follow(kind, progress)

    def _follow(self, kind: str, progress: Progress) -> None:
        """Update the progress of a phase until it or the build ends."""
        total, pause = sum(self._phases[kind].values()), 0.5
        while not self._ended.wait(pause):
            began = time.monotonic()
            progress.update(done := self._done(kind))
            if done == total:
                return
            pause = max(0.5, 20 * (time.monotonic() - began))  # poll large builds less often
        progress.update(self._done(kind))

    def _done(self, kind: str) -> int:
        sizes = self._phases[kind]
        finished = self._journal.finished(kind)
        begun = {
            task: size for task, size in self._journal.sizes_begun(kind).items() if task in sizes
        }
        done = {task: min(size, sizes[task]) for task, size in begun.items()}
        done |= {task: sizes[task] for task in finished if task in sizes}
        return sum(done.values())
