"""Metrics on held-out text: sums, groups, and a split whose last batch is partly empty."""

import json
import math

import numpy as np
import pytest
import tensorflow as tf

from data import schema
from data.config import InputConfig
from data.errors import UserError
from data.manifest import Manifest
from data.read.input_pipeline import evaluation_batches
from data.read.split_reader import SplitReader
from launch.config import ClusterConfig
from model.config import EncoderConfig
from optim.config import OptimizerConfig
from pretrain.config import RunConfig
from pretrain.experiment import build_trainer
from pretrain.train.config import TrainConfig
from pretrain.train.evaluation import (
    Baseline,
    HeldOut,
    evaluation_row,
    metrics_of,
    read_held_out,
)
from pretrain.train.metrics_log import is_on_plateau

# Loss, correct predictions and predictions of three sequences: over all, and over hidden tokens.
SUMS = np.array(
    [
        [[6.0, 2, 4], [5.0, 1, 3]],
        [[9.0, 0, 2], [9.0, 0, 2]],
        [[1.0, 2, 2], [0.0, 0, 0]],
    ]
)


def test_metrics_are_means_over_predictions():
    metrics = metrics_of(SUMS)
    assert (metrics.loss, metrics.mlm_accuracy, metrics.predictions) == (2.0, 0.5, 8)
    assert metrics.hidden_accuracy == pytest.approx(1 / 5)
    assert metrics.perplexity == pytest.approx(math.e**2)
    assert metrics_of(SUMS[2:]).hidden_accuracy == 0
    assert metrics_of(SUMS[:0]) is None


def test_held_out_split_without_predictions_is_an_error():
    nothing = Baseline(piece=",", accuracy=0.0)
    held_out = HeldOut(num_sequences=2, baseline=nothing, hidden_baseline=nothing, groups={})
    with pytest.raises(UserError, match=r"BuildConfig\.eval_fraction"):
        evaluation_row(np.zeros((2, 2, 3)), held_out)


def test_sums_are_added_in_float64():
    sums = np.full((3, 2, 3), [2.0**24, 1, 1], np.float32)
    sums[1:, :, 0] = 1
    assert metrics_of(sums).loss == (2**24 + 2) / 3


def test_row_has_every_group_with_predictions():
    held_out = HeldOut(
        num_sequences=3,
        baseline=Baseline(piece=",", accuracy=0.25),
        hidden_baseline=Baseline(piece="the", accuracy=0.125),
        groups={
            "wiki": np.array([True, False, False]),
            "mixed": np.array([False, True, True]),
            "cross_boundary": np.zeros(3, bool),
        },
    )
    padding = np.full((1, 2, 3), 99.0)
    row, lines = evaluation_row(np.concatenate([SUMS, padding]), held_out)
    assert row == {
        "eval_loss": 2.0,
        "eval_perplexity": math.exp(2.0),
        "eval_mlm_accuracy": 0.5,
        "eval_hidden_accuracy": 0.2,
        "eval_predictions": 8,
        "eval_baseline_accuracy": 0.25,
        "eval_hidden_baseline_accuracy": 0.125,
        "eval_loss/wiki": 1.5,
        "eval_perplexity/wiki": math.exp(1.5),
        "eval_mlm_accuracy/wiki": 0.5,
        "eval_hidden_accuracy/wiki": 1 / 3,
        "eval_predictions/wiki": 4,
        "eval_loss/mixed": 2.5,
        "eval_perplexity/mixed": math.exp(2.5),
        "eval_mlm_accuracy/mixed": 0.5,
        "eval_hidden_accuracy/mixed": 0.0,
        "eval_predictions/mixed": 4,
    }
    assert lines.splitlines() == [
        "held-out: loss 2.000, MLM accuracy 50.00% on 8 predictions (always guessing ',': 25.00%),"
        " and 20.00% where the token is hidden ('the': 12.50%): still on the unigram plateau",
        "  wiki: loss 1.500, 50.00% on 4",
        "  mixed: loss 2.500, 50.00% on 4",
    ]


