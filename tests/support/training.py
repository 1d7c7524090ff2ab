"""Small trainers of the product, and batches for them.

Tracing a training step costs seconds, and with four replicas half a minute. So a trainer is built once
for each configuration and number of replicas, and reset to its initial state for each use.
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from data.config import InputConfig
from launch.config import ClusterConfig
from model.config import EncoderConfig
from optim.config import OptimizerConfig
from pretrain.config import RunConfig
from pretrain.experiment import build_trainer
from pretrain.train.config import TrainConfig
from pretrain.train.trainer import LoopMetrics, Trainer

BATCH_SIZE = 8
SEQ_LENGTH, PREDICTIONS, VOCAB_SIZE = 16, 3, 50
DROPOUT = {"dropout": 0.2, "attention_dropout": 0.3}


def run_config(
    *,
    micro_batch_size=0,
    precision="float32",
    dropout=0.0,
    attention_dropout=0.0,
    layers=2,
    **train,
) -> RunConfig:
    return RunConfig(
        train=TrainConfig(
            **{"train_steps": 10, "global_batch_size": BATCH_SIZE, **train},
            micro_batch_size=micro_batch_size,
            precision=precision,
        ),
        input=InputConfig(),
        encoder=EncoderConfig(
            vocab_size=VOCAB_SIZE,
            hidden_size=16,
            num_hidden_layers=layers,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=SEQ_LENGTH,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=attention_dropout,
        ),
        optimizer=OptimizerConfig(peak_learning_rate=0.01, warmup_steps=2),
        cluster=ClusterConfig(),
    )


def global_batch(step: int) -> dict[str, np.ndarray]:
    """Return the global batch of a step; its rows have unequal numbers of predictions.

    A mean of the replicas' means therefore differs from the global mean.
    """
    rng = np.random.default_rng(step)
    size, length, predictions = BATCH_SIZE, SEQ_LENGTH, PREDICTIONS
    used = rng.integers(1, predictions + 1, size)
    word_ids = rng.integers(1, VOCAB_SIZE, (size, length)).astype(np.int32)
    positions = rng.integers(1, length, (size, predictions)).astype(np.int32)
    labels = rng.integers(1, VOCAB_SIZE, (size, predictions)).astype(np.int32)
    labels[0] = word_ids[0, positions[0]]  # one row shows what is to be predicted
    return {
        "input_word_ids": word_ids,
        "input_mask": np.ones((size, length), np.int32),
        "input_type_ids": np.zeros((size, length), np.int32),
        "masked_lm_positions": positions,
        "masked_lm_ids": labels,
        "masked_lm_weights": (np.arange(predictions) < used[:, None]).astype(np.float32),
    }


def iterate(strategy: tf.distribute.Strategy, batches: Sequence[dict[str, np.ndarray]]):
    """Return an iterator over distributed batches; each replica gets an equal part, in order."""

    def dataset(context):
        parts = [
            {name: values[rows] for name, values in batch.items()}
            for batch in batches
            for rows in np.split(np.arange(BATCH_SIZE), context.num_replicas_in_sync)
        ]
        stacked = {name: np.stack([part[name] for part in parts]) for name in parts[0]}
        return tf.data.Dataset.from_tensor_slices(stacked)

    return iter(strategy.distribute_datasets_from_function(dataset))


def iterator(strategy: tf.distribute.Strategy, steps: int, first: int = 0):
    """Return an iterator over the global batches of some steps."""
    return iterate(strategy, [global_batch(step) for step in range(first, first + steps)])


@functools.cache
def strategy_of(replicas: int) -> tf.distribute.Strategy:
    if replicas == 1:
        return tf.distribute.get_strategy()
    # One process cannot have collectives over groups of different sizes: always all four CPUs.
    assert replicas == 4
    return tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(replicas)])


def state(trainer: Trainer) -> list[tf.Variable]:
    """Return all variables of a run: weights, optimizer, counts of bad steps."""
    return [variable for item in trainer.checkpoint_items.values() for variable in item.variables]


@functools.cache
def _built(config: RunConfig, replicas: int) -> tuple[Trainer, list[np.ndarray]]:
    trainer = build_trainer(config, strategy_of(replicas))
    return trainer, [variable.numpy() for variable in state(trainer)]


def fresh_trainer(config: RunConfig, replicas: int = 1) -> Trainer:
    """Return the trainer of a configuration in its initial state.

    It is shared: the next call with the same configuration resets it.
    """
    trainer, initial = _built(config, replicas)
    for variable, value in zip(state(trainer), initial, strict=True):
        variable.assign(value)
    trainer._has_fresh_compute_weights = False
    return trainer


@dataclasses.dataclass(frozen=True)
class Training:
    """Metrics of each step, and all trained variables after the last one."""

    metrics: list[LoopMetrics]
    values: list[np.ndarray]


def train(trainer: Trainer, steps: int = 5) -> Training:
    """Train step by step on the batches from step 0."""
    batches = iterator(trainer.strategy, steps)
    metrics = [trainer.train(batches, 1) for _ in range(steps)]
    return Training(metrics, [variable.numpy() for variable in trainer.variables])
