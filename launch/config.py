"""The machines to train on. Bound by gin in pretrain/config.py."""

from __future__ import annotations

import dataclasses

from data.errors import UserError

# Exit code of a run that has saved its state and wants to be started again.
RESTART_CODE = 42
# Has no place in a command that is started again and again.
DISCARD_FLAG = "--discard_checkpoints"
STRATEGIES = ("auto", "default", "mirrored", "multi_worker", "tpu")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClusterConfig:
    """Which tf.distribute strategy runs the training step.

    Attributes:
      strategy: "default" uses one device; "mirrored" all GPUs of one machine; "multi_worker" the
        cluster in TF_CONFIG; "tpu" a Cloud TPU; "auto" chooses by what is there.
      tpu: name or address of the TPU; empty takes TPU_NAME from the environment, or else "local",
        the TPU of this machine.
    """

    strategy: str = "auto"
    tpu: str = ""

    def __post_init__(self):
        if self.strategy not in STRATEGIES:
            raise UserError(
                f"ClusterConfig.strategy={self.strategy!r}: must be one of {', '.join(STRATEGIES)}"
            )