@pytest.mark.parametrize(
    ("accuracy", "share", "expected"),
    [
        (0.0576, 0.058, True),
        (0.1159, 0.058, True),
        (0.116, 0.058, False),
        # Twice a large share is out of reach: half of the way to 100% counts.
        (0.69, 0.4, True),
        (0.71, 0.4, False),
        (0.0, 0.0, False),  # no token is hidden
        (None, 0.058, False),  # not finite
        (0.0576, None, False),  # a row of an older version
    ],
)
def test_plateau_ends_at_twice_the_most_frequent_piece(accuracy, share, expected):
    row = {"eval_hidden_accuracy": accuracy, "eval_hidden_baseline_accuracy": share}
    assert is_on_plateau(row) is expected


@pytest.fixture(scope="module")
def manifest(small_build):
    return Manifest.load(small_build)


@pytest.fixture(scope="module")
def held_out(small_build, manifest):
    reader = SplitReader(small_build, manifest, "eval", "materialised")
    return read_held_out(small_build, manifest, reader)


def test_groups_match_the_unmasked_sequences(small_build, manifest, held_out, vocab):
    (shard,) = manifest.split("eval")
    packed = np.load(small_build / shard.packed.path)
    crosses = (packed == vocab.ids[schema.SEP]).sum(axis=1) > 1
    assert 0 < crosses.sum() < len(packed)
    np.testing.assert_array_equal(held_out.groups["cross_boundary"], crosses)
    np.testing.assert_array_equal(held_out.groups["same_document"], ~crosses)
    bits = np.load(small_build / shard.sources.path)
    assert shard.source_names == ("books", "wiki")
    for name, value in {"books": 1, "wiki": 2, "mixed": 3}.items():
        if value in bits:
            np.testing.assert_array_equal(held_out.groups[name], bits == value)
        else:
            assert name not in held_out.groups


def evaluate(small_build, manifest, strategy, batch_size, reader_kind="python"):
    reader = SplitReader(small_build, manifest, "eval", "materialised")
    config = RunConfig(
        train=TrainConfig(precision="float32"),
        input=InputConfig(reader=reader_kind),
        encoder=EncoderConfig(
            vocab_size=1500,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=64,
            initializer_range=0.5,
        ),
        optimizer=OptimizerConfig(),
        cluster=ClusterConfig(),
    )
    trainer = build_trainer(config, strategy)
    dataset, num_steps = evaluation_batches(reader, config.input, global_batch_size=batch_size)
    iterator = iter(strategy.distribute_datasets_from_function(dataset))
    return trainer.evaluate(iterator, num_steps)


@pytest.mark.parametrize(
    ("replicas", "reader_kind"), [(1, "graph"), pytest.param(4, "python", marks=pytest.mark.slow)]
)
def test_partly_empty_last_batch_counts_exactly(
    small_build, manifest, held_out, replicas, reader_kind
):
    size = held_out.num_sequences
    assert size % 16
    one = evaluate(small_build, manifest, tf.distribute.get_strategy(), size)
    assert len(one) == size
    strategy = tf.distribute.get_strategy()
    if replicas > 1:
        strategy = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(replicas)])
    many = evaluate(small_build, manifest, strategy, 16, reader_kind)
    assert len(many) == -(-size // 16) * 16
    np.testing.assert_allclose(many[:size], one, rtol=1e-4)
    assert not many[size:].any()
    row, expected = (evaluation_row(sums, held_out)[0] for sums in (many, one))
    assert row == pytest.approx(expected, rel=1e-5)
    # The records on disk have the number of predictions.
    (shard,) = manifest.split("eval")
    from data.storage.records import parse_specs

    records = tf.data.TFRecordDataset(str(small_build / shard.masked[0].path))
    weights = tf.io.parse_example(list(records), parse_specs(64, 10))["masked_lm_weights"]
    assert row["eval_predictions"] == int(weights.numpy().sum())
    kinds = [("same_document", "cross_boundary"), ("books", "wiki", "mixed")]
    for names in kinds:
        parts = [row.get(f"eval_predictions/{name}", 0) for name in names]
        assert sum(parts) == row["eval_predictions"]
    json.dumps(row)  # metrics.jsonl needs plain numbers
