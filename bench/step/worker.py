"""Times the training step of one implementation in a process of its own; prints one line of JSON.

The step is the whole of it: forward, backward, global norm and clipping, LAMB. Both
implementations get the same inputs, the same optimizer, and no padding.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from model.config import EncoderConfig
from model.dropout import Dropout
from model.mlm import Pretrainer, mlm_sums
from optim.lamb import LAMB


def features(sizes: dict[str, int]) -> dict[str, tf.Tensor]:
    """One batch; what it says does not matter to speed."""
    rng = np.random.default_rng(0)
    shape = (sizes["batch"], sizes["positions"])
    slots = (sizes["batch"], sizes["predictions"])
    integers = {
        "input_word_ids": rng.integers(0, sizes["vocab"], shape),
        "input_mask": np.ones(shape),
        "input_type_ids": np.zeros(shape),
        "masked_lm_positions": np.sort(rng.integers(0, sizes["positions"], slots)),
        "masked_lm_ids": rng.integers(0, sizes["vocab"], slots),
    }
    batch = {name: tf.constant(value, tf.int32) for name, value in integers.items()}
    return {**batch, "masked_lm_weights": tf.ones(slots)}


def encoder_config(sizes: dict[str, int]) -> EncoderConfig:
    """BERT's proportions and dropout 0.1."""
    return EncoderConfig(
        vocab_size=sizes["vocab"],
        hidden_size=sizes["hidden"],
        num_hidden_layers=sizes["layers"],
        num_attention_heads=sizes["heads"],
        intermediate_size=4 * sizes["hidden"],
        max_position_embeddings=sizes["positions"],
    )


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


IMPLEMENTATIONS = {"lambert": lambert, "tf-models": tf_models}


def training_step(implementation: str, precision: str, sizes: dict) -> Callable[[], tf.Tensor]:
    """A function that makes one update and returns the loss."""
    optimizer = LAMB(
        1e-4,
        weight_decay_rate=0.01,
        exclude_from_weight_decay=["LayerNorm", "layer_norm", "bias"],
        exclude_from_layer_adaptation=["LayerNorm", "layer_norm", "bias"],
    )
    config, batch = encoder_config(sizes), features(sizes)
    variables, logits = IMPLEMENTATIONS[implementation](config, precision, optimizer)
    optimizer.build(variables)

    @tf.function
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

    return step


def best_seconds(step: Callable[[], tf.Tensor], repeats: int) -> float:
    """Of single steps, after the first two, which compile and touch all memory."""
    seconds = []
    for _ in range(2 + repeats):
        started = time.perf_counter()
        step().numpy()
        seconds.append(time.perf_counter() - started)
    return min(seconds[2:])


def main() -> None:
    """Measures what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--implementation", choices=IMPLEMENTATIONS, required=True)
    parser.add_argument("--precision", choices=("float32", "mixed_bfloat16"), required=True)
    parser.add_argument("--sizes", type=json.loads, required=True)
    parser.add_argument("--repeats", type=int, required=True)
    args = parser.parse_args()
    step = training_step(args.implementation, args.precision, args.sizes)
    print(json.dumps({"seconds": best_seconds(step, args.repeats)}))


if __name__ == "__main__":
    main()
