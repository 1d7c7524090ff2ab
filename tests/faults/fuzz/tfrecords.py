"""Fuzz masked records, read with numpy and with TensorFlow: one record in each of many files of a build."""

from __future__ import annotations

import dataclasses
import itertools
import json
import random
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np

from data.build_files import DataFile, Shard
from data.errors import UserError
from data.manifest import Manifest
from data.read.graph_reader import graph_batches
from data.read.split_reader import SplitReader
from data.storage.records import write_records

_FILES = 200
_INTERESTING = (0, 1, 0x7F, 0x80, 0xFF)
_LENGTHS = (0, 1, 12, 2**31 - 1, 2**31, 2**32, 2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 1)


def fuzz_numpy(folder: Path, artefacts: Path, numbers: Iterator[int]) -> Iterator[str]:
    """Read damaged records one by one."""
    inputs = _Inputs(folder / "data", artefacts / "data")
    for number in numbers:
        file = number % _FILES
        content = inputs.damage(file, random.Random(f"records/{number}"))
        inputs.write(file, content)
        try:
            features = inputs.reader.read(np.array([file]), np.array([0]))
        except UserError as error:
            yield inputs.refused([file], error)
        else:
            yield inputs.read(file, content, features)
        inputs.write(file, inputs.records[file])


def fuzz_graph(folder: Path, artefacts: Path, numbers: Iterator[int]) -> Iterator[str]:
    """Read damaged records in batches of one, and compare with what numpy reads."""
    import tensorflow as tf

    inputs = _Inputs(folder / "data", artefacts / "data")
    positions = tf.data.Dataset.range(_FILES).batch(1, drop_remainder=True)
    dataset = graph_batches(positions, inputs.graph_reader, order_seed=None)
    while together := list(itertools.islice(numbers, _FILES)):
        damaged = {
            number % _FILES: inputs.damage(number % _FILES, random.Random(f"records/{number}"))
            for number in together
        }
        for file, content in damaged.items():
            inputs.write(file, content)
        # TensorFlow reports the error of one element, and goes on with the next.
        elements = iter(dataset)
        for file in range(_FILES):
            outcome = inputs.read_next(elements, file, list(damaged))
            if file in damaged:
                yield outcome
        for file in damaged:
            inputs.write(file, inputs.records[file])


class _Inputs:
    """A build whose files have one record each, and their records before any damage."""

    def __init__(self, folder: Path, source: Path):
        manifest = Manifest.load(source)
        split = SplitReader(str(source), manifest, "train", "materialised")
        rows = np.arange(_FILES) % split.num_sequences
        self._expected = split.read(rows, np.zeros_like(rows))
        self._folder = folder
        self.records = _framed(split, self._expected)
        _write_build(folder, source, manifest, self.records)
        manifest = Manifest.load(folder)
        # Two, because a reader remembers the error of its last read with numpy.
        self.reader, self.graph_reader = (
            SplitReader(str(folder), manifest, "train", "materialised") for _ in range(2)
        )
        self.paths = [Path(file.path) for file in self.reader.files[:_FILES]]

    def write(self, file: int, content: bytes) -> None:
        """Write the content of a file."""
        self.paths[file].write_bytes(content)

    def damage(self, file: int, rng: random.Random) -> bytes:
        """Return the record of a file with a damage."""
        record = bytearray(self.records[file])
        match rng.randrange(10):
            case 0 | 1 | 2:  # flipped bits
                for _ in range(rng.choice((1, 1, 2, 8, 64))):
                    record[rng.randrange(len(record))] ^= 1 << rng.randrange(8)
            case 3:  # another length, or a wrong one with the checksum that fits
                length = rng.choice((*_LENGTHS, len(record) - 16 + rng.randint(-9, 9)))
                header = np.uint64(length).tobytes()
                record[:12] = header + _checksum(header)
            case 4:  # another size of the file
                if rng.random() < 0.5:
                    del record[rng.randrange(len(record)) :]
                else:
                    record += rng.randbytes(rng.choice((1, 16, 1000)))
            case 5:  # a part overwritten
                start = rng.randrange(len(record))
                length = rng.choice((1, 8, 100, len(record)))
                value = rng.choice(_INTERESTING)
                record[start : start + length] = bytes([value]) * len(
                    record[start : start + length]
                )
            case _:  # another example, with the checksum that fits
                record = self._reframe(_change_example(record[12:-4], rng), rng)
        return bytes(record)

    def _reframe(self, example: bytearray, rng: random.Random) -> bytearray:
        size = len(self.records[0]) - 16
        if rng.random() < 0.9:  # of the right length
            example = (example + bytes(size))[:size]
        header = np.uint64(len(example)).tobytes()
        return bytearray(header + _checksum(header) + example + _checksum(bytes(example)))

    def refused(self, files: Sequence[int], error: UserError) -> str:
        """Check the message of a refusal: it names one of the damaged files."""
        message = str(error)
        names = {self.paths[file].name for file in files}
        assert names & set(re.findall(r"[\w-]+\.tfrecord", message)), message
        assert "\n" not in message and len(message) < 1000, message
        return "refused"

    def read_next(
        self, elements: Iterator[dict[str, Any]], file: int, damaged: Sequence[int]
    ) -> str:
        """Read the next element, that of a file; it is refused if numpy refuses it, or is equal."""
        import tensorflow as tf

        content = self.paths[file].read_bytes()
        try:
            expected = self.reader.read(np.array([file]), np.array([0]))
        except UserError:
            expected = None
        try:
            with self.graph_reader.reraise_reader_errors():
                features = {name: v.numpy() for name, v in next(elements).items()}
        except UserError as error:
            assert expected is None, error
            return self.refused(damaged, error)  # of several short files, the first is named
        except tf.errors.OpError as error:
            raise AssertionError(f"an error without an explanation: {error.message}") from error
        assert expected is not None, f"TensorFlow reads {self.paths[file]}, numpy does not"
        for name, values in expected.items():
            np.testing.assert_array_equal(features[name], values)
        return self.read(file, content, features)

    def read(self, file: int, content: bytes, features: dict[str, np.ndarray]) -> str:
        """Check features that were read: the record is whole, or its values are in range."""
        if content[: len(self.records[file])] == self.records[file]:
            for name, values in features.items():
                np.testing.assert_array_equal(values[0], self._expected[name][file])
            return "read"
        for name, bound in self.reader.bounds.items():
            assert features[name].min() >= 0 and features[name].max() < bound, name
        return "read, with other values in range"


