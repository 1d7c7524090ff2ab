import os
import shutil

import numpy as np
import pytest
import tensorflow as tf

from data import schema
from data.build import build
from data.config import BuildConfig, InputConfig
from data.documents import find_inputs
from data.errors import UserError
from data.input_pipeline import SplitReader, evaluation_batches, training_batches
from data.manifest import Manifest
from data.masking import MaskingRule, mask_sequences
from data.order import sequence_at
from data.records import ExampleCodec, write_records

BATCH = 8


@pytest.fixture(scope="module")
def manifest(small_build):
    return Manifest.load(small_build)


def context(pipeline=0, pipelines=1, replicas=1):
    return tf.distribute.InputContext(
        num_input_pipelines=pipelines, input_pipeline_id=pipeline, num_replicas_in_sync=replicas
    )


def training_elements(directory, manifest, masks, *, start, count, **where):
    reader = SplitReader(directory, manifest, "train", masks)
    dataset = training_batches(
        reader, InputConfig(masks=masks), seed=5, global_batch_size=BATCH, start_step=start
    )
    return list(dataset(context(**where)).take(count).as_numpy_iterator())


def assert_equal(left, right):
    assert left.keys() == right.keys()
    for name in left:
        np.testing.assert_array_equal(left[name], right[name])


def stacked(elements):
    return {name: np.concatenate([e[name] for e in elements]) for name in elements[0]}


def test_both_forms_of_storage_give_the_same_batches(small_build, manifest):
    # Enough steps to pass through all copies and into the first again.
    steps = 5 * manifest.num_sequences("train") // BATCH
    stored = training_elements(small_build, manifest, "materialised", start=0, count=steps)
    online = training_elements(small_build, manifest, "online", start=0, count=steps)
    for left, right in zip(stored, online, strict=True):
        assert_equal(left, right)


def test_a_batch_is_what_order_and_mask_function_say(small_build, small_config, manifest, vocab):
    step = 100
    (batch,) = training_elements(small_build, manifest, "online", start=step, count=1)
    packed = np.concatenate(
        [np.load(small_build / shard.packed.path) for shard in manifest.split("train")]
    )
    positions = np.arange(step * BATCH, (step + 1) * BATCH)
    index, epoch = sequence_at(positions, num_sequences=len(packed), seed=5)
    rule = MaskingRule.create(small_config, vocab)
    assert_equal(batch, mask_sequences(packed[index], epoch % 3, rule))
    for feature in schema.FEATURES:
        size = feature.size(max_seq_length=64, max_predictions=10)
        assert batch[feature.name].shape == (BATCH, size)


def test_any_step_can_be_read_directly(small_build, manifest):
    whole = training_elements(small_build, manifest, "materialised", start=0, count=12)
    tail = training_elements(small_build, manifest, "materialised", start=9, count=3)
    for left, right in zip(whole[9:], tail, strict=True):
        assert_equal(left, right)


@pytest.mark.parametrize(("pipelines", "replicas"), [(1, 2), (1, 4), (2, 2), (2, 4), (4, 4)])
def test_hosts_and_replicas_share_the_same_global_batches(
    small_build, manifest, pipelines, replicas
):
    (expected,) = training_elements(small_build, manifest, "online", start=3, count=1)
    parts = [
        training_elements(
            small_build,
            manifest,
            "online",
            start=3,
            count=replicas // pipelines,
            pipeline=pipeline,
            pipelines=pipelines,
            replicas=replicas,
        )
        for pipeline in range(pipelines)
    ]
    assert_equal(stacked([element for part in parts for element in part]), expected)


