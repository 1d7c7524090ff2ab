"""First part: random weights, in the setting of the demo, ours and tf-models' trainer by pairs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.learn.compare import LAMBERT, NO_QUERY_GRADIENTS, TF_MODELS, comparison
from bench.learn.shared import DEMO_GIN, Places, facts
from data.manifest import Manifest
from data.read.split_reader import SplitReader
from pretrain.train.evaluation import read_held_out

TRAIN_STEPS, EVALUATE_EVERY, SEEDS = 2500, 250, 5
IMPLEMENTATIONS = (LAMBERT, TF_MODELS, NO_QUERY_GRADIENTS)
TITLE = "random weights"
table = comparison


def rows(places: Places, *, seeds: int, steps: int) -> Iterator[dict]:
    """Train all implementations from the same weights for each seed, and yield their rows.

    Args:
      places: directories.
      seeds: number of runs of each implementation; 0 takes SEEDS.
      steps: updates of each run; 0 takes TRAIN_STEPS.
    """
    steps, data_dir = steps or TRAIN_STEPS, places.demo_build()
    shared = {
        **facts("fresh", f"{DEMO_GIN} with {steps:,} updates"),
        "most_frequent_piece": _most_frequent_piece(data_dir),
    }
    for seed in range(1, 1 + (seeds or SEEDS)):
        for implementation in IMPLEMENTATIONS:
            print(f"bench: {implementation}, {TITLE}, seed {seed}", flush=True)
            curve = _learn(implementation, data_dir, seed, steps)
            last = curve[-1]
            yield {
                "implementation": implementation,
                "what": "held-out text after the last step",
                "seed": seed,
                "held_out_loss": last["loss"],
                "held_out_mlm_accuracy": last["mlm_accuracy"],
                "held_out_hidden_accuracy": last["hidden_accuracy"],
                "cpu_seconds": last["cpu_seconds"],
                "curve": curve,
                **shared,
            }


def _learn(implementation: str, data_dir: Path, seed: int, steps: int) -> list[dict]:
    """Train in a separate process and return the evaluations."""
    command = [sys.executable, "-m", "bench.learn.worker", "--implementation", implementation]
    command += ["--data_dir", str(data_dir), "--gin_file", DEMO_GIN]
    command += ["--gin_param", f"TrainConfig.seed = {seed}"]
    command += ["--gin_param", f"TrainConfig.train_steps = {steps}"]
    command += ["--evaluate_every", str(min(EVALUATE_EVERY, steps))]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"bench: {implementation} failed:\n{done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def _most_frequent_piece(data_dir: Path) -> float:
    """Return the held-out hidden accuracy of always guessing the most frequent piece."""
    manifest = Manifest.load(data_dir)
    reader = SplitReader(str(data_dir), manifest, "eval", "materialised")
    return read_held_out(str(data_dir), manifest, reader).hidden_baseline.accuracy
