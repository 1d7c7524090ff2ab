"""Measure on this machine's GPU: all jobs of bench/gpu/jobs.py, within a time.

    python3 -m bench.gpu.device --output_dir OUT --seconds 470

Needs jax, PyTorch, transformers and the exported programs; no TensorFlow and no network. OUT/rows.jsonl
gets a row for each process as soon as it ends, OUT/device.log what processes print. The processes of a
wave compile side by side. When all of them are ready, or late, they are timed one after the other while
nothing else runs. A process that fails, hangs or leaves no row becomes a row with an error.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime
import importlib.metadata
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from bench.data.measure import machine
from bench.gpu.jobs import Job, select, small_waves, waves
from bench.gpu.rows import require_complete
from data.checked_json import DamagedRecord, Record, parse_json

_LIBRARIES = (
    "jax",
    "jaxlib",
    "jax-cuda13-plugin",
    "numpy",
    "torch",
    "transformers",
    "triton",
    "timm",
)
_POLL_SECONDS = 0.1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """Times in seconds.

    Attributes:
      compiling: until a process of a wave must be ready for its turn.
      turn: until a process must end, after its turn has begun.
      reserved: kept for the turn of each process that is ready, when the time is nearly over.
      shortest_wave: no wave starts with less left.
    """

    compiling: float = 200.0
    turn: float = 60.0
    reserved: float = 12.0
    shortest_wave: float = 60.0


@dataclasses.dataclass
class Running:
    """A process, and where it leaves its files; see bench/gpu/process.py."""

    job: Job
    popen: subprocess.Popen
    exchange: Path
    why_stopped: str = ""

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self.popen.poll() is None

    @property
    def is_ready(self) -> bool:
        """Whether the process waits for its turn."""
        return self.job.takes_turn and self.exchange.with_suffix(".ready").exists()

    def give_turn(self) -> None:
        """Tell the process that the device is its own."""
        self.exchange.with_suffix(".go").touch()

    def stop(self, why: str) -> None:
        """Kill the process and its children."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait()
        self.why_stopped = why

    def row(self) -> dict[str, Any]:
        """Return the row of an ended process, or one that says why there is none."""
        label = {"label": self.job.label}
        try:
            content = self.exchange.with_suffix(".json").read_bytes()
        except FileNotFoundError:
            ended = f"ended with exit code {self.popen.returncode} and left no row; see device.log"
            return {**label, "error": self.why_stopped or ended}
        row = label
        try:
            row = {**label, **parse_json(content, "its row").fields}
            require_complete(Record(row, "its row"))
        except DamagedRecord as error:
            return {**row, "error": self.why_stopped or str(error)}
        if self.why_stopped:  # everything important was measured before
            row["not_measured"] = self.why_stopped
        return row


class Wave:
    """Processes that compile side by side and are timed one after the other."""

    def __init__(self, jobs: Sequence[Job], *, limits: Limits, deadline: float, log: IO[str]):
        """Prepare a wave.

        Args:
          jobs: its jobs.
          limits: times for each process.
          deadline: when all must have ended, as in `time.monotonic`.
          log: file for what the processes print.
        """
        self._jobs, self._limits, self._deadline, self._log = jobs, limits, deadline, log
        self._running: list[Running] = []
        self._reported: set[str] = set()

    def run(self, folder: Path, report: Callable[[dict[str, Any]], None]) -> None:
        """Run all processes; call `report` with the row of each as soon as it has ended.

        Args:
          folder: an empty folder for the files of the processes.
          report: takes a row.
        """
        try:
            for job in self._jobs:
                self._start(job, folder, report)
            self._await_compilation(report)
            for running in self._running:
                if running.is_alive and running.is_ready:
                    self._time(running)
                self._report_ended(report)
        finally:
            for running in self._running:
                if running.is_alive:
                    running.stop("stopped with its wave")
            self._report_ended(report)

    def _start(self, job: Job, folder: Path, report: Callable[[dict[str, Any]], None]) -> None:
        exchange = folder / job.label
        command = [*job.command, "--exchange", str(exchange)]
        # Thread pools of a process must not take the cores of the others.
        threads = max(1, (os.cpu_count() or 1) // len(self._jobs))
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), **job.environment}
        print(f"\n=== {job.label}: {' '.join(command)}", file=self._log, flush=True)
        try:
            popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            report({"label": job.label, "error": f"did not start: {error}"})
            return
        self._running.append(Running(job=job, popen=popen, exchange=exchange))

    def _await_compilation(self, report: Callable[[dict[str, Any]], None]) -> None:
        """Return when every process has ended or is ready; stop those that are late."""
        started = time.monotonic()
        while busy := [r for r in self._running if r.is_alive and not r.is_ready]:
            num_ready = sum(r.is_alive and r.is_ready for r in self._running)
            last = self._deadline - self._limits.reserved * num_ready
            now = time.monotonic()
            if now > min(started + self._limits.compiling, last):
                for running in busy:
                    running.stop(f"not compiled after {now - started:.0f} s")
            self._report_ended(report)
            time.sleep(_POLL_SECONDS)
        self._report_ended(report)

    def _time(self, running: Running) -> None:
        running.give_turn()
        left = self._deadline - time.monotonic()
        try:
            running.popen.wait(timeout=max(0.1, min(self._limits.turn, left)))
        except subprocess.TimeoutExpired:
            running.stop("not timed within its limit")

    def _report_ended(self, report: Callable[[dict[str, Any]], None]) -> None:
        for running in self._running:
            if not running.is_alive and running.job.label not in self._reported:
                self._reported.add(running.job.label)
                report(running.row())


