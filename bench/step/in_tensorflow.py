"""Program that times the training step of Lambert or tf-models, or a matrix product.

The step consists of forward and backward pass, global norm and clipping, and LAMB. Both
implementations get the same inputs and the same optimizer; ours also checks for bad steps, as every run
does. The matrix product is the upper bound on the speed of a step.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import tensorflow as tf

from bench.step import work
from data.config import InputConfig
from launch.config import ClusterConfig
from model.loss import mlm_sums
from optim.build import build_optimizer
from optim.config import OptimizerConfig
from pretrain.config import RunConfig
from pretrain.experiment import build_trainer
from pretrain.train.config import TrainConfig

_OPTIMIZER = OptimizerConfig()


def lambert(
    precision: str, sizes: dict, *, jit_compile: bool = False, drops: bool = True
) -> Callable:
    """Return a function that makes one update with Lambert's trainer and returns the loss.

    Args:
      precision: "float32" or "mixed_bfloat16".
      sizes: sizes of the model and the batch.
      jit_compile: whether XLA compiles the whole step, as on a TPU.
      drops: whether there is dropout.
    """
    encoder = work.encoder_config(sizes)
    if not drops:
        encoder = dataclasses.replace(
            encoder, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
        )
    config = RunConfig(
        train=TrainConfig(global_batch_size=sizes["batch"], precision=precision),
        input=InputConfig(),
        encoder=encoder,
        optimizer=_OPTIMIZER,
        cluster=ClusterConfig(),
    )
    trainer = build_trainer(config, tf.distribute.get_strategy())
    batch = _batch(sizes)

    @tf.function(jit_compile=jit_compile)
    def step():
        loss_sum, _, weight_sum, *_ = tf.unstack(trainer.strategy.run(trainer.update, (batch,)))
        return loss_sum / weight_sum

    return lambda: step().numpy()


def tf_models(precision: str, sizes: dict) -> Callable:
    """Return a function like `lambert`'s with tf-models' model, our loss and our LAMB.

    The model computes its pooler, which is not trained.
    """
    import tf_keras

    from model.weights import build_tf_models

    tf_keras.mixed_precision.set_global_policy(precision)
    model = build_tf_models(work.encoder_config(sizes), seed=0)
    variables = [v for v in model.trainable_variables if "pooler" not in v.name]
    optimizer = build_optimizer(_OPTIMIZER, _OPTIMIZER.peak_learning_rate)
    optimizer.build(variables)
    batch = _batch(sizes)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            outputs = model({name: batch[name] for name in model.inputs}, training=True)
            sums = mlm_sums(
                outputs["mlm_logits"], batch["masked_lm_ids"], batch["masked_lm_weights"]
            )
        gradients = tape.gradient(sums[0], variables)
        gradients = [tf.convert_to_tensor(gradient) / sums[2] for gradient in gradients]
        gradients, _ = tf.clip_by_global_norm(gradients, _OPTIMIZER.clip_norm)
        optimizer.apply_gradients(
            zip(gradients, variables, strict=True), skip_gradients_aggregation=True
        )
        return sums[0] / sums[2]

    return lambda: step().numpy()


def _batch(sizes: dict) -> dict[str, tf.Tensor]:
    return {name: tf.constant(value) for name, value in work.batch(sizes).items()}


def matmul(precision: str, sizes: dict) -> Callable:
    """Return a function that multiplies two square matrices of sizes["matrix"] rows."""
    dtype = tf.bfloat16 if precision == "mixed_bfloat16" else tf.float32
    shape = [sizes["matrix"], sizes["matrix"]]
    a, b = (tf.cast(tf.random.stateless_normal(shape, [0, i]), dtype) for i in range(2))
    return lambda: tf.matmul(a, b)[0, 0].numpy()


if __name__ == "__main__":
    work.main(
        {
            "lambert": lambert,
            "lambert-undropped": functools.partial(lambert, drops=False),
            "lambert-jit": functools.partial(lambert, jit_compile=True),
            "tf-models": tf_models,
            "tf.matmul": matmul,
        }
    )
