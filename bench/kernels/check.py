"""Compare the kernels with float64, and their masks with those of model/dropout.py to the bit.

    .venv/bin/python -m bench.kernels.masks masks.npz
    .venv-kernels/bin/python bench/kernels/check.py masks.npz

`make kernels-check` runs both. Pallas interprets the kernels on the CPU: the same operations on the same
types, one after the other.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"

import gpu
import jax.numpy as jnp
import numpy as np
import tpu

# Shape, tilings; the first three have what the stored kernels have: rounds, chunks, both.
CASES = {
    "tpu": [
        ((2, 256, 256), tpu.Tiling(256, 256, 128)),
        ((2, 256, 128), tpu.Tiling(128, 128, 64)),
        ((1, 512, 128), tpu.TILINGS[512]),
        ((1, 1024, 128), tpu.TILINGS[1024]),
    ],
    "gpu": [
        ((2, 256, 256), {name: gpu.Tiling(64, 32, 4, 2) for name in gpu.TILINGS}),
        ((1, 512, 128), gpu.TILINGS),
    ],
}
# Relative errors of outputs and gradients: those of rounding them to bfloat16, and a little more.
TOLERANCE = 0.004


def reference(inputs: dict, kept_BAST: np.ndarray, keep: float) -> dict:
    """Return outputs and gradients in float64, [B, S, H]."""
    batch, positions, hidden = inputs["q"].shape

    def heads(x):
        return x.astype(np.float64).reshape(batch, positions, -1, 64).transpose(0, 2, 1, 3)

    q, k, v, dy = (heads(inputs[name]) for name in ("q", "k", "v", "dy"))
    scores = q @ k.swapaxes(2, 3) / 8 + inputs["bias"].astype(np.float64)[:, None, None]
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    scale = kept_BAST / keep
    dweights = (dy @ v.swapaxes(2, 3)) * scale
    dscores = weights * (dweights - (dweights * weights).sum(-1, keepdims=True)) / 8
    found = {
        "y": (weights * scale) @ v,
        "dq": dscores @ k,
        "dk": dscores.swapaxes(2, 3) @ q,
        "dv": (weights * scale).swapaxes(2, 3) @ dy,
    }
    return {
        name: x.transpose(0, 2, 1, 3).reshape(batch, positions, hidden) for name, x in found.items()
    }


def on_tpu(inputs: dict, key_B: np.ndarray, threshold: int, keep: float, tiling) -> dict:
    """Return outputs and gradients of the kernels for TPUs."""
    kernels = tpu.kernels(*inputs["q"].shape, interpret=True, tiling=tiling)
    flipped = np.array([threshold ^ (1 << 31)], np.uint32).view(np.int32)
    leading = key_B.view(np.int32), flipped, np.array([1 / keep], np.float32)
    q, k, v, dy = (jnp.asarray(inputs[name], jnp.bfloat16) for name in ("q", "k", "v", "dy"))
    arguments = [*map(jnp.asarray, leading), q, k, v, jnp.asarray(inputs["bias"][..., None])]
    y, lse = kernels["forward"][0](*arguments)
    dq, dk, dv = kernels["backward"][0](*arguments, y, lse, dy)
    return {"y": y, "dq": dq, "dk": dk, "dv": dv}


def on_gpu(inputs: dict, key_B: np.ndarray, threshold: int, keep: float, tilings) -> dict:
    """Return outputs and gradients of the kernels for GPUs."""
    batch, positions, hidden = inputs["q"].shape
    kernels = gpu.kernels(batch, positions, hidden, interpret=True, tilings=tilings)
    leading = key_B, np.array([threshold], np.uint32), np.array([1 / keep], np.float32)
    q, k, v, dy = (jnp.asarray(inputs[name], jnp.bfloat16) for name in ("q", "k", "v", "dy"))
    arguments = [*map(jnp.asarray, leading), q, k, v, jnp.asarray(inputs["bias"])]
    y, lse = kernels["forward"][0](*arguments)
    product = y.astype(jnp.float32) * dy.astype(jnp.float32)
    projection = product.reshape(batch, positions, -1, 64).sum(-1).transpose(0, 2, 1)
    more = [*arguments, lse, projection, dy]
    (dq,) = kernels["backward_queries"][0](*more)
    dk, dv = kernels["backward_keys"][0](*more)
    return {"y": y, "dq": dq, "dk": dk, "dv": dv}


RUN = {"tpu": on_tpu, "gpu": on_gpu}


def random_inputs(shape: tuple[int, int, int]) -> dict[str, np.ndarray]:
    """Return queries, keys, values, gradient and bias; the last sequence has a quarter of padding."""
    rng = np.random.default_rng(0)
    inputs = {
        name: np.asarray(jnp.asarray(rng.standard_normal(shape), jnp.bfloat16), np.float32)
        for name in ("q", "k", "v", "dy")
    }
    bias = np.zeros(shape[:2], np.float32)
    bias[-1, 3 * shape[1] // 4 :] = -1e9
    return {**inputs, "bias": bias}


def mask_of(device: str, shape, tiling, key_B, threshold: int, keep: float) -> np.ndarray:
    """Return the mask of a kernel [B, A, S, T], read off its outputs 64 keys at a time.

    With equal scores all weights are 1 / T, and with values that are 1 at one key and one feature, each
    output is a weight after dropout.
    """
    batch, positions, hidden = shape
    found = []
    for first in range(0, positions, 64):
        inputs = {name: np.zeros(shape, np.float32) for name in ("q", "k", "v", "dy")}
        inputs["bias"] = np.zeros(shape[:2], np.float32)
        inputs["v"][:, first : first + 64] = np.tile(np.eye(64), hidden // 64)
        y = np.asarray(RUN[device](inputs, key_B, threshold, keep, tiling)["y"], np.float32)
        found.append(y.reshape(batch, positions, -1, 64).transpose(0, 2, 1, 3) > 0)
    return np.concatenate(found, -1)


def main() -> None:
    """Print the errors of every case; exit with an error if one is too large."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("masks", type=Path, help="what masks.py wrote")
    masks = np.load(parser.parse_args().masks)
    threshold = int(masks["threshold"])
    keep, wrong = 1 - threshold / 2**32, []
    for device, cases in CASES.items():
        for shape, tiling in cases:
            batch, positions, hidden = shape
            key_B = masks["key"][:batch]
            kept = masks["mask"][:batch, : hidden // 64, :positions, :positions]
            inputs = random_inputs(shape)
            expected = reference(inputs, kept, keep)
            found = RUN[device](inputs, key_B, threshold, keep, tiling)
            errors = {
                name: np.linalg.norm(np.asarray(found[name], np.float64) - x) / np.linalg.norm(x)
                for name, x in expected.items()
            }
            same = positions > 512 or np.array_equal(
                mask_of(device, shape, tiling, key_B, threshold, keep), kept
            )
            figures = ", ".join(f"{name} {error:.4f}" for name, error in errors.items())
            print(
                f"{device} {shape}: {figures}; mask {'equal' if same else 'DIFFERENT'}", flush=True
            )
            if not same or max(errors.values()) > TOLERANCE:
                wrong.append(f"{device} {shape}")
    if wrong:
        sys.exit(f"kernels: {', '.join(wrong)}: wrong")


if __name__ == "__main__":
    main()
