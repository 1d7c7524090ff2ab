"""Errors of the formulas of launch/accelerators/costs.py, compared with compiled programs.

    python -m bench.tpu.estimates

prints the table of docs/plan.md. Estimates for tf-models use the same formulas, with these
differences: it computes the last block at all positions, keeps the logits in float32 as well, and
reaches less of the peak.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from launch.accelerators import costs
from launch.accelerators.tpus import TPUS
from launch.plan.bench_results import load_rows, step_from_row
from model.config import EncoderConfig

TABLES = ("tpu", "tpu_small")
USUAL_POSITIONS = 512  # of the rows that constants are fitted to
_PEER_SHARE = 0.85  # of our share of the peak; fitted to its three rows
_ANY = costs.Step(encoder=EncoderConfig(), batch=1, micro_batch=1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Estimate:
    """Estimated memory and cycles of an update."""

    argument_bytes: int
    temporary_bytes: int
    cycles: float

    def errors(self, row: dict) -> dict[str, float]:
        """Return the relative errors of memory and cycles, compared with a compiled row."""
        memory = row["hbm_argument_bytes"] + row["hbm_temp_bytes"]
        return {
            "memory": (self.argument_bytes + self.temporary_bytes) / memory - 1,
            "cycles": self.cycles / row["estimated_cycles"] - 1,
        }


def compiled_rows(name: str) -> list[dict]:
    """Return the rows of bench/results/NAME.json with attention by XLA, as in the formulas."""
    return [row for row in load_rows(name) if row.get("attention", "xla") == "xla"]


def estimate(row: dict) -> Estimate:
    """Estimate the update of a row of bench.tpu with the formulas."""
    step = step_from_row(row, defaults=_ANY)
    chip = TPUS[row["chip"]]
    device = costs.device_of_chip(chip, parts=chip.devices)
    is_peer = row["implementation"] == "tf-models"  # its masks are not kept as ours are
    memory = costs.memory(step) if is_peer else costs.memory_on(chip, step)
    arguments, temporaries, more_flops = memory.arguments, memory.temporaries, 0.0
    if is_peer:
        share = _PEER_SHARE * device.matmul_share
        device = dataclasses.replace(device, matmul_share=share)
        # Like one more block: that of the predicted positions alone costs little.
        layers = step.encoder.num_hidden_layers + 1
        full = dataclasses.replace(
            step, encoder=dataclasses.replace(step.encoder, num_hidden_layers=layers)
        )
        arguments -= memory.copies
        temporaries += costs.memory(full).activations - memory.activations + 2 * memory.logits
        more_flops = costs.flops_of_sequence(full) - costs.flops_of_sequence(step)
    seconds = costs.update_seconds(step, device)
    seconds += step.batch * more_flops / (device.flops_per_second * device.matmul_share)
    return Estimate(
        argument_bytes=arguments,
        temporary_bytes=temporaries,
        cycles=seconds * device.flops_per_second / chip.compile_target.flops_per_cycle,
    )


def table(compiled: Sequence[dict]) -> list[str]:
    """Format a Markdown table of compiled figures, estimates and errors; return its lines."""
    lines = [
        "| chip, sequences | encoder | memory, GB | estimated | off | M cycles | estimated | off |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in compiled:
        if "out_of_memory" in row:
            continue
        estimated, step = estimate(row), step_from_row(row, defaults=_ANY)
        errors = estimated.errors(row)
        memory = row["hbm_argument_bytes"] + row["hbm_temp_bytes"]
        estimated_memory = estimated.argument_bytes + estimated.temporary_bytes
        lines.append(
            f"| {_name(row)} | L={step.encoder.num_hidden_layers} H={step.encoder.hidden_size}"
            f" | {memory / 1e9:.2f} | {estimated_memory / 1e9:.2f} | {errors['memory']:+.1%}"
            f" | {row['estimated_cycles'] / 1e6:.1f} | {estimated.cycles / 1e6:.1f}"
            f" | {errors['cycles']:+.1%} |"
        )
    return lines


def _name(row: dict) -> str:
    positions = step_from_row(row, defaults=_ANY).seq_length
    length = f" of {positions:,}" * (positions != USUAL_POSITIONS)
    parts = [f"{row['chip']}, {row['batch_per_core']}{length}"]
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
    """Print the table."""
    print("\n".join(table([row for name in TABLES for row in compiled_rows(name)])))


if __name__ == "__main__":
    main()
