"""Programs for parts of the product that no command of its own runs alone.

python -m tests.faults.programs stage SOURCE SCRATCH     as launch.node copies a build
python -m tests.faults.programs job JOB                  as launch.node reads a job
python -m tests.faults.programs export SEED TARGET       as finetune.run exports a seed
python -m tests.faults.programs read DATA MASKS READER   as training reads a split, once
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from data.errors import run_main


def main(argv: Sequence[str]) -> None:
    """Run one of the programs."""
    {"stage": _stage, "read": _read}[argv[0]](*argv[1:])


def _stage(source: str, scratch: str) -> None:
    from launch.worker.stage import stage

    stage(source, scratch)


def _read(data_dir: str, masks: str, reader: str) -> None:
    import tensorflow as tf

    from data.config import InputConfig
    from data.manifest import Manifest
    from data.read.input_pipeline import training_batches
    from data.read.split_reader import SplitReader

    split = SplitReader(data_dir, Manifest.load(data_dir), "train", masks)
    steps = -(-split.num_sequences * max(1, split.copies) // 64)  # every copy of every sequence
    function = training_batches(
        split,
        InputConfig(masks=masks, reader=reader, prefetch=1),
        seed=1,
        global_batch_size=64,
        start_step=0,
    )
    digest = hashlib.sha256()
    with split.reraise_reader_errors():
        for batch in function(tf.distribute.InputContext()).take(steps):
            for name in sorted(batch):
                digest.update(batch[name].numpy().tobytes())
    print(f"{steps} batches of {masks} masks: {digest.hexdigest()}")


if __name__ == "__main__":
    run_main(main)
