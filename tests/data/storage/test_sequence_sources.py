"""Sources of packed sequences: "wiki", "books", ... or "mixed"."""

import shutil

import numpy as np
import pytest

from data import schema
from data.build import BuildJob, build
from data.config import BuildConfig
from data.errors import UserError
from data.manifest import Manifest
from data.sources.documents import InputFile, find_inputs
from data.storage.sequence_sources import read_sequence_sources, source_bits


def test_bits_of_a_sequence_are_the_sources_of_its_tokens():
    source_T = np.array([0, 0, 0, 2, 2, 0, 1])
    assert source_bits(source_T, np.array([2, 2, 1, 2])).tolist() == [0b001, 0b101, 0b100, 0b011]


def test_sources_of_a_build(vocab, tmp_path):
    """Each source has a word of its own, which identifies it in the packed sequences."""
    words = {"books": "love", "lines": "war", "text": "king"}
    inputs = []
    for source, word in words.items():
        path = tmp_path / f"{source}.txt"
        path.write_text("".join(f"{word} {f'{word} ' * n}.\n\n" for n in range(40)))
        inputs += find_inputs(source, str(path))
    config = BuildConfig(
        copies=0, eval_fraction=0.0, num_shards=1, max_seq_length=64, max_predictions=10
    )
    manifest = build(config=config, vocab=vocab, inputs=inputs, output_dir=str(tmp_path / "d"))
    (shard,) = manifest.shards
    assert shard.source_names == ("books", "lines", "text")
    expected = []
    for row in np.load(tmp_path / "d" / shard.packed.path):
        found = [source for source, word in words.items() if vocab.ids[word] in row]
        expected.append(found[0] if len(found) == 1 else "mixed")
    assert set(expected) == {"books", "lines", "text", "mixed"}
    assert read_sequence_sources(tmp_path / "d", manifest, "train").tolist() == expected


def test_more_sources_than_bits_are_an_error_before_the_build_starts(vocab, tmp_path):
    def job(num_sources):
        inputs = [
            InputFile(kind=f"source{i}", path=f"{tmp_path}/{i}", name=f"{i}", num_bytes=1)
            for i in range(num_sources)
        ]
        # A kind that is not packed does not count.
        inputs.append(InputFile(kind="decontaminate", path=f"{tmp_path}/d", name="d", num_bytes=1))
        return BuildJob(
            config=BuildConfig(), vocab=vocab, inputs=inputs, output_dir=str(tmp_path / "out")
        )

    job(8)
    with pytest.raises(UserError, match=r"has 9 sources \(source0, .*source8\); .* at most 8"):
        job(9)
    assert list(tmp_path.iterdir()) == []


def test_damaged_file_is_an_error(small_build, tmp_path):
    copy = shutil.copytree(small_build, tmp_path / "copy")
    path = copy / schema.sources_path("eval", 0)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"sources/eval/shard-00000\.npy is damaged: its sha256 is"):
        read_sequence_sources(copy, Manifest.load(copy), "eval")
