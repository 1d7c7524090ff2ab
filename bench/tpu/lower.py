"""Lower the training step of one implementation to StableHLO.

    python -m bench.tpu.lower --implementation lambert --setting '{...}' --output step.mlir

Lambert's step is the trainer's update with the settings of a run. The step of tf-models consists of its
model, its loss and accuracy (official/nlp/tasks/masked_lm.py) and its LAMB, with the same clipping.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.compiler.tf2xla.ops import gen_xla_ops

from bench.step.work import encoder_config
from data.read.input_pipeline import InputConfig
from launch.config import ClusterConfig
from model.tracing import tracing_for
from optim.collectives import XlaCollectives
from optim.config import OptimizerConfig
from pretrain.config import RunConfig
from pretrain.experiment import build_trainer
from pretrain.train.config import TrainConfig
from pretrain.train.recipe import choose_kernels
from pretrain.train.trainer import Trainer

# Text in StableHLO that a TPU cannot run, or only slowly.
_REFUSED = {
    "#stablehlo.bounds": "a shape that depends on data",
    "set_dimension_size": "a shape that depends on data",
    "f64>": "float64",
}

Step = Callable[[dict[str, tf.Tensor]], tf.Tensor]


class UnfitForTPUError(ValueError):
    """Raised for a program that a TPU cannot run, or only slowly."""


def input_specs(setting: dict[str, int]) -> dict[str, tf.TensorSpec]:
    """Return the specs of a core's features for one update.

    Args:
      setting: sizes `batch_per_core`, `positions`, `predictions` and the architecture.
    """
    batch, positions, predictions = (
        setting[name] for name in ("batch_per_core", "positions", "predictions")
    )
    shapes = dict.fromkeys(("input_word_ids", "input_mask", "input_type_ids"), (batch, positions))
    shapes |= dict.fromkeys(("masked_lm_positions", "masked_lm_ids"), (batch, predictions))
    specs = {name: tf.TensorSpec(shape, tf.int32) for name, shape in shapes.items()}
    return {**specs, "masked_lm_weights": tf.TensorSpec((batch, predictions), tf.float32)}


class _ManyReplicas(XlaCollectives):
    """Collectives of a TPUStrategy with more replicas than this machine has devices."""

    def __init__(self, strategy: tf.distribute.Strategy, num_replicas: int):
        super().__init__(strategy)
        self.num_replicas = num_replicas

    def sum(self, values: Any) -> Any:
        """Return the sums over all replicas of a nest of tensors."""
        group = tf.constant([list(range(self.num_replicas))], tf.int32)
        return tf.nest.map_structure(
            lambda value: gen_xla_ops.xla_all_reduce(
                input=value, group_assignment=group, reduce_op="Add", mode="CrossReplica"
            ),
            values,
        )


def build(setting: dict[str, int]) -> Trainer:
    """Return a trainer with the sizes of a setting, as on one of its replicas."""
    config = RunConfig(
        train=TrainConfig(
            global_batch_size=setting["batch_per_core"],
            micro_batch_size=setting["micro_batch_size"],
            rematerialize_blocks=setting["rematerialize_blocks"],
            logits_chunk_size=setting["logits_chunk_size"],
            attention=setting["attention"],
        ),
        input=InputConfig(),
        encoder=encoder_config(setting),
        optimizer=OptimizerConfig(shard=setting.get("shard", False)),
        cluster=ClusterConfig(),
    )
    kernels = choose_kernels(
        config.train, config.encoder, device=setting["chip"], seq_length=setting["positions"]
    )
    strategy, replicas = tf.distribute.get_strategy(), setting.get("replicas", 1)
    collectives = _ManyReplicas(strategy, replicas) if replicas > 1 else None
    return build_trainer(config, strategy, kernels=kernels, collectives=collectives)


def lambert(setting: dict[str, int]) -> Step:
    """Return the trainer's update."""
    trainer = build(setting)

    def step(features: dict[str, tf.Tensor]) -> tf.Tensor:
        with tracing_for(setting["chip"]):
            return trainer.strategy.run(trainer.update, (features,))

    return step


def tf_models(setting: dict[str, int]) -> Step:
    """Return tf-models' step in bfloat16."""
    import tf_keras
    from official.modeling.optimization.lamb import LAMB

    from model.weights import build_tf_models

    if setting["micro_batch_size"]:
        raise ValueError("tf-models does not accumulate gradients")
    tf_keras.mixed_precision.set_global_policy("mixed_bfloat16")
    model = build_tf_models(encoder_config(setting), seed=0)
    excluded = ["LayerNorm", "layer_norm", "bias"]
    optimizer = LAMB(
        2.5e-3,
        beta_2=0.99,
        weight_decay_rate=0.01,
        exclude_from_weight_decay=excluded,
        exclude_from_layer_adaptation=excluded,
    )
    # The model computes a pooler, which has no gradient.
    variables = [v for v in model.trainable_variables if "pooler" not in v.name]
    optimizer._create_all_weights(variables)

    def step(features):
        labels, weights = features["masked_lm_ids"], features["masked_lm_weights"]
        with tf.GradientTape() as tape:
            outputs = model({name: features[name] for name in model.inputs}, training=True)
            logits = tf.cast(outputs["mlm_logits"], tf.float32)
            losses = tf_keras.losses.sparse_categorical_crossentropy(
                labels, logits, from_logits=True
            )
            loss = tf.math.divide_no_nan(tf.reduce_sum(losses * weights), tf.reduce_sum(weights))
        gradients, norm = tf.clip_by_global_norm(tape.gradient(loss, variables), 1.0)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        hits = tf_keras.metrics.sparse_categorical_accuracy(labels, logits)
        return tf.stack([loss, tf.reduce_sum(hits * weights), tf.reduce_sum(weights), norm])

    return step


IMPLEMENTATIONS = {"lambert": lambert, "tf-models": tf_models}


def stablehlo(step: Step, specs: dict[str, tf.TensorSpec]) -> str:
    """Return the StableHLO of a step.

    Raises:
      UnfitForTPUError: the program has dynamic shapes or float64.
    """
    names = list(specs)
    program = tf.function(
        lambda *values: step(dict(zip(names, values, strict=True))),
        jit_compile=True,
        autograph=False,
    )
    text = program.experimental_get_compiler_ir(*specs.values())(stage="stablehlo")
    for needle, reason in _REFUSED.items():
        if needle in text:
            line = next(line for line in text.splitlines() if needle in line)
            raise UnfitForTPUError(f"the step has {reason}: {line.strip()[:200]}")
    # mhlo.copy is TensorFlow's; the TPU compiler has this barrier instead.
    return re.sub(r"mhlo\.copy (%\S+) : (\S+)", r"stablehlo.optimization_barrier \1 : \2", text)


def main() -> None:
    """Write the program that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--implementation", choices=IMPLEMENTATIONS, required=True)
    parser.add_argument("--setting", type=json.loads, required=True)
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    step = IMPLEMENTATIONS[args.implementation](args.setting)
    args.output.write_text(stablehlo(step, input_specs(args.setting)))


if __name__ == "__main__":
    main()
