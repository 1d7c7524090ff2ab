"""Batches of a build: order, storage, replicas, damage."""

import dataclasses
import os
import re
import shutil

import numpy as np
import pytest
import tensorflow as tf

from data import schema
from data.build import build
from data.config import BuildConfig, InputConfig
from data.errors import UserError
from data.manifest import DataFile, Manifest
from data.read.input_pipeline import choose_reader, evaluation_batches, training_batches
from data.read.order import sequence_at
from data.read.split_reader import SplitReader
from data.sources.documents import find_inputs
from data.stages.masking import MaskingRule, mask_sequences
from data.storage.records import ExampleCodec, write_records
from tests.support.damage import forge_length

BATCH = 12


@pytest.fixture(scope="module")
def manifest(small_build):
    return Manifest.load(small_build)


def context(pipeline=0, pipelines=1, replicas=1):
    return tf.distribute.InputContext(
        num_input_pipelines=pipelines, input_pipeline_id=pipeline, num_replicas_in_sync=replicas
    )


def training_elements(directory, manifest, masks, *, start, count, kind="python", **where):
    reader = SplitReader(directory, manifest, "train", masks)
    config = InputConfig(masks=masks, reader=kind)
    dataset = training_batches(reader, config, seed=5, global_batch_size=BATCH, start_step=start)
    return list(dataset(context(**where)).take(count).as_numpy_iterator())


def assert_equal(left, right):
    assert left.keys() == right.keys()
    for name in left:
        np.testing.assert_array_equal(left[name], right[name])


def stacked(elements):
    return {name: np.concatenate([e[name] for e in elements]) for name in elements[0]}


def test_both_forms_of_storage_give_the_same_batches(small_build, manifest):
    # Enough steps to read all copies and the first one again.
    steps = 5 * manifest.num_sequences("train") // BATCH
    stored = training_elements(small_build, manifest, "materialised", start=0, count=steps)
    online = training_elements(small_build, manifest, "online", start=0, count=steps)
    for left, right in zip(stored, online, strict=True):
        assert_equal(left, right)


def test_batch_is_given_by_the_order_and_the_mask_function(
    small_build, small_config, manifest, vocab
):
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


@pytest.mark.parametrize("kind", ["python", "graph"])
@pytest.mark.parametrize("masks", ["materialised", "online"])
def test_any_step_can_be_read_directly(small_build, manifest, masks, kind):
    """The first step, the one in which an epoch ends, and one long after the last copy."""
    size = manifest.num_sequences("train")
    assert size % BATCH  # otherwise no batch would span two epochs
    steps = [0, size // BATCH, 10**12]
    whole = training_elements(small_build, manifest, "online", start=0, count=steps[1] + 1)
    for step in steps:
        (found,) = training_elements(small_build, manifest, masks, start=step, count=1, kind=kind)
        if step < len(whole):
            assert_equal(found, whole[step])
        else:
            (other,) = training_elements(small_build, manifest, "online", start=step, count=1)
            assert_equal(found, other)


@pytest.mark.parametrize("masks", ["materialised", "online"])
def test_both_readers_give_the_same_batches(small_build, manifest, masks):
    steps = 4 * manifest.num_sequences("train") // BATCH
    python, graph = (
        training_elements(small_build, manifest, masks, start=0, count=steps, kind=kind)
        for kind in ("python", "graph")
    )
    for left, right in zip(python, graph, strict=True):
        assert_equal(left, right)


@pytest.mark.parametrize("masks", ["materialised", "online"])
def test_graph_reader_calls_no_python_function(small_build, manifest, masks, monkeypatch):
    monkeypatch.setattr(tf, "numpy_function", None)
    with pytest.raises(TypeError):
        training_elements(small_build, manifest, masks, start=0, count=1, kind="python")
    training_elements(small_build, manifest, masks, start=0, count=1, kind="graph")


def test_other_hosts_read_with_operations_only():
    host = "/job:worker/replica:0/task:0/device:CPU:0"
    for reader in ("auto", "graph"):
        assert choose_reader(InputConfig(reader=reader), [host]).reader == "graph"
    for reader in ("auto", "python", "graph"):
        assert choose_reader(InputConfig(reader=reader), []).reader == reader
    with pytest.raises(UserError, match=r"InputConfig\.reader='python' reads in this process only"):
        choose_reader(InputConfig(reader="python"), [host])


@pytest.mark.parametrize(("pipelines", "replicas"), [(1, 2), (1, 4), (2, 2), (2, 4), (4, 4)])
def test_global_batches_do_not_depend_on_hosts_and_replicas(
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
            kind="graph" if pipelines > 1 else "python",
        )
        for pipeline in range(pipelines)
    ]
    assert_equal(stacked([element for part in parts for element in part]), expected)


