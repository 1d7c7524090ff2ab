"""The settings of a pretraining run."""

from __future__ import annotations

import dataclasses

from data.config import InputConfig
from launch.config import ClusterConfig
from model.config import EncoderConfig
from optim.config import OptimizerConfig
from pretrain.train.config import TrainConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """All settings of a pretraining run."""

    train: TrainConfig
    input: InputConfig
    encoder: EncoderConfig
    optimizer: OptimizerConfig
    cluster: ClusterConfig
