"""The figures of a plan as JSON, with units in their names.

The keys are read by other programs: they stay as they are when attributes are renamed.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from launch.accelerators.machines import Accelerator
from launch.plan.micro_batch import Candidate
from launch.plan.planner import Plan

# Facts about a chip that are written.
_CHIP_FIGURES = (
    *("name", "peak_flops_per_second", "memory_bytes", "memory_bytes_per_second"),
    *("link_bytes_per_second", "network_bytes_per_second", "devices", "counted", "sizes"),
    *("most_chips", "chips_per_host", "torus_chips"),
)


def figures(plan: Plan) -> dict[str, Any]:
    """Return the figures of a plan for JSON."""
    accelerator = plan.machine.accelerator
    return {
        "accelerator": _accelerator_figures(accelerator),
        "devices": accelerator.devices,
        "hosts": accelerator.hosts,
        "room_bytes_per_device": plan.machine.budget_bytes,
        "settings": dataclasses.asdict(plan.run),
        "parameters": plan.parameters,
        "flops_per_update": plan.flops_per_update,
        "chosen": _candidate_figures(plan.chosen),
        "configured": _candidate_figures(plan.configured),
        "ways": list(map(_candidate_figures, plan.candidates)),
        "savings": {name: _candidate_figures(c) for name, c in plan.memory_savings.items()},
        "exchange_seconds": plan.allreduce_seconds,
        "update_seconds": plan.update_seconds,
        "error_of_seconds": plan.error,
        "sequences_per_second": plan.sequences_per_second,
        "peak_share": _finite(plan.model_flops_utilization),
        "days": _finite(plan.days),
        "chip_hours": _finite(plan.chip_hours),
        "cost": _finite(plan.cost),
        "storage": plan.storage and dataclasses.asdict(plan.storage),
        "saving": dataclasses.asdict(plan.checkpointing),
        "assumptions": dataclasses.asdict(plan.assumptions),
    }


def _accelerator_figures(accelerator: Accelerator) -> dict[str, Any]:
    chip = {name: getattr(accelerator.chip, name) for name in _CHIP_FIGURES}
    return {"name": accelerator.name, "chip": chip, "chips": accelerator.chips}


def _candidate_figures(candidate: Candidate | None) -> dict[str, Any] | None:
    if candidate is None:
        return None
    return {
        "micro_batch_size": candidate.step.micro_batch,
        "accumulated": candidate.step.accumulation_steps,
        "rematerialize_blocks": candidate.step.rematerialize_blocks,
        "logits_chunk_size": candidate.step.logits_chunk_size,
        "total_bytes": candidate.total_bytes,
        "fits": candidate.fits,
        "seconds": candidate.seconds,
        "source": candidate.source,
        "bytes": dataclasses.asdict(candidate.memory),
    }


def _finite(value: float | None) -> float | None:
    """Return None for NaN and Inf, which JSON does not have."""
    return value if value is not None and math.isfinite(value) else None
