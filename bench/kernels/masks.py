"""Write dropout masks of model/dropout.py and their keys, for check.py; runs in .venv.

.venv/bin/python -m bench.kernels.masks masks.npz
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import tensorflow as tf

from model.dropout import Dropout

BATCH, HEADS, POSITIONS, RATE = 2, 4, 1024, 0.1


def main() -> None:
    """Write the masks of two examples of a step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    dropout = Dropout(seed=12345, step=tf.constant(7), example_B=tf.constant([3, 2**31 - 1]))
    mask = dropout.attention_probs_mask(4, RATE, rows_BR=None, columns=POSITIONS, heads=HEADS)
    np.savez_compressed(
        parser.parse_args().output,
        key=mask.key.numpy(),
        mask=mask.keep().numpy(),
        threshold=np.uint32(mask.threshold),
    )


if __name__ == "__main__":
    main()
