"""Rows of `make tpu-check`, and of other benchmarks, that a plan can take figures from.

They are in bench/results of a checkout, and in launch/results when installed.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from pathlib import Path

from data.errors import UserError
from launch.accelerators.chips import Tpu
from launch.accelerators.machines import Accelerator
from launch.plan.costs import Step

_LAUNCH = Path(__file__).resolve().parent.parent
_RESULTS = next(
    (p for p in (_LAUNCH / "results", _LAUNCH.parent / "bench" / "results") if p.is_dir()), None
)
# As bench.tpu words the setting of what it compiles.
_SETTING = re.compile(
    r"H=(?P<hidden_size>\d+) A=(?P<num_attention_heads>\d+) L=(?P<num_hidden_layers>\d+)"
    r" S=(?P<seq_length>\d+) P=(?P<max_predictions>\d+) V=(?P<vocab_size>\d+), bfloat16"
)


def rows(name: str) -> list[dict]:
    """The rows of bench/results/NAME.json; none if they are not installed."""
    path = _RESULTS and _RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path and path.exists() else []


@dataclasses.dataclass(frozen=True, kw_only=True)
class Compiled:
    """What the compiler of TPUs says of an update.

    Attributes:
      total_bytes: arguments and temporaries.
      seconds: by the cycles that it estimates, at the clock at which the peak is reached.
      compiler: its name and version.
    """

    total_bytes: int
    seconds: float
    compiler: str


def find(step: Step, accelerator: Accelerator, table: Sequence[dict]) -> Compiled | None:
    """The row of a table for exactly this step of ours on a device; None if it was never compiled.

    Rows of v4 are for one of its two cores, which are one device, so they are no device's.

    Args:
      step: what is computed; dropout, clipping and LAMB are those of the rows.
      accelerator: of which kind the device is.
      table: rows of bench.tpu.
    """
    chip = accelerator.chip
    target = chip.compile_target if isinstance(chip, Tpu) else None
    if target is None or target.devices != chip.devices:
        return None
    for row in table:
        if row["implementation"] != "lambert" or row["chip"] != chip.name:
            continue
        if "out_of_memory" not in row and step_of(row, step) == step:
            clock = accelerator.peak_flops_per_second / target.flops_per_cycle
            return Compiled(
                total_bytes=row["hbm_argument_bytes"] + row["hbm_temp_bytes"],
                seconds=row["estimated_cycles"] / clock,
                compiler=f"libtpu {row['versions']['libtpu']}",
            )
    return None


def step_of(row: dict, like: Step) -> Step:
    """The step that a row was compiled from; what rows do not say is taken from another step."""
    sizes = {name: int(n) for name, n in _SETTING.match(row["setting"]).groupdict().items()}
    lengths = {name: sizes.pop(name) for name in ("seq_length", "max_predictions")}
    sizes["intermediate_size"] = 4 * sizes["hidden_size"]
    return dataclasses.replace(
        like,
        encoder=dataclasses.replace(like.encoder, **sizes),
        **lengths,
        batch=row["batch_per_core"],
        micro_batch=row["micro_batch_size"] or row["batch_per_core"],
        rematerialize_blocks=row.get("rematerialize_blocks", False),
        logits_chunk_size=row.get("logits_chunk_size", 0),
        precision="mixed_bfloat16",
        optimizer="lamb",
        sharded_by=1,
    )


def measured_flops_per_second(precision: str, table: Sequence[dict]) -> float:
    """What whole updates of ours reached on the CPUs of bench.step, the slower of its sizes.

    Raises:
      UserError: the rows are not installed.
    """
    found = [
        1e9 * row["model_gflop_per_step"] / row["seconds"]
        for row in table
        if row["implementation"] == "lambert" and row["precision"] == precision
    ]
    if not found:
        raise UserError(
            "--accelerator cpu: its speed is only known from bench/results/step.json, which is missing"
        )
    return min(found)


def reader_rates(table: Sequence[dict]) -> dict[str, float]:
    """Sequences a second that one core reads, by InputConfig.masks, from rows of bench.data."""
    return {
        row["what"].removeprefix("masks "): row["sequences_per_second"]
        for row in table
        if row["stage"] == "reading" and row["implementation"] == "lambert"
    }
