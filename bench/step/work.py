"""What every implementation is given and how it is timed: numpy alone, for all environments."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import numpy as np

# Factor of the backward pass's products over the forward pass's: by inputs and by weights.
_BACKWARD = 2


def batch(sizes: dict[str, int]) -> dict[str, np.ndarray]:
    """One batch without padding; what it says does not matter to speed."""
    rng = np.random.default_rng(0)
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


def model_flops(sizes: dict[str, int]) -> int:
    """Floating point operations of the matrix products that an update cannot do without.

    A product [n, i] x [i, o] counts 2 n i o; the backward pass has two for each of the forward pass.
    Of the last block only keys and values are needed at all positions; logits are needed at the
    predictions. Whoever computes more gets no credit for it.
    """
    hidden, inner = sizes["hidden"], 4 * sizes["hidden"]
    positions, predictions = sizes["positions"], sizes["predictions"]

    def block(rows: int) -> int:
        keys_and_values = 2 * positions * hidden * 2 * hidden
        queries_and_output = 2 * rows * hidden * 2 * hidden
        scores_and_sums = 2 * rows * positions * 2 * hidden
        return keys_and_values + queries_and_output + scores_and_sums + 4 * rows * hidden * inner

    head = 2 * predictions * hidden * (hidden + sizes["vocab"])
    forward = (sizes["layers"] - 1) * block(positions) + block(predictions) + head
    return (1 + _BACKWARD) * sizes["batch"] * forward


def main(implementations: dict[str, Callable[[str, dict], Callable[[], object]]]) -> None:
    """Times what the command line says; prints one line of JSON.

    Args:
      implementations: functions of the precision and the sizes that return one of no arguments,
        which makes one update and waits for it.
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
    """Of single steps, after the first two, which compile and touch all memory."""
    seconds = []
    for _ in range(2 + repeats):
        started = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - started)
    return min(seconds[2:])
