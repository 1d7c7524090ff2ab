import math

import pytest
import tensorflow as tf

from launch.accelerators.peak_flops import gpu_peak, peak_flops_per_second, tpu_peak
from model.config import EncoderConfig
from model.flops import training_flops
from model.mlm import Pretrainer, mlm_sums

B, S, P = 2, 24, 5


def operations(function_graph) -> int:
    """Of all matrix products of a graph, by the shapes of their operands."""
    total = 0
    for op in function_graph.get_operations():
        if op.type in ("MatMul", "BatchMatMulV2", "BatchMatMulV3"):
            left = op.inputs[0].shape
            is_transposed = op.get_attr("transpose_a" if op.type == "MatMul" else "adj_x")
            inner = left[-2] if is_transposed else left[-1]
            total += 2 * math.prod(op.outputs[0].shape) * inner
    return total


def test_a_training_step_computes_what_the_formula_says():
    config = EncoderConfig(
        vocab_size=50,
        hidden_size=12,
        num_hidden_layers=3,
        num_attention_heads=3,
        intermediate_size=40,
        max_position_embeddings=S,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    model = Pretrainer(config, seed=0)
    variables = list(model.trainable_variables)

    def step(word_ids, positions, ids):
        features = {
            "input_word_ids": word_ids,
            "input_mask": tf.ones([B, S], tf.int32),
            "input_type_ids": tf.zeros([B, S], tf.int32),
            "masked_lm_positions": positions,
        }
        with tf.GradientTape() as tape:
            loss, *_ = mlm_sums(model.logits(features), ids, tf.ones([B, P]))
        return [tf.convert_to_tensor(g) for g in tape.gradient(loss, variables)]

    inputs = [tf.TensorSpec([B, n], tf.int32) for n in (S, P, P)]
    graph = tf.function(step, autograph=False).get_concrete_function(*inputs).graph
    # Products that only choose: the predicted rows, and the segment types (without a gradient of the
    # one-hot rows, which TensorFlow adds to the graph for batches of matrices only, and never runs).
    choosing = 3 * (2 * P * S * 12) + 2 * (2 * S * 2 * 12)
    assert operations(graph) / B - choosing == training_flops(
        config, seq_length=S, max_predictions=P
    )


def test_the_published_model():
    """Forward, in billions: 23 blocks of 13.96, the last one 3.90, the head 4.91."""
    config = EncoderConfig(
        vocab_size=30522,
        hidden_size=1024,
        num_hidden_layers=24,
        intermediate_size=4096,
        num_attention_heads=16,
    )
    found = training_flops(config, seq_length=512, max_predictions=76)
    assert found == 989_578_739_712


def test_peaks_of_slices():
    assert tpu_peak("v3-8") == 4 * 123e12
    assert tpu_peak("v4-64") == 32 * 275e12
    assert tpu_peak("v5litepod-16") == 16 * 197e12
    assert tpu_peak("v5p-8") == 4 * 459e12
    assert tpu_peak("v6e-256") == 256 * 918e12
    assert [tpu_peak(name) for name in ("", "v9-8", "v4", "v4-x")] == [None] * 4


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA A100-SXM4-40GB", 312e12),
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA H100 NVL", 835e12),
        ("NVIDIA GH200 480GB", 989e12),
        ("NVIDIA L40S", 362e12),
        ("NVIDIA L4", 121e12),
        ("NVIDIA A10", 125e12),
        ("NVIDIA GeForce RTX 4090", 165e12),
        ("Tesla K80", None),
        ("", None),
    ],
)
def test_peaks_of_gpus(name, peak):
    assert gpu_peak(name) == peak


def test_cpus_have_no_known_peak():
    assert peak_flops_per_second(tf.distribute.get_strategy()) is None