@pytest.mark.parametrize("kind", ["python", "graph"])
@pytest.mark.parametrize("masks", ["materialised", "online"])
@pytest.mark.parametrize("replicas", [1, 2])
def test_evaluation_reads_every_held_out_sequence_once(
    small_build, manifest, replicas, masks, kind
):
    reader = SplitReader(small_build, manifest, "eval", masks)
    config = InputConfig(masks=masks, reader=kind)
    dataset, num_steps = evaluation_batches(reader, config, global_batch_size=BATCH)
    elements = list(dataset(context(replicas=replicas)).as_numpy_iterator())
    assert len(elements) == num_steps * replicas
    found = stacked(elements)
    n = reader.num_sequences
    assert n % BATCH  # otherwise there would be no padding rows
    assert len(found["masked_lm_weights"]) == num_steps * BATCH  # whole batches only
    assert (found["masked_lm_weights"][n:] == 0).all()
    expected = reader.read(np.arange(n), np.zeros(n, int))
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name][:n], values)


@pytest.mark.parametrize("kind", ["python", "graph"])
@pytest.mark.parametrize("masks", ["materialised", "online"])
def test_batches_have_static_shapes(small_build, manifest, masks, kind):
    reader = SplitReader(small_build, manifest, "train", masks)
    config = InputConfig(masks=masks, reader=kind)
    dataset = training_batches(reader, config, seed=5, global_batch_size=8, start_step=0)(
        context(replicas=2)
    )
    assert {
        name: (spec.shape.as_list(), spec.dtype) for name, spec in dataset.element_spec.items()
    } == {
        "input_word_ids": ([4, 64], tf.int32),
        "input_mask": ([4, 64], tf.int32),
        "input_type_ids": ([4, 64], tf.int32),
        "masked_lm_positions": ([4, 10], tf.int32),
        "masked_lm_ids": ([4, 10], tf.int32),
        "masked_lm_weights": ([4, 10], tf.float32),
    }


def test_build_without_copies_can_only_be_read_online(golden, vocab, tmp_path):
    config = BuildConfig(copies=0, eval_fraction=0.0, max_seq_length=64, max_predictions=10)
    inputs = find_inputs("books", f"{golden}/books/*.txt")
    directory = str(tmp_path / "d")
    manifest = build(config=config, vocab=vocab, inputs=inputs, output_dir=directory)
    with pytest.raises(UserError, match=r"has no masked copies .*set InputConfig\.masks='online'"):
        SplitReader(directory, manifest, "train", "materialised")
    with pytest.raises(UserError, match="has no eval sequences"):
        SplitReader(directory, manifest, "eval", "online")
    # Each epoch has different masks.
    reader = SplitReader(directory, manifest, "train", "online")
    first, later = (reader.read(np.array([3]), np.array([epoch])) for epoch in (0, 150))
    assert not np.array_equal(first["masked_lm_positions"], later["masked_lm_positions"])


def test_vocabulary_of_another_build_is_an_error(small_build, manifest, vocab, tmp_path):
    copy = shutil.copytree(small_build, tmp_path / "copy")
    (copy / schema.VOCAB_FILE).write_text(vocab.text + "extra\n")
    with pytest.raises(UserError, match="is not the vocabulary of this build"):
        SplitReader(copy, manifest, "train", "online")


def copy_with_values(source, target, manifest, name, value):
    """Copy a build; in its first file of masked records, which keeps its checksums, set a feature."""
    shutil.copytree(source, target)
    file = manifest.split("train")[0].masked[0]
    features = {
        feature.name: np.zeros((file.records, 64 if feature.length == "S" else 10), feature.dtype)
        for feature in schema.FEATURES
    }
    features[name][:] = value
    codec = ExampleCodec(max_seq_length=64, max_predictions=10, vocab_size=1500)
    with open(target / file.path, "wb") as stream:
        write_records(stream, [codec.encode(features)])
    return target


@pytest.mark.parametrize(
    ("name", "value", "bound"),
    [
        ("input_word_ids", 1500, 1500),
        ("masked_lm_ids", 1500, 1500),
        ("masked_lm_positions", 64, 64),
        ("input_type_ids", 1, 1),
    ],
)
def test_value_out_of_range_is_an_error(small_build, manifest, tmp_path, name, value, bound):
    """Records with valid checksums, but ids the vocabulary (1,500 pieces) does not have."""
    copy = copy_with_values(small_build, tmp_path / "copy", manifest, name, value)
    message = rf"has a value outside \[0, {bound}\) in {name}: {value}; copy"
    assert_record_is_refused(copy, manifest, message, f"{name} out of range")


@pytest.mark.parametrize("value", ["nan", "inf", "1e+38", "0.5", "-1.0", "-0.0", "1e-42"])
def test_weight_other_than_0_and_1_is_an_error(small_build, manifest, tmp_path, value):
    copy = copy_with_values(
        small_build, tmp_path / "copy", manifest, "masked_lm_weights", float(value)
    )
    # TensorFlow's threads take denormal numbers for 0, in messages too.
    shown = f"({value}|0.0)" if value == "1e-42" else re.escape(value)
    message = f"has a value other than 0 and 1 in masked_lm_weights: {shown}; copy"
    assert_record_is_refused(copy, manifest, message, "masked_lm_weights other than 0 and 1")


