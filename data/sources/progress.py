"""Show the progress of a long phase: a bar on a terminal, else a message once a minute."""

from __future__ import annotations

import dataclasses
import threading
import time
from typing import Self

from absl import logging

from data.cli import logs

_LINE_SECONDS = 60.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Phase:
    """A long phase of a program.

    Attributes:
      name: what happens, like "reading text".
      total: size of the work, None if it is unknown.
      unit: unit of the size; "B" for bytes.
      done: size of what was done before, by an interrupted program.
    """

    name: str
    total: int | None
    unit: str
    done: int = 0


class Progress:
    """Shows one phase while the `with` block runs; `update` may be called from any thread."""

    def __init__(self, phase: Phase, *, program: str):
        """Describe the phase.

        Args:
          phase: phase to show.
          program: name at the start of lines, like "vocab".
        """
        self._phase, self._program = phase, program
        self._stream = logs.terminal()
        self._done = phase.done
        self._ended = threading.Event()

    def update(self, done: int) -> None:
        """Record how much is done, including `Phase.done`."""
        self._done = done

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        show = self._show_bar if self._stream.isatty() else self._print_lines
        self._thread = threading.Thread(target=show, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *unused: object) -> None:
        self._ended.set()
        self._thread.join()

    def _show_bar(self) -> None:
        from tqdm import tqdm

        phase = self._phase
        with tqdm(
            desc=f"{self._program}: {phase.name}",
            total=phase.total,
            initial=phase.done,
            unit=phase.unit,
            unit_scale=phase.unit == "B",
            file=self._stream,
            smoothing=0.05,
        ) as bar:
            while not self._ended.wait(0.5):
                bar.update(self._done - bar.n)
                bar.refresh()
            bar.update(self._done - bar.n)

    def _print_lines(self) -> None:
        while not self._ended.wait(_LINE_SECONDS):
            seconds = time.monotonic() - self._began
            logging.info(f"{self._program}: {describe(self._phase, self._done, seconds)}")


def describe(phase: Phase, done: int, seconds: float) -> str:
    """Return one line: share, size, rate and the time that is left.

    Args:
      phase: the phase.
      done: size of what is done, including `Phase.done`.
      seconds: time since the phase began, or went on.
    """
    if phase.total is None:
        return f"{phase.name}: {_time(seconds)} so far"
    share = done / phase.total if phase.total else 1.0
    line = f"{phase.name}: {share:.0%} of {_size(phase.total, phase.unit)}"
    if done > phase.done and seconds > 0:
        rate = (done - phase.done) / seconds
        line += f", {_rate(rate, phase.unit)}, {_time((phase.total - done) / rate)} left"
    return line


def _size(number: float, unit: str) -> str:
    if unit != "B":
        return f"{number:,.0f} {unit}s"
    for prefix in ("", "k", "M", "G"):
        if number < 1000:
            return f"{number:.3g} {prefix}B"
        number /= 1000
    return f"{number:.3g} TB"


def _rate(rate: float, unit: str) -> str:
    if unit == "B":
        return f"{_size(rate, unit)}/s"
    return f"{rate:.1f} {unit}s/s" if rate >= 1 else f"{rate * 60:.1f} {unit}s/min"


def _time(seconds: float) -> str:
    minutes = round(seconds / 60)
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