def _framed(split: SplitReader, features: dict[str, np.ndarray]) -> list[bytes]:
    import io

    encoded = split.codec.encode(features)
    content = io.BytesIO()
    write_records(content, [encoded])
    size = split.codec.record_bytes
    return [content.getvalue()[n * size : (n + 1) * size] for n in range(len(encoded))]


def _write_build(folder: Path, source: Path, manifest: Manifest, records: Sequence[bytes]) -> None:
    """Write a build with a training shard for each record; its packed files are not read."""
    (folder / "masked").mkdir(parents=True)
    for name in ("vocab.txt", manifest.rejects.path):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(source / name, folder / name)
    config = dataclasses.replace(manifest.config, copies=1, num_shards=len(records))
    first, shards = manifest.split("train")[0], []
    packed_bytes = 128 + 2 * config.max_seq_length
    for number, record in enumerate(records):
        files = {}
        for kind, size in (("packed", packed_bytes), ("sources", 129)):
            path = f"{kind}-{number:05d}.npy"
            (folder / path).write_bytes(bytes(size))
            files[kind] = DataFile(path=path, records=1, bytes=size, sha256="0" * 64)
        path = f"masked/shard-{number:05d}.tfrecord"
        (folder / path).write_bytes(record)
        masked = DataFile(path=path, records=1, bytes=len(record), sha256="0" * 64)
        lengths = [0] * len(first.sequence_lengths)
        lengths[-1] = 1
        shards.append(
            Shard(
                split="train",
                shard=number,
                documents=1,
                sentences=1,
                tokens=1,
                separators=2,
                unknown_tokens=0,
                sentence_lengths=first.sentence_lengths,
                sequence_lengths=tuple(lengths),
                source_names=first.source_names,
                packed=files["packed"],
                sources=files["sources"],
                masked=(masked,),
            )
        )
    content = dataclasses.replace(manifest, config=config, shards=tuple(shards))
    (folder / "manifest.json").write_text(json.dumps(json.loads(content.to_json())))


def _change_example(example: bytearray, rng: random.Random) -> bytearray:
    """Return a serialized example with changes: of bytes, of values, or of everything."""
    kind = rng.randrange(6)
    if kind == 0:
        return bytearray(rng.randbytes(len(example)))
    if kind == 1:
        at = rng.randrange(len(example))
        return example[:at] + example[at + rng.choice((1, 2, 40)) :]
    if kind == 2:
        at = rng.randrange(len(example))
        return example[:at] + rng.randbytes(rng.choice((1, 2, 40))) + example[at:]
    for _ in range(rng.choice((1, 1, 2, 16, 200))):
        at = rng.randrange(len(example))
        example[at] = rng.choice((*_INTERESTING, rng.randrange(256)))
    return example


def _checksum(content: bytes) -> bytes:
    crc = google_crc32c.value(bytes(content))
    return (((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32).to_bytes(4, "little")