def assert_record_is_refused(directory, manifest, message, message_of_graph):
    """Expect a message from reading record 2, and from training with either reader."""
    reader = SplitReader(directory, manifest, "train", "materialised")
    with pytest.raises(UserError, match=rf"shard-00000\.tfrecord: record 2 {message}"):
        reader.read(np.array([2]), np.array([0]))
    for kind, found in (("python", message), ("graph", message_of_graph)):
        with pytest.raises(tf.errors.OpError, match=found):
            training_elements(directory, manifest, "materialised", start=0, count=2, kind=kind)


def read_damaged(directory, manifest, masks, damage, kind):
    """Read training batches, after damage to the open build, as a run does."""
    reader = SplitReader(directory, manifest, "train", masks)
    config = InputConfig(masks=masks, reader=kind)
    batches = training_batches(reader, config, seed=5, global_batch_size=BATCH, start_step=0)
    dataset = batches(context())
    for shard in manifest.split("train"):
        file = shard.packed if masks == "online" else shard.masked[0]
        damage(directory / file.path, file.records)
    with reader.reraise_reader_errors():
        list(dataset.take(20).as_numpy_iterator())


def flip_bits(path, records):
    content = bytearray(path.read_bytes())
    size = len(content) // records
    for row in range(records):
        content[row * size + 20] ^= 1
    path.write_bytes(content)


def truncate(path, records):
    os.truncate(path, path.stat().st_size // 2)


def replace_examples(path, records):
    """Write records of the right length and checksum whose content is not an example."""
    codec = ExampleCodec(max_seq_length=64, max_predictions=10, vocab_size=1500)
    with open(path, "wb") as stream:
        write_records(stream, [np.full((records, codec.example_bytes), 7, np.uint8)])


def forge_lengths(path, records):
    """Let every record claim a length for which TensorFlow would end the process."""
    for record in range(records):
        forge_length(path, record=record, records=records)


def fill_rows(value):
    def fill(path, records):
        content = bytearray(path.read_bytes())
        content[128:] = np.full((len(content) - 128) // 2, value, np.uint16).tobytes()
        path.write_bytes(content)

    return fill


@pytest.mark.parametrize("kind", ["python", "graph"])
@pytest.mark.parametrize(
    ("masks", "damage", "message"),
    [
        ("materialised", flip_bits, r"record \d+ is damaged \(wrong checksum\)"),
        ("materialised", truncate, r"ends before row \d+"),
        ("materialised", forge_lengths, r"record \d+ is damaged \(wrong checksum\)"),
        ("materialised", replace_examples, r"record \d+ is not an example of this build"),
        ("materialised", lambda path, _: path.unlink(), "cannot be read: No such file"),
        (
            "online",
            fill_rows(0),
            r"record \d+ is not a packed sequence \(its first ids are 0, 0, 0, 0",
        ),
        ("online", fill_rows(700), r"record \d+ is not a packed sequence"),
        ("online", fill_rows(1500), r"record \d+ has a value outside \[0, 1500\)"),
        ("online", truncate, r"ends before row \d+"),
        ("online", lambda path, _: path.unlink(), "cannot be read: No such file"),
    ],
)
def test_damage_during_a_run_names_file_and_record(
    small_build, manifest, tmp_path, masks, damage, message, kind
):
    copy = shutil.copytree(small_build, tmp_path / "copy")
    with pytest.raises(UserError, match=rf"shard-0000\d\.(npy|tfrecord):? {message}"):
        read_damaged(copy, manifest, masks, damage, kind)


@pytest.mark.parametrize("kind", ["python", "graph"])
def test_forged_length_names_the_record(small_build, manifest, tmp_path, kind):
    """TensorFlow alone would end the process."""

    def forge(path, records):
        if path == copy / file.path:
            forge_length(path, record=4, records=records)

    copy = shutil.copytree(small_build, tmp_path / "copy")
    file = manifest.split("train")[1].masked[0]
    with pytest.raises(UserError, match=rf"{file.path}: record 4 is damaged \(wrong checksum\)"):
        read_damaged(copy, manifest, "materialised", forge, kind)


def test_packed_shard_of_another_shape_is_an_error(small_build, manifest, tmp_path):
    """Even if the manifest matches the content of the file."""
    copy = shutil.copytree(small_build, tmp_path / "copy")
    first, *others = manifest.shards
    np.save(copy / first.packed.path, np.zeros((first.packed.records, 32), np.uint32))
    described = DataFile.describe(copy, first.packed.path)
    described = dataclasses.replace(described, records=first.packed.records)
    shards = (dataclasses.replace(first, packed=described), *others)
    with pytest.raises(UserError, match=r"\.npy holds uint32 \[\d+, 32\], not uint16 \[\d+, 64\]"):
        SplitReader(copy, dataclasses.replace(manifest, shards=shards), first.split, "online")


def test_damaged_packed_shard_is_an_error(small_build, manifest, tmp_path):
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
        index = np.arange(reader.num_sequences)
        reader.read(index, index % 3)
    assert len(os.listdir("/proc/self/fd")) <= before