def run_waves(
    all_waves: Sequence[Sequence[Job]], output_dir: Path, *, seconds: float, limits: Limits
) -> list[dict[str, Any]]:
    """Run waves until the time is over; append rows to rows.jsonl, and return them.

    Args:
      all_waves: the jobs, most important first.
      output_dir: folder for rows.jsonl and device.log.
      seconds: time for everything.
      limits: times within a wave.
    """
    started = time.monotonic()
    deadline = started + seconds
    output_dir.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []

    def report(row: dict[str, Any]) -> None:
        rows.append(row)
        with (output_dir / "rows.jsonl").open("a") as file:
            print(json.dumps(row), file=file)
        print(f"{time.monotonic() - started:5.0f} s  {describe(row)}", flush=True)

    report({"label": "machine", "what": "machine", **describe_machine()})
    with (output_dir / "device.log").open("a") as log:
        for number, jobs in enumerate(all_waves):
            left = deadline - time.monotonic()
            if left < limits.shortest_wave:
                labels = ", ".join(job.label for later in all_waves[number:] for job in later)
                print(f"gpu: {left:.0f} s left; not measured: {labels}", flush=True)
                break
            with tempfile.TemporaryDirectory() as folder:
                wave = Wave(jobs, limits=limits, deadline=deadline, log=log)
                wave.run(Path(folder), report)
    return rows


def describe_machine() -> dict[str, Any]:
    """Return the fields of the row about this machine."""
    query = "--query-gpu=name,driver_version,memory.total,clocks.max.sm,power.limit"
    try:
        command = ["nvidia-smi", query, "--format=csv,noheader"]
        gpu = subprocess.run(command, capture_output=True, text=True, timeout=30).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        gpu = ""
    versions = {"python": platform.python_version()}
    for library in _LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[library] = importlib.metadata.version(library)
    return {
        "gpu": gpu,
        "machine": machine(),
        "versions": versions,
        "date": datetime.date.today().isoformat(),
    }


def describe(row: dict[str, Any]) -> str:
    """Format a row as a line."""
    start = f"{row['label']:<50}"
    if "error" in row:
        return f"{start} ERROR {row['error'][:200]}"
    if row["what"] == "step":
        memory = (row["peak_bytes"] or row.get("temp_bytes", 0)) / 1e9
        return (
            f"{start} {row['sequences_per_second']:8.1f} sequences/s"
            f" {row['model_tflop_per_second']:7.2f} TFLOP/s {memory:6.1f} GB,"
            f" compiled in {row['compile_seconds']} s {row.get('milliseconds_by_kind', '')}"
        )
    if row["what"] == "check":
        return f"{start} {'passed' if row['passed'] else 'FAILED'} {row['errors']}"
    shown = {name: value for name, value in row.items() if name not in ("label", "what")}
    return f"{start} {shown}"


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Turn SIGTERM into an exception, so that the processes are stopped and their rows are kept."""

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    earlier = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, earlier)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, and leave the rows in the output directory."""
    parser = argparse.ArgumentParser(
        prog="python3 -m bench.gpu.device",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    here = Path(__file__).resolve().parents[2]
    parser.add_argument("--output_dir", type=Path, required=True, help="for rows.jsonl, device.log")
    parser.add_argument("--programs_dir", type=Path, default=here / "programs")
    parser.add_argument("--seconds", type=float, default=470)
    parser.add_argument("--first", type=int, default=0, help="wave to start with, from 0")
    parser.add_argument("--only", default="", help="regular expression: jobs with such labels only")
    parser.add_argument("--small", action="store_true", help="try the machinery, without a GPU")
    args = parser.parse_args(argv)
    make, limits = (
        (small_waves, Limits(compiling=400, turn=120, shortest_wave=1))
        if args.small
        else (waves, Limits())
    )
    programs_dir, output_dir = args.programs_dir.resolve(), args.output_dir.resolve()
    os.environ.setdefault("PYTHONPATH", str(here))
    jobs = make(programs_dir, output_dir)[args.first :]
    with _terminable():
        run_waves(
            select(jobs, args.only) if args.only else jobs,
            output_dir,
            seconds=args.seconds,
            limits=limits,
        )
    print(f"gpu: rows in {output_dir / 'rows.jsonl'}")


if __name__ == "__main__":
    sys.exit(main())
