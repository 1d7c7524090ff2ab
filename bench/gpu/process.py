"""Parts that measuring processes share: their turn on the device, the timing of steps, the row they leave.

Standard library only. bench/gpu/device.py starts such processes side by side. It gives each a path P,
`--exchange P`, and both sides communicate through files: P.ready says that the process has compiled its
step, P.go that the device is its own now, and P.json is its row as far as it is known.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

_STARTED = time.monotonic()
_MAX_WAIT_SECONDS = 600.0
_MAX_ERROR_CHARACTERS = 600
_NUM_TOP_KERNELS = 40
# Kinds of kernels by what occurs in their names; the first that matches counts.
_KINDS = {
    # The names of our kernels (model/kernels/index.json) are those of functions.
    "attention": r"flash|fmha|attention|cudnn|^_(forward|backward)",
    "products": r"gemm|cublas|nvjet|cutlass|matmul|xmma|wgmma|_dot_",
    "optimizer": r"adam|lamb|multi_tensor",
    "copies": r"^(?!triton_).*(memcpy|memset|copy|transpose)",
}


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the arguments of all measuring processes."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--exchange", type=Path, help="path of the files of this process, see above")
    made.add_argument("--steps", type=int, default=10, help="timed steps, twice")
    made.add_argument("--profile", action="store_true", help="also measure every kernel")
    return made


def leave_row(
    args: argparse.Namespace, row: dict[str, Any], measure: Callable[[], Iterable[dict[str, Any]]]
) -> None:
    """Measure; leave a row whatever happens, and print it at the end.

    Args:
      args: arguments of `parser`.
      row: what is known before measuring.
      measure: yields further fields as they are found; the row has those of a process that is killed.

    Raises:
      SystemExit: at the end; measuring failed if the code is 1, and the row has the field `error`.
    """
    _write_row(args, row)
    try:
        for fields in measure():
            row = {**row, **fields, "process_seconds": elapsed()}
            _write_row(args, row)
    except Exception as error:  # one failure must not hide the other rows
        row = {**row, "error": _line(error), "process_seconds": elapsed()}
        _write_row(args, row)
    print(json.dumps(row), flush=True)
    raise SystemExit(int("error" in row))


def _write_row(args: argparse.Namespace, row: dict[str, Any]) -> None:
    if args.exchange:
        unfinished = args.exchange.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(row))
        unfinished.rename(args.exchange.with_suffix(".json"))


def optional(measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what a measurement returns; if it fails, why, so that the rest of the row is kept."""
    try:
        return measure()
    except Exception as error:
        return {"not_measured": _line(error)}


def _line(error: Exception) -> str:
    text = f"{type(error).__name__}: {error}"
    return " ".join(text.split())[:_MAX_ERROR_CHARACTERS]


def wait_for_turn(args: argparse.Namespace) -> None:
    """Say that everything is compiled, and wait until the device is free.

    Raises:
      TimeoutError: it was not for 10 minutes.
    """
    if not args.exchange:
        return
    args.exchange.with_suffix(".ready").touch()
    go, deadline = args.exchange.with_suffix(".go"), time.monotonic() + _MAX_WAIT_SECONDS
    while not go.exists():
        if time.monotonic() > deadline:
            raise TimeoutError("the device was not free")
        time.sleep(0.05)


def elapsed() -> float:
    """Return the seconds since this process loaded this module."""
    return round(time.monotonic() - _STARTED, 1)


def time_steps(step: Callable[[], Any], wait: Callable[[], None], number: int) -> dict[str, float]:
    """Time steps, first each by itself, then in a row without waiting between them, as in training.

    Args:
      step: starts a step on the device.
      wait: returns when the device has finished.
      number: steps of each kind.

    Returns:
      `seconds`, the time of a step: the smaller of the median and the mean in a row; and these.
    """
    single = []
    for _ in range(number):
        started = time.perf_counter()
        step()
        wait()
        single.append(time.perf_counter() - started)
    started = time.perf_counter()
    for _ in range(number):
        step()
    wait()
    chained = (time.perf_counter() - started) / number
    median = statistics.median(single)
    return {
        "seconds": min(median, chained),
        "seconds_median": median,
        "seconds_best": min(single),
        "seconds_chained": chained,
    }


def kernels_of(seconds: Mapping[str, float], launches: Mapping[str, float]) -> dict[str, Any]:
    """Return a profile for a row: time by kind of kernel, and the kernels that take the most.

    Args:
      seconds: seconds of a step by kernel.
      launches: launches of a step by kernel.
    """
    kinds: dict[str, float] = {}
    for name, value in seconds.items():
        kind = next((k for k, p in _KINDS.items() if re.search(p, name, re.IGNORECASE)), "other")
        kinds[kind] = kinds.get(kind, 0.0) + 1e3 * value
    top = sorted(seconds, key=lambda name: -seconds[name])[:_NUM_TOP_KERNELS]
    return {
        "device_milliseconds": round(1e3 * sum(seconds.values()), 3),
        "milliseconds_by_kind": {kind: round(value, 3) for kind, value in sorted(kinds.items())},
        "launches": round(sum(launches.values())),
        "top_kernels": [
            {
                "name": n[:90],
                "milliseconds": round(1e3 * seconds[n], 3),
                "launches": round(launches[n], 1),
            }
            for n in top
        ],
    }


def environment_flags() -> str:
    """Return the flags of XLA that this process runs with."""
    return os.environ.get("XLA_FLAGS", "")
