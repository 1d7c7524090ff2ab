import math

import tensorflow as tf

from model.config import EncoderConfig
from model.flops import training_flops
from model.mlm import Pretrainer, mlm_sums

B, S, P = 2, 24, 5


def operations(function_graph) -> int:
    """Return the operations of all matrix products of a graph, from the shapes of their operands."""
    total = 0
    for op in function_graph.get_operations():
        if op.type in ("MatMul", "BatchMatMulV2", "BatchMatMulV3"):
            left = op.inputs[0].shape
            is_transposed = op.get_attr("transpose_a" if op.type == "MatMul" else "adj_x")
            inner = left[-2] if is_transposed else left[-1]
            total += 2 * math.prod(op.outputs[0].shape) * inner
    return total


def test_formula_equals_the_products_of_a_training_step():
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
    # Products with one-hot rows: the predicted positions, and the segment types. (TensorFlow adds the
    # gradient of one-hot rows to the graph only for batches of matrices, and never runs it.)
    selections = 3 * (2 * P * S * 12) + 2 * (2 * S * 2 * 12)
    assert operations(graph) / B - selections == training_flops(
        config, seq_length=S, max_predictions=P
    )


def test_operations_of_the_published_model():
    """The forward pass in billions: 23 blocks of 13.96, the last block 3.90, the head 4.91."""
    config = EncoderConfig(
        vocab_size=30522,
        hidden_size=1024,
        num_hidden_layers=24,
        intermediate_size=4096,
        num_attention_heads=16,
    )
    found = training_flops(config, seq_length=512, max_predictions=76)
    assert found == 989_578_739_712
