"""Batches, sizes and timing of training steps; without TensorFlow, for all environments."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import numpy as np

from model.config import EncoderConfig
from model.flops import training_flops


def batch(sizes: dict[str, int], seed: int = 0) -> dict[str, np.ndarray]:
    """Return a random batch without padding."""
    rng = np.random.default_rng(seed)
    shape = (sizes["batch"], sizes["positions"])
    slots = (sizes["batch"], sizes["predictions"])
    shuffled = rng.permuted(np.tile(np.arange(sizes["positions"]), (sizes["batch"], 1)), axis=1)
    integers = {
        "input_word_ids": rng.integers(0, sizes["vocab"], shape),
        "input_mask": np.ones(shape),
        "input_type_ids": np.zeros(shape),
        "masked_lm_positions": np.sort(shuffled[:, : sizes["predictions"]]),
        "masked_lm_ids": rng.integers(0, sizes["vocab"], slots),
    }
    features = {name: value.astype(np.int32) for name, value in integers.items()}
    return {**features, "masked_lm_weights": np.ones(slots, np.float32)}


def encoder_config(sizes: dict[str, int]) -> EncoderConfig:
    """Return an architecture with BERT's proportions and dropout 0.1."""
    return EncoderConfig(
        vocab_size=sizes["vocab"],
        hidden_size=sizes["hidden"],
        num_hidden_layers=sizes["layers"],
        num_attention_heads=sizes["heads"],
        intermediate_size=4 * sizes["hidden"],
        max_position_embeddings=sizes["positions"],
    )


def model_flops(sizes: dict[str, int]) -> int:
    """Return the FLOPs of our update; those that other implementations add do not count."""
    return sizes["batch"] * training_flops(
        encoder_config(sizes), seq_length=sizes["positions"], max_predictions=sizes["predictions"]
    )


def main(implementations: dict[str, Callable[[str, dict], Callable[[], object]]]) -> None:
    """Time the implementation that the command line names; print one line of JSON.

    Args:
      implementations: by name, functions of precision and sizes; each returns a function without
        arguments that makes one update and waits for its result.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--implementation", choices=implementations, required=True)
    parser.add_argument("--precision", choices=("float32", "mixed_bfloat16"), required=True)
    parser.add_argument("--sizes", type=json.loads, required=True)
    parser.add_argument("--repeats", type=int, required=True)
    args = parser.parse_args()
    step = implementations[args.implementation](args.precision, args.sizes)
    print(json.dumps({"seconds": _best_seconds(step, args.repeats)}))


def _best_seconds(step: Callable[[], object], repeats: int) -> float:
    """Return the best time of a step after the first two, which compile and allocate memory."""
    seconds = []
    for _ in range(2 + repeats):
        started = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - started)
    return min(seconds[2:])
