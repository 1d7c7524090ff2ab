"""Time and memory, with the standard library alone: both environments use it."""

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
    """Of one pass: the best wall time, and the best time of all threads and child processes."""

    seconds: float
    cpu_seconds: float

    def rates(self, **amounts: float) -> dict[str, float]:
        """`tokens=n` gives tokens_per_second and tokens_per_cpu_second."""
        rates = {}
        for unit, amount in amounts.items():
            rates[f"{unit}_per_second"] = amount / self.seconds
            rates[f"{unit}_per_cpu_second"] = amount / self.cpu_seconds
        return {**rates, "seconds": self.seconds, "cpu_seconds": self.cpu_seconds}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stopwatch:
    """Runs work repeatedly and keeps the best pass.

    Attributes:
      repeats: measurements after the first pass, which warms caches.
      min_seconds: a measurement lasts at least as long, in as many passes as that takes.
      max_seconds: no measurement is begun after that.
      profile: print where the time goes instead.
    """

    repeats: int = 4
    min_seconds: float = 2.0
    max_seconds: float = 45.0
    profile: bool = False

    def time(self, work: Callable[[], object]) -> Timing:
        """Measures one pass of the work."""
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
    """Proportional set sizes: memory that processes share counts once, in shares.

    Attributes:
      total: in bytes. A library that unrelated programs have loaded too counts less.
      own: those of them that stand for no file, whatever other programs do.
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
    """Of this process, its threads, and its children that have ended."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


def _print_profile(work: Callable[[], object]) -> None:
    profile = cProfile.Profile()
    with profile:
        work()
    pstats.Stats(profile).strip_dirs().sort_stats("tottime").print_stats(_PROFILE_LINES)


def pin_to_one_core() -> None:
    """To be called before libraries start threads: they count the cores they may use."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def machine() -> dict[str, str | int]:
    """What the figures depend on."""
    model = platform.processor() or "unknown"
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return {"cpu": model, "cores": os.cpu_count() or 1, "load": round(os.getloadavg()[0], 1)}


def peak_memory(command: Sequence[str], **options) -> tuple[Peak, Timing]:
    """Runs a command; the most memory that it and its descendants held together.

    A sample every 50 ms can miss a short peak.

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
                held = map(_memory_of, _family(process.pid))
                totals = [sum(column) for column in zip(*held, strict=True)]
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


def _family(root: int) -> list[int]:
    """A process and its descendants."""
    children: dict[int, list[int]] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it has just ended
                # The name of the program, in brackets, may hold blanks and brackets.
                fields = Path(entry.path, "stat").read_text().rpartition(")")[2].split()
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    family = [root]
    for process in family:
        family += children.get(process, [])
    return family


def _memory_of(process: int) -> Peak:
    sizes = collections.Counter()
    with contextlib.suppress(OSError):  # it has just ended
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]:
            name, kilobytes = line.split()[:2]
            sizes[name] = int(kilobytes) * 1024
    return Peak(sizes["Pss:"], sizes["Pss_Anon:"] + sizes["Pss_Shmem:"])