@pytest.mark.parametrize("replicas", [1, 2])
def test_evaluation_shows_every_held_out_sequence_once(small_build, manifest, replicas):
    reader = SplitReader(small_build, manifest, "eval", "materialised")
    dataset, num_steps = evaluation_batches(reader, InputConfig(), global_batch_size=BATCH)
    elements = list(dataset(context(replicas=replicas)).as_numpy_iterator())
    assert len(elements) == num_steps * replicas
    found = stacked(elements)
    n = reader.num_sequences
    assert n % BATCH  # or the test would not see the padding rows
    assert (found["masked_lm_weights"][n:] == 0).all()
    expected = reader.read(tf.range(n, dtype=tf.int64), tf.zeros(n, tf.int64))
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name][:n], values)


def test_static_shapes(small_build, manifest):
    reader = SplitReader(small_build, manifest, "train", "online")
    dataset = training_batches(
        reader, InputConfig(masks="online"), seed=5, global_batch_size=BATCH, start_step=0
    )(context(replicas=2))
    shapes = {name: spec.shape.as_list() for name, spec in dataset.element_spec.items()}
    assert shapes["input_word_ids"] == [4, 64]
    assert shapes["masked_lm_positions"] == [4, 10]


def test_a_build_without_copies_is_read_online_only(golden, vocab, tmp_path):
    config = BuildConfig(copies=0, eval_fraction=0.0, max_seq_length=64, max_predictions=10)
    inputs = find_inputs("books", f"{golden}/books/*.txt")
    directory = str(tmp_path / "d")
    manifest = build(config=config, vocab=vocab, inputs=inputs, output_dir=directory)
    with pytest.raises(UserError, match=r"has no masked copies .*set InputConfig\.masks='online'"):
        SplitReader(directory, manifest, "train", "materialised")
    with pytest.raises(UserError, match="has no eval sequences"):
        SplitReader(directory, manifest, "eval", "online")
    # Every epoch has masks of its own.
    reader = SplitReader(directory, manifest, "train", "online")
    first, later = (
        reader.read(tf.constant([3], tf.int64), tf.constant([epoch], tf.int64))
        for epoch in (0, 150)
    )
    assert not np.array_equal(first["masked_lm_positions"], later["masked_lm_positions"])


def test_a_foreign_vocabulary_is_an_error(small_build, manifest, vocab, tmp_path):
    copy = shutil.copytree(small_build, tmp_path / "copy")
    (copy / schema.VOCAB_FILE).write_text(vocab.text + "extra\n")
    with pytest.raises(UserError, match="is not the vocabulary of this build"):
        SplitReader(copy, manifest, "train", "online")


def test_an_id_outside_the_vocabulary_is_an_error(small_build, manifest, tmp_path):
    copy = shutil.copytree(small_build, tmp_path / "copy")
    file = manifest.split("train")[0].masked[0]
    tokens = np.full((file.records, 64), 1500, np.uint16)  # the vocabulary has 1,500 pieces
    features = {
        feature.name: np.zeros((file.records, 64 if feature.length == "S" else 10))
        for feature in schema.FEATURES
    }
    codec = ExampleCodec(max_seq_length=64, max_predictions=10, vocab_size=1500)
    write_records(copy / file.path, [codec.encode({**features, "input_word_ids": tokens})])
    reader = SplitReader(copy, manifest, "train", "materialised")
    with pytest.raises(tf.errors.InvalidArgumentError, match="input_word_ids outside"):
        reader.read(tf.constant([0], tf.int64), tf.constant([0], tf.int64))


def test_a_damaged_packed_shard_is_an_error(small_build, manifest, tmp_path):
    copy = shutil.copytree(small_build, tmp_path / "copy")
    path = copy / manifest.split("train")[0].packed.path
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"shard-00000\.npy is damaged: its sha256 is"):
        SplitReader(copy, manifest, "train", "online")


def test_no_file_stays_open(small_build, manifest):
    before = len(os.listdir("/proc/self/fd"))
    for masks in ("materialised", "online"):
        reader = SplitReader(small_build, manifest, "train", masks)
        index = tf.range(reader.num_sequences, dtype=tf.int64)
        reader.read(index, index % 3)
    assert len(os.listdir("/proc/self/fd")) <= before
