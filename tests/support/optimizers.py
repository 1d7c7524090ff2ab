"""Weights and gradients for tests of optimizers, and LAMB and AdamW in float64 numpy."""

import re

import numpy as np
import tensorflow as tf

EXCLUDED = ("layer_norm", "bias")
SETTINGS = dict(beta_1=0.9, beta_2=0.99, epsilon=1e-6)


def variables(dtype=tf.float32):
    """Return variables of several sizes, some outside the bounds of variant "paper"."""
    rng = np.random.default_rng(0)
    values = {
        "dense/kernel": rng.normal(size=(5, 7)),
        "dense/bias": rng.normal(size=7),
        "layer_norm/gamma": 100 * rng.normal(size=7),  # norm above gamma_u
        "embeddings": 1e-5 * rng.normal(size=(6, 4)),  # norm below gamma_l
        "zeros/kernel": np.zeros((3, 2)),
    }
    return [tf.Variable(v, name=n, dtype=dtype) for n, v in values.items()]


def gradients(step):
    """Return gradients whose global norm is above 1 at even steps and below 1 at odd ones."""
    rng = np.random.default_rng(100 + step)
    scale = 0.02 if step % 2 else 1.0
    return [scale * rng.normal(size=v.shape).astype(np.float32) for v in variables()]


def is_excluded(patterns, name):
    return any(re.search(pattern, name) for pattern in patterns)


RATIOS = {
    "paper": lambda x, r: np.clip(x, 1e-3, 10) / r,
    "tf_models": lambda x, r: x / r if x else 1.0,
    "nvlamb": lambda x, r: x / r if x else 1.0,
    "clamped": lambda x, r: np.clip(x / r, 0.01, 0.3) if x else 1.0,
}


def numpy_lamb(
    variant,
    gradients_of_steps,
    variables,
    *,
    lr,
    beta_1,
    beta_2,
    epsilon,
    decay,
    no_decay,
    no_adaptation,
    bias_correction=True,
):
    """Return weights and last trust ratios after LAMB, by its formulas in float64."""
    names = [v.name for v in variables]
    xs = [v.numpy().astype(np.float64) for v in variables]
    ms, vs = [0 * x for x in xs], [0 * x for x in xs]
    ratios = {}
    for t, gs in enumerate(gradients_of_steps, start=1):
        gs = [g.astype(np.float64) for g in gs]
        if variant == "nvlamb":
            norm = np.sqrt(sum((g**2).sum() for g in gs))
            gs = [g / max(1, norm) for g in gs]
        for i, g in enumerate(gs):
            ms[i] = beta_1 * ms[i] + (1 - beta_1) * g
            vs[i] = beta_2 * vs[i] + (1 - beta_2) * g**2
            correction_m, correction_v = (
                (1 - beta_1**t, 1 - beta_2**t) if bias_correction else (1, 1)
            )
            r = ms[i] / correction_m / (np.sqrt(vs[i] / correction_v) + epsilon)
            if not is_excluded(no_decay, names[i]):
                r = r + decay * xs[i]
            ratio = 1.0
            if not is_excluded(no_adaptation, names[i]):
                ratio = RATIOS[variant](np.linalg.norm(xs[i]), np.linalg.norm(r))
                ratios[names[i]] = ratio
            xs[i] = xs[i] - lr * ratio * r
    return xs, ratios


def numpy_adamw(steps, *, lr, beta_1, beta_2, epsilon, decay, no_decay, bias_correction=True):
    """Return the weights after AdamW, by its formulas in float64."""
    names = [v.name for v in variables()]
    xs = [v.numpy().astype(np.float64) for v in variables()]
    ms, vs = [0 * x for x in xs], [0 * x for x in xs]
    for t in range(1, steps + 1):
        for i, g in enumerate(gradients(t - 1)):
            ms[i] = beta_1 * ms[i] + (1 - beta_1) * g
            vs[i] = beta_2 * vs[i] + (1 - beta_2) * g.astype(np.float64) ** 2
            correction_m, correction_v = (
                (1 - beta_1**t, 1 - beta_2**t) if bias_correction else (1, 1)
            )
            root, tiny = np.sqrt(vs[i]) / np.sqrt(correction_v), epsilon / np.sqrt(correction_v)
            direction = ms[i] / correction_m / (root + tiny)
            shrink = 1.0 if is_excluded(no_decay, names[i]) else 1 - lr * decay
            xs[i] = shrink * xs[i] - lr * direction
    return xs


def apply_steps(optimizer, weights, steps):
    """Update the weights with the gradients of the first steps."""
    for step in range(steps):
        optimizer.apply_gradients(zip(map(tf.constant, gradients(step)), weights, strict=True))


def assert_near(found, expected, *, relative):
    """Assert that errors are within a fraction of each tensor's largest value."""
    for a, b in zip(found, expected, strict=True):
        b = np.asarray(b)
        np.testing.assert_allclose(a.numpy(), b, rtol=0, atol=relative * abs(b).max())
