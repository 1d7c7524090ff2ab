"""Read the benchmark results that a plan uses: compiled steps, speed of CPUs and of the reader.

They are in bench/results of a checkout, and in launch/results when installed.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data.errors import UserError
from launch.accelerators.costs import KERNEL, XLA, Step
from launch.accelerators.gpus import Gpu
from launch.accelerators.machines import Accelerator
from launch.accelerators.tpus import Tpu

_LAUNCH = Path(__file__).resolve().parent.parent
_RESULTS = next(
    (p for p in (_LAUNCH / "results", _LAUNCH.parent / "bench" / "results") if p.is_dir()), None
)
# Files with compiled steps: rows of bench.tpu and of bench.gpu.check.
COMPILED_FILES = ("tpu", "gpu_check")
# The settings of a compiled step, as both write them.
_SETTING = re.compile(
    r"H=(?P<hidden_size>\d+) A=(?P<num_attention_heads>\d+) L=(?P<num_hidden_layers>\d+)"
    r" S=(?P<seq_length>\d+) P=(?P<max_predictions>\d+) V=(?P<vocab_size>\d+), bfloat16"
)


def load_rows(name: str) -> list[dict[str, Any]]:
    """Return the rows of bench/results/NAME.json, or none if they are not installed."""
    path = _RESULTS and _RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path and path.exists() else []


@dataclasses.dataclass(frozen=True, kw_only=True)
class CompiledStep:
    """Compiled update of a device.

    Attributes:
      total_bytes: arguments and temporaries.
      seconds: estimated cycles, at the clock at which the peak is reached; None from the compiler of GPUs,
        which has no estimate.
    """

    total_bytes: int
    seconds: float | None


def find_compiled(
    step: Step, accelerator: Accelerator, rows: Sequence[dict[str, Any]]
) -> CompiledStep | None:
    """Return the compiled row of exactly this step on a device, or None if it was never compiled.

    The cycles of a row contain the bundles of attention kernels, which the compiler does not estimate.

    Args:
      step: what a device computes, with dropout, clipping and LAMB as in the rows.
      accelerator: machines with such devices.
      rows: rows of COMPILED_FILES.
    """
    chip = accelerator.chip
    if isinstance(chip, Tpu) and chip.compile_target and (row := _find_row(step, chip.name, rows)):
        clock = accelerator.peak_flops_per_second / chip.compile_target.flops_per_cycle
        seconds = row["estimated_cycles"] / clock
        return CompiledStep(total_bytes=_total(row), seconds=seconds)
    if isinstance(chip, Gpu) and (row := _find_row(step, chip.compiled_as, rows)):
        return CompiledStep(total_bytes=_total(row), seconds=None)
    return None


def _find_row(step: Step, chip: str, rows: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    for row in rows:
        if row["implementation"] != "lambert" or row["chip"] != chip or "out_of_memory" in row:
            continue
        # Runs on GPUs forbid excess precision.
        if row.get("excess_precision") != "allowed" and step_from_row(row, defaults=step) == step:
            return row
    return None


def _total(row: dict[str, Any]) -> int:
    return int(row["hbm_argument_bytes"] + row["hbm_temp_bytes"])


def step_from_row(row: dict[str, Any], *, defaults: Step) -> Step:
    """Return the step that a row was compiled from; `defaults` has what rows do not contain."""
    setting = _SETTING.match(row["setting"])
    assert setting is not None, row["setting"]
    sizes: dict[str, Any] = {name: int(n) for name, n in setting.groupdict().items()}
    lengths = {name: sizes.pop(name) for name in ("seq_length", "max_predictions")}
    sizes["intermediate_size"] = 4 * sizes["hidden_size"]
    return dataclasses.replace(
        defaults,
        encoder=dataclasses.replace(defaults.encoder, **sizes),
        **lengths,
        batch=row["batch_per_core"],
        micro_batch=row["micro_batch_size"] or row["batch_per_core"],
        rematerialize_blocks=row.get("rematerialize_blocks", False),
        logits_chunk_size=row.get("logits_chunk_size", 0),
        precision="mixed_bfloat16",
        # Neither our kernels nor cuDNN keep scores.
        attention=XLA if row.get("attention", XLA) == XLA else KERNEL,
        optimizer="lamb",
        optimizer_shards=1,
    )


def share_of_matmul(precision: str, hidden_size: int, rows: Sequence[dict[str, Any]]) -> float:
    """Return the FLOP/s of whole updates on CPUs, as a share of those of a large matrix product.

    Args:
      precision: see TrainConfig.
      hidden_size: H; the row of bench.step with the nearest one counts.
      rows: rows of bench.step.

    Raises:
      UserError: the rows are not installed.
    """
    shares = {
        int(re.findall(r"H=(\d+)", row["setting"])[0]): row["share_of_matmul_ceiling"]
        for row in reversed(rows)  # the first of a size is the usual step
        if row["implementation"] == "lambert" and row["precision"] == precision
    }
    if not shares:
        raise UserError(
            "--accelerator cpu: the speed of updates is known only from bench/results/step.json, which"
            " is missing"
        )
    return float(shares[min(shares, key=lambda size: abs(math.log(size / hidden_size)))])


def reader_rates(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return the sequences per second that one core reads, by InputConfig.masks, from rows of bench.data."""
    return {
        row["what"].removeprefix("masks "): row["sequences_per_second"]
        for row in rows
        if row["stage"] == "reading" and row["implementation"] == "lambert"
    }
