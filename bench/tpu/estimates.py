"""Compiled rows beside the formulas of launch/plan/costs.py: how far a plan can be off.

    python -m bench.tpu.estimates

prints the table of docs/plan.md. Rows of the peer are reckoned as ours, but for what it does
differently: it computes the last block at all positions, keeps the logits in float32 as well, and
reaches less of the peak.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from launch.accelerators.chips import TPUS
from launch.plan import costs
from launch.plan.compiled import load_rows, step_from_row
from model.config import EncoderConfig

TABLES = ("tpu", "tpu_small")
_PEER_SHARE = 0.85  # of our share of the peak; fitted to its three rows
_ANY = costs.Step(encoder=EncoderConfig(), batch=1, micro_batch=1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Estimate:
    """Of an update on what a row was compiled for."""

    argument_bytes: int
    temporary_bytes: int
    cycles: float

    def errors(self, row: dict) -> dict[str, float]:
        """Estimate over compiled, less 1: of all memory and of the cycles."""
        memory = row["hbm_argument_bytes"] + row["hbm_temp_bytes"]
        return {
            "memory": (self.argument_bytes + self.temporary_bytes) / memory - 1,
            "cycles": self.cycles / row["estimated_cycles"] - 1,
        }


def estimated(row: dict) -> Estimate:
    """What the formulas say of a row of bench.tpu."""
    step = step_from_row(row, defaults=_ANY)
    chip = TPUS[row["chip"]]
    device = costs.device_of_chip(chip, parts=chip.compile_target.devices)
    memory = costs.memory(step)
    arguments, temporaries, more_flops = memory.arguments, memory.temporaries, 0.0
    if row["implementation"] == "tf-models":
        share = _PEER_SHARE * device.matmul_share
        device = dataclasses.replace(device, matmul_share=share)
        # As one block more: that of the predicted positions is little beside.
        layers = step.encoder.num_hidden_layers + 1
        whole = dataclasses.replace(
            step, encoder=dataclasses.replace(step.encoder, num_hidden_layers=layers)
        )
        arguments -= memory.copies
        temporaries += costs.memory(whole).activations - memory.activations + 2 * memory.logits
        more_flops = costs.flops_of_sequence(whole) - costs.flops_of_sequence(step)
    seconds = costs.update_seconds(step, device)
    seconds += step.batch * more_flops / (device.flops_per_second * device.matmul_share)
    return Estimate(
        argument_bytes=arguments,
        temporary_bytes=temporaries,
        cycles=seconds * device.flops_per_second / chip.compile_target.flops_per_cycle,
    )


def table(compiled: Sequence[dict]) -> list[str]:
    """Lines of a Markdown table: each row, what was estimated, and by how much that is off."""
    lines = [
        "| chip, sequences | encoder | memory, GB | estimated | off | M cycles | estimated | off |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in compiled:
        if "out_of_memory" in row:
            continue
        found, step = estimated(row), step_from_row(row, defaults=_ANY)
        off = found.errors(row)
        lines.append(
            f"| {_name(row)} | L={step.encoder.num_hidden_layers} H={step.encoder.hidden_size}"
            f" | {(row['hbm_argument_bytes'] + row['hbm_temp_bytes']) / 1e9:.2f}"
            f" | {(found.argument_bytes + found.temporary_bytes) / 1e9:.2f} | {off['memory']:+.1%}"
            f" | {row['estimated_cycles'] / 1e6:.1f} | {found.cycles / 1e6:.1f} | {off['cycles']:+.1%} |"
        )
    return lines


def _name(row: dict) -> str:
    parts = [f"{row['chip']}, {row['batch_per_core']}"]
    if row["micro_batch_size"]:
        parts.append(f"by {row['micro_batch_size']}")
    if row.get("rematerialize_blocks"):
        parts.append("rematerialised")
    if row.get("logits_chunk_size"):
        parts.append(f"chunks of {row['logits_chunk_size']}")
    if row["implementation"] != "lambert":
        parts.append(f"({row['implementation']})")
    return " ".join(parts)


def main() -> None:
    """Prints the table."""
    print("\n".join(table([row for name in TABLES for row in load_rows(name)])))


if __name__ == "__main__":
    main()
