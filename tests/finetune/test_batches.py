"""Batches of training and evaluation."""

import numpy as np
import tensorflow as tf

from data.read.order import sequence_at
from finetune.batches import evaluation_batches, training_batches


def take_batches(make, replicas: int, count: int) -> list[dict]:
    context = tf.distribute.InputContext(1, 0, replicas)
    return list(make(context).take(count).as_numpy_iterator())


def test_training_batches_follow_the_order_of_the_seed():
    features = {"input_word_ids": np.arange(14, dtype=np.int32).reshape(7, 2)}
    make = training_batches(features, seed=5, global_batch_size=4, start_step=3)
    expected, _ = sequence_at(np.arange(12, 20), num_sequences=7, seed=5)
    rows = np.concatenate([e["input_word_ids"] for e in take_batches(make, 1, 2)])
    assert rows[:, 0].tolist() == (2 * expected).tolist()
    on_two_replicas = np.concatenate([e["input_word_ids"] for e in take_batches(make, 2, 4)])
    assert on_two_replicas.tolist() == rows.tolist()


def test_evaluation_batches_are_filled_up_with_the_last_example():
    features = {"input_word_ids": np.arange(5, dtype=np.int32)[:, None]}
    make, num_steps = evaluation_batches(features, global_batch_size=2)
    assert num_steps == 3
    rows = [e["input_word_ids"][:, 0].tolist() for e in take_batches(make, 1, 9)]
    assert rows == [[0, 1], [2, 3], [4, 4]]
