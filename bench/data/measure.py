"""Time and memory measurement; standard library only, because both environments use it."""

from __future__ import annotations

import collections
import contextlib
import cProfile
import dataclasses
import math
import os
import platform
import pstats
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

_PROFILE_LINES = 25


@dataclasses.dataclass(frozen=True, kw_only=True)
class Timing:
    """Best wall time of a pass, and best CPU time of its threads and child processes, in seconds."""

    seconds: float
    cpu_seconds: float

    def rates(self, **amounts: float) -> dict[str, float]:
        """Return rates per second: `tokens=n` gives tokens_per_second and tokens_per_cpu_second."""
        rates = {}
        for unit, amount in amounts.items():
            rates[f"{unit}_per_second"] = amount / self.seconds
            rates[f"{unit}_per_cpu_second"] = amount / self.cpu_seconds
        return {**rates, "seconds": self.seconds, "cpu_seconds": self.cpu_seconds}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stopwatch:
    """Timer that runs a function repeatedly and keeps the best pass.

    Attributes:
      repeats: measurements after the first pass, which warms caches.
      min_seconds: minimum duration of a measurement; it repeats passes until then.
      max_seconds: time after which no further measurement starts.
      profile: print a profile of one pass instead.
    """

    repeats: int = 4
    min_seconds: float = 2.0
    max_seconds: float = 45.0
    profile: bool = False

    def time(self, work: Callable[[], object]) -> Timing:
        """Return the time of one pass of the work."""
        started = time.perf_counter()
        timings = [_run(work, passes=1)]
        if self.profile:
            _print_profile(work)
            return timings[0]
        passes = max(1, math.ceil(self.min_seconds / timings[0].seconds))
        for _ in range(self.repeats):
            if time.perf_counter() - started < self.max_seconds:
                timings.append(_run(work, passes=passes))
        return Timing(
            seconds=min(timing.seconds for timing in timings),
            cpu_seconds=min(timing.cpu_seconds for timing in timings),
        )


class Peak(NamedTuple):
    """Peak proportional set size: shared pages are divided among the processes that share them.

    Attributes:
      total: bytes in all. A library that unrelated programs have loaded too counts less.
      own: bytes that no file backs, which other programs do not affect.
    """

    total: int
    own: int


def _run(work: Callable[[], object], *, passes: int) -> Timing:
    wall, cpu = time.perf_counter(), _cpu_seconds()
    for _ in range(passes):
        work()
    # Short runs may fall below the clock's resolution.
    seconds, cpu_seconds = time.perf_counter() - wall, max(_cpu_seconds() - cpu, 1e-6)
    return Timing(seconds=seconds / passes, cpu_seconds=cpu_seconds / passes)


def _cpu_seconds() -> float:
    """Return the CPU time of this process and of its children that have ended."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


def _print_profile(work: Callable[[], object]) -> None:
    profile = cProfile.Profile()
    with profile:
        work()
    pstats.Stats(profile).strip_dirs().sort_stats("tottime").print_stats(_PROFILE_LINES)


def pin_to_one_core() -> None:
    """Restrict this process to one core; call it before libraries count cores and start threads."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def machine() -> dict[str, str | int]:
    """Describe the machine: CPU model, cores and load."""
    model = platform.processor() or "unknown"
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return {"cpu": model, "cores": os.cpu_count() or 1, "load": round(os.getloadavg()[0], 1)}


def peak_memory(command: Sequence[str], **options) -> tuple[Peak, Timing]:
    """Run a command; return the peak memory of it and its descendants together, and its time.

    Memory is sampled every 50 ms, so short peaks can be missed.

    Raises:
      CalledProcessError: the command failed.
    """
    peak = Peak(0, 0)
    done = threading.Event()
    wall, cpu = time.perf_counter(), _cpu_seconds()
    with subprocess.Popen(command, **options) as process:

        def watch():
            nonlocal peak
            while not done.wait(0.05):
                memory = map(_memory_of, process_tree(process.pid))
                totals = [sum(column) for column in zip(*memory, strict=True)]
                peak = Peak(*map(max, peak, totals or peak))

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        code = process.wait()
        done.set()
        watcher.join()
    if code:
        raise subprocess.CalledProcessError(code, list(command))
    seconds = time.perf_counter() - wall
    return peak, Timing(seconds=seconds, cpu_seconds=_cpu_seconds() - cpu)


def process_tree(root: int) -> list[int]:
    """Return a process and its descendants, by id."""
    children: dict[int, list[int]] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it has just ended
                # The program name, in brackets, may contain spaces and brackets.
                fields = Path(entry.path, "stat").read_text().rpartition(")")[2].split()
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    tree = [root]
    for process in tree:
        tree += children.get(process, [])
    return tree


def _memory_of(process: int) -> Peak:
    sizes = collections.Counter()
    with contextlib.suppress(OSError):  # it has just ended
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]:
            name, kilobytes = line.split()[:2]
            sizes[name] = int(kilobytes) * 1024
    return Peak(sizes["Pss:"], sizes["Pss_Anon:"] + sizes["Pss_Shmem:"])
