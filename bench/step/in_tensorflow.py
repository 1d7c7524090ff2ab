"""The training step of Lambert and of tf-models, timed in a process of its own.

The step is the whole of it: forward, backward, global norm and clipping, LAMB. Both get the same
inputs and the same optimizer. And the largest matrix product, which no step can be faster than.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import tensorflow as tf

from bench.step import work
from model.config import EncoderConfig
from model.dropout import Dropout
from model.mlm import Pretrainer, mlm_sums
from optim.lamb import LAMB


def lambert(config: EncoderConfig, precision: str, optimizer: LAMB):
    """Variables, and the logits of a batch in training."""
    dtype = tf.bfloat16 if precision == "mixed_bfloat16" else tf.float32
    model = Pretrainer(config, seed=0, dtype=dtype)

    def logits(batch):
        example_B = tf.range(batch["input_word_ids"].shape[0])
        masks = Dropout(seed=0, step=optimizer.iterations, example_B=example_B)
        return model.logits(batch, masks=masks)

    return list(model.trainable_variables), logits


def tf_models(config: EncoderConfig, precision: str, optimizer: LAMB):
    """As `lambert`; the pooler is computed, as the model does, and not trained."""
    del optimizer
    import tf_keras

    from model.weights import build_tf_models

    tf_keras.mixed_precision.set_global_policy(precision)
    model = build_tf_models(config, seed=0)
    variables = [v for v in model.trainable_variables if "pooler" not in v.name]

    def logits(batch):
        inputs = {name: batch[name] for name in model.inputs}
        return model(inputs, training=True)["mlm_logits"]

    return variables, logits


def training_step(build: Callable, jit_compile: bool, precision: str, sizes: dict) -> Callable:
    """A function that makes one update and returns the loss.

    Args:
      build: `lambert` or `tf_models`.
      jit_compile: whether XLA compiles all of the step.
      precision: "float32" or "mixed_bfloat16".
      sizes: of the setting.
    """
    optimizer = LAMB(
        1e-4,
        weight_decay_rate=0.01,
        exclude_from_weight_decay=["LayerNorm", "layer_norm", "bias"],
        exclude_from_layer_adaptation=["LayerNorm", "layer_norm", "bias"],
    )
    batch = {name: tf.constant(value) for name, value in work.batch(sizes).items()}
    variables, logits = build(work.encoder_config(sizes), precision, optimizer)
    optimizer.build(variables)

    @tf.function(jit_compile=jit_compile)
    def step():
        with tf.GradientTape() as tape:
            sums = mlm_sums(logits(batch), batch["masked_lm_ids"], batch["masked_lm_weights"])
        gradients = tape.gradient(sums[0], variables)
        gradients = [tf.convert_to_tensor(gradient) / sums[2] for gradient in gradients]
        gradients, _ = tf.clip_by_global_norm(gradients, 1.0)
        optimizer.apply_gradients(
            zip(gradients, variables, strict=True), skip_gradients_aggregation=True
        )
        return sums[0] / sums[2]

    return lambda: step().numpy()


def matmul(precision: str, sizes: dict) -> Callable:
    """The product of two square matrices of sizes["matrix"] rows."""
    dtype = tf.bfloat16 if precision == "mixed_bfloat16" else tf.float32
    shape = [sizes["matrix"], sizes["matrix"]]
    a, b = (tf.cast(tf.random.stateless_normal(shape, [0, i]), dtype) for i in range(2))
    return lambda: tf.matmul(a, b)[0, 0].numpy()


if __name__ == "__main__":
    work.main(
        {
            "lambert": functools.partial(training_step, lambert, False),
            "lambert-jit": functools.partial(training_step, lambert, True),
            "tf-models": functools.partial(training_step, tf_models, False),
            "tf.matmul": matmul,
        }
    )
