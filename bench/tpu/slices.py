"""Compile the update of a slice: all replicas, with what they exchange, whole and with a sharded optimizer.

    python -m bench.tpu.slices
    python -m bench.tpu.slices --topologies v5e:4x4

`make tpu-check` runs it. Exchanges have no estimate of time, but their bytes are those that launch.plan
counts on. docs/performance.md explains the figures.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import math
from collections.abc import Sequence
from pathlib import Path

from bench.data.measure import machine
from bench.step.work import encoder_config
from bench.tpu import hlo
from bench.tpu.__main__ import LAMBERT_LARGE, SETTING, WORK, compile_step
from launch.accelerators.costs import Step, exchanged_weight_bytes, num_parameters
from launch.plan.allreduce import sent_bytes

TOPOLOGIES = ("v5e:4x4", "v5e:16x16")
_BATCH = 8  # sequences per core
# Times that a core of a ring sends the result of an exchange, but for its own part: launch/plan/allreduce.py.
_ROUNDS = {"all-reduce": 2, "all-gather": 1, "reduce-scatter": 1}


def compile_row(topology: str, *, shard: bool, sizes: dict[str, int]) -> dict:
    """Compile the update of a topology's cores, and return its row."""
    replicas = math.prod(map(int, topology.partition(":")[2].split("x")))
    name = f"lambert-{topology.replace(':', '-')}{'-sharded' if shard else ''}"
    setting = {
        **sizes,
        "chip": topology.partition(":")[0],
        "batch_per_core": _BATCH,
        "micro_batch_size": 0,
        "rematerialize_blocks": False,
        "logits_chunk_size": 0,
        "attention": "xla",
        "replicas": replicas,
        "shard": shard,
    }
    print(f"tpu: {name}", flush=True)
    figures = compile_step(name, "lambert", setting, topology, replicas=replicas)
    versions = figures.pop("versions")
    text = (WORK / f"{name}.hlo").read_text()
    cost = hlo.cost(text)
    exchanges = hlo.exchanges(text)
    sent = sum(_ROUNDS[kind] * each["bytes"] for kind, each in exchanges.items())
    step = Step(
        encoder=encoder_config(setting),
        batch=_BATCH,
        micro_batch=_BATCH,
        optimizer_shards=replicas if shard else 1,
    )
    planned = sent_bytes(
        4 * num_parameters(step.encoder), replicas, weight_bytes=exchanged_weight_bytes(step)
    )
    return {
        "topology": topology,
        "replicas": replicas,
        "shard": shard,
        "batch_per_core": _BATCH,
        "estimated_cycles": cost.cycles,
        "kernels": cost.kernels,
        "asynchronously_copied_bytes": cost.copied_bytes,
        "exchanges": exchanges,
        "sent_bytes": round(sent * (replicas - 1) / replicas),
        "planned_sent_bytes": round(planned),
        **{key: value for key, value in figures.items() if key != "bytes_accessed"},
        "versions": {"tensorflow": importlib.metadata.version("tensorflow"), **versions},
    }


def describe(row: dict) -> str:
    """Format a row as a line."""
    exchanges = ", ".join(
        f"{each['count']} {kind} of {each['bytes'] / 1e6:,.1f} MB"
        for kind, each in row["exchanges"].items()
    )
    error = row["sent_bytes"] / row["planned_sent_bytes"] - 1
    return (
        f"{row['topology']} {'sharded' if row['shard'] else 'whole'}:"
        f" {row['estimated_cycles'] / 1e6:.1f} M cycles,"
        f" HBM {row['hbm_argument_bytes'] / 1e9:.2f} + {row['hbm_temp_bytes'] / 1e9:.2f} GB,"
        f" {exchanges}; each core sends {row['sent_bytes'] / 1e6:,.1f} MB ({error:+.2%} of the plan);"
        f" compiled in {row['compile_seconds']:.0f} s"
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Compile, write the rows and print them."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.tpu.slices",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--topologies", nargs="+", default=list(TOPOLOGIES))
    parser.add_argument("--sizes", type=json.loads, default={}, help="sizes to replace, as JSON")
    parser.add_argument("--results", type=Path, default=Path("bench/results/tpu_slices.json"))
    args = parser.parse_args(argv)
    WORK.mkdir(parents=True, exist_ok=True)
    sizes = {**LAMBERT_LARGE, **args.sizes}
    shared = {
        "stage": "tpu",
        "setting": f"{SETTING.format(**sizes)}, bfloat16, dropout 0.1, clipping, LAMB",
        "command": "python -m bench.tpu.slices",
        "machine": machine(),
        "date": datetime.date.today().isoformat(),
    }
    earlier = json.loads(args.results.read_text()) if args.results.exists() else []
    rows = {(row["topology"], row["shard"]): row for row in earlier}
    for topology in args.topologies:
        for shard in (False, True):
            row = {**compile_row(topology, shard=shard, sizes=sizes), **shared}
            print(f"     {describe(row)}", flush=True)
            rows[topology, shard] = row
            args.results.write_text(json.dumps(list(rows.values()), indent=1) + "\n")
    print(f"tpu: rows in {args.results}; programs in {WORK}/")


if __name__ == "__main__":
    main()
