"""Everything about Beam runners: which are trusted, their options, their errors, a progress bar."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import itertools
import os
import re
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import TextIO

from data.errors import UserError
from data.files import is_remote
from data.stages.journal import WORKERS_LOG, Journal

# The class by its full name: Beam's "DirectRunner" is a switch between two engines.
DEFAULT_RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
_LOCAL_RUNNERS = ("FnApiRunner", "PortableRunner")
# Their workers have disks of their own, so that the files must lie where all can reach them.
_REMOTE_RUNNERS = ("DataflowRunner", "FlinkRunner", "SparkRunner")
_REFUSED = {
    "DirectRunner": "it is a switch between two engines, and which one runs depends on the machine",
    "DaskRunner": "it loses elements that are emitted when a bundle ends, without an error",
}
# Kinds of tasks in the journal, in order.
_PHASES = {
    "read": "reading text",
    "duplicates": "finding duplicates",
    "pack": "packing",
    "mask": "masking",
}
OWN_FLAGS = ("gin_file", "gin_param", "vocab_file", "output_dir", "decontaminate", "verify")


def pipeline_options(beam_args: Sequence[str], *, output_dir: str, paths: Sequence[str]):
    """Beam's options, checked.

    Args:
      beam_args: from the command line; the runner defaults to FnApiRunner.
      output_dir: of the build.
      paths: of the files it reads.

    Raises:
      UserError: an unknown or refused runner, a misspelt option, or a local path for workers on
        other machines.
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
    options = PipelineOptions(
        list(beam_args), runner=runner, default_sdk_harness_log_level="CRITICAL"
    )
    _check_flags(beam_args, set(options.get_all_options()))
    return options


def _checked_runner(beam_args: Sequence[str]) -> str:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--runner", default=DEFAULT_RUNNER)
    runner = parser.parse_known_args(list(beam_args))[0].runner
    name = runner.rpartition(".")[2]
    if name not in (*_LOCAL_RUNNERS, *_REMOTE_RUNNERS):
        reason = f": {_REFUSED[name]}" if name in _REFUSED else ""
        raise UserError(
            f"--runner={runner} is not supported{reason}; leave it out to build on this machine"
            f" (with --direct_num_workers=N --direct_running_mode=multi_processing), or take one of"
            f" {', '.join((*_LOCAL_RUNNERS, *_REMOTE_RUNNERS))}"
        )
    return runner


def _check_flags(beam_args: Sequence[str], known: set[str]) -> None:
    """Beam drops options it does not know; a misspelt one must not pass silently."""
    for previous, flag in itertools.pairwise(["", *beam_args]):
        if not flag.startswith("-") and (not previous.startswith("-") or "=" in previous):
            raise UserError(f"{flag!r} belongs to no option; see --help")
        name = flag.removeprefix("--").partition("=")[0]
        if flag.startswith("-") and name not in known and name.removeprefix("no_") not in known:
            nearest = difflib.get_close_matches(name, known.union(OWN_FLAGS), n=1)
            hint = f"did you mean --{nearest[0]}?" if nearest else "see --help"
            raise UserError(f"{flag} is neither an option of this program nor of Beam; {hint}")


@contextlib.contextmanager
def errors_for_people(output_dir: str) -> Iterator[None]:
    """Unwraps what Beam makes of exceptions: text with a stack and the name of the step."""
    try:
        yield
    except Exception as error:
        if "KeyboardInterrupt" in str(error):
            raise KeyboardInterrupt from None
        name = "" if isinstance(error, UserError) else r"\bUserError: "
        step = r"(?: \[while running .*)?$"
        found = re.findall(rf"{name}(.+?){step}", str(error), re.M)
        # A full disk, a missing permission: Python says which, and where.
        found += re.findall(rf"\b\w*Error: \[Errno \d+\] (.+?){step}", str(error), re.M)
        if found:
            raise UserError(found[-1]) from None
        if "Channel closed prematurely" in str(error):
            raise UserError(
                "a worker process died; if it was for want of memory, take fewer workers"
                f" (--direct_num_workers); {output_dir}/{WORKERS_LOG} has what it said"
            ) from None
        raise


@contextlib.contextmanager
def quiet_workers(log_path: str) -> Iterator[TextIO]:
    """Sends what worker processes print to a file; yields the terminal for our own output.

    Beam's workers greet and take leave with a dozen lines each, whatever their log level.
    """
    os.makedirs(os.path.dirname(log_path), exist_ok=True)
    sys.stderr.flush()
    terminal = os.dup(2)
    with open(log_path, "ab") as log:
        os.dup2(log.fileno(), 2)
    try:
        with open(terminal, "w", closefd=False) as stream:
            yield stream
    finally:
        sys.stderr.flush()
        os.dup2(terminal, 2)
        os.close(terminal)


class ProgressBar:
    """Counts the finished tasks of a build on a local disk."""

    def __init__(self, journal: Journal, num_tasks: int, stream: TextIO):
        self._journal, self._total, self._stream = journal, num_tasks, stream
        self._done = threading.Event()

    def __enter__(self):
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *unused):
        self._done.set()
        self._thread.join()

    def _watch(self):
        from tqdm import tqdm

        with tqdm(
            total=self._total, desc="reading text", unit="task", disable=None, file=self._stream
        ) as bar:
            pause = 0.5
            while not self._done.wait(pause):
                started = time.monotonic()
                self._update(bar)
                pause = max(0.5, 20 * (time.monotonic() - started))  # large builds: look less often
            self._update(bar)

    def _update(self, bar) -> None:
        finished = self._journal.finished()
        bar.update(sum(finished.values()) - bar.n)
        phases = [phase for kind, phase in _PHASES.items() if kind in finished]
        if phases:
            bar.set_description(phases[-1])
