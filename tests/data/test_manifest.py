"""Manifest of a build, and the comparison of files with it."""

import json
import re
import shutil

import numpy as np
import pytest

from data import schema
from data.build import main, verify
from data.errors import UserError
from data.files import sha256_of
from data.manifest import Manifest
from data.storage.sequence_sources import read_sequence_sources
from tests.support.damage import forge_length


@pytest.fixture
def copy(small_build, tmp_path):
    return shutil.copytree(small_build, tmp_path / "copy")


def test_manifest_round_trips(small_build):
    manifest = Manifest.load(small_build)
    text = (small_build / schema.MANIFEST_FILE).read_text()
    assert manifest.to_json() == text
    assert manifest.sha256 == sha256_of(small_build / schema.MANIFEST_FILE)


def test_missing_manifest_is_an_error(tmp_path):
    with pytest.raises(UserError, match="is not a finished build"):
        Manifest.load(tmp_path)
    with pytest.raises(UserError, match="none does not exist"):
        Manifest.load(tmp_path / "none")


def test_other_version_is_an_error(copy):
    path = copy / schema.MANIFEST_FILE
    path.write_text(path.read_text().replace('"version": 3', '"version": 2'))
    with pytest.raises(UserError, match="is lambert-build version 2; this program reads"):
        Manifest.load(copy)


@pytest.mark.parametrize("content", ["{", "[]", '{"format": "lambert-build", "version": 3}'])
def test_damaged_manifest_is_an_error(copy, content):
    (copy / schema.MANIFEST_FILE).write_text(content)
    with pytest.raises(UserError, match=r"manifest\.json"):
        Manifest.load(copy)


def edited(directory, *path, value):
    """Set a value in the manifest of a build: a new one, or a function of the old one."""
    manifest = directory / schema.MANIFEST_FILE
    content = json.loads(manifest.read_text())
    parent = content
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = value(parent.get(path[-1])) if callable(value) else value
    manifest.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        (["rejects", "path"], "../../../home/.bashrc", "rejects.path is"),
        (["rejects", "path"], "/home/.bashrc", "rejects.path is"),
        (["rejects"], None, "rejects is null, must be an object"),
        (["rejects", "path"], "vocab.txt", "vocab.txt is described more than once"),
        (["shards", 0, "packed", "path"], "packed/../../x", "shards[0].packed.path is"),
        (["shards", 1, "masked", 2, "path"], "gs://bucket/x", "shards[1].masked[2].path is"),
        (["shards", 0, "sources", "path"], "packed/eval/shard-00000.npy", "more than once"),
        (["shards", 0, "packed", "records"], "27", 'shards[0].packed.records is "27", must be'),
        (["shards", 0, "packed", "records"], -27, "records is -27, must be a whole number"),
        (["shards", 0, "packed", "records"], 10**18, "records, "),
        (["shards", 0, "packed", "records"], lambda n: n - 1, "records, "),
        (["shards", 0, "masked", 0, "records"], 0, "records is 0, must be"),
        (["shards", 0, "masked", 0, "bytes"], lambda n: n - 1, "bytes / records differs"),
        (["shards", 0, "masked"], [], "it has 0 masked copies, the settings say 1"),
        (["shards", 0, "tokens"], -1, "shards[0].tokens is -1, must be"),
        (["shards", 0, "tokens"], 10**12, "tokens=1000000000000 and separators="),
        (["shards", 0, "split"], "test", 'split is "test", must be one of eval, train'),
        (["shards", 0, "sequence_lengths"], [1], "sequence_lengths counts 1 of"),
        (["shards", 1, "shard"], 7, "the shards are repeated or not in order"),
        (["shards"], {}, "shards is an empty object, must be a list"),
        (["accounts"], [], "accounts is an empty list, must be an object"),
        (["accounts", "wiki"], 5, "accounts.wiki is 5, must be an object"),
        (["accounts", "wiki", "bytes_input"], "9", 'accounts.wiki.bytes_input is "9", must be'),
        (["rejected"], -1, "rejected is -1, must be"),
        (["vocab_pieces"], 0, "vocab_pieces is 0, must be"),
        (["inputs"], ["a"], 'inputs[0] is "a", must be an object'),
        (["made_by"], None, "made_by is null, must be an object"),
        (["config", "max_seq_length"], 10**30, "config.max_seq_length is 1"),
        (["config", "copies"], "3", 'config.copies is "3", must be'),
        (["config", "seed"], -1, "BuildConfig.seed=-1"),
        (["config", "other"], 1, "config.other is not a field"),
        (["other"], 1, "other is not a field"),
    ],
    ids=lambda value: "one less" if callable(value) else str(value),
)
def test_manifest_with_a_wrong_value_is_an_error(copy, path, value, problem):
    edited(copy, *path, value=value)
    for read in (Manifest.load, verify):
        with pytest.raises(UserError, match=rf"manifest\.json is damaged: .*{re.escape(problem)}"):
            read(str(copy))


def test_manifest_that_lists_fewer_records_everywhere_is_an_error(copy):
    def fewer(shard):
        for file in (shard["packed"], shard["sources"], *shard["masked"]):
            file["records"] -= 1
        return shard

    edited(copy, "shards", value=lambda shards: [fewer(shard) for shard in shards])
    with pytest.raises(UserError, match=r"shards\[0\]: \S+\.npy has \d+ bytes; \d+ records have"):
        verify(str(copy))


def test_deeply_nested_manifest_is_an_error(copy):
    (copy / schema.MANIFEST_FILE).write_text('{"shards": ' + "[" * 100_000)
    with pytest.raises(UserError, match=r"manifest\.json is damaged: it is nested more than"):
        Manifest.load(copy)


def test_missing_or_truncated_shard_is_an_error(copy):
    path = copy / schema.masked_path("train", 1, 2)
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match=f"has {size - 1} bytes, the manifest says {size}"):
        Manifest.load(copy)
    path.unlink()
    with pytest.raises(UserError, match="is missing, the manifest says"):
        Manifest.load(copy)


def test_verify_compares_every_byte(copy, capsys):
    main(["--verify", str(copy)])
    assert "is intact: 14 files" in capsys.readouterr().out
    path = copy / schema.masked_path("train", 1, 2)
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    Manifest.load(copy)  # sizes agree
    with pytest.raises(UserError, match=r"shard-00001\.tfrecord is damaged: its sha256 is"):
        verify(str(copy))


def test_verify_compares_the_vocabulary(copy):
    path = copy / schema.VOCAB_FILE
    path.write_text(path.read_text() + "extra\n")
    with pytest.raises(UserError, match=r"vocab\.txt is not the vocabulary of this build"):
        verify(str(copy))


def forged(directory, kind, damage):
    """Damage a file of the last shard, and let the manifest have its new size and sha256."""
    file = Manifest.load(directory).shards[-1].files[["packed", "sources", "masked"].index(kind)]
    damage(directory / file.path, file.records)
    new = {
        "bytes": (directory / file.path).stat().st_size,
        "sha256": sha256_of(directory / file.path),
    }

    def update(entry):
        (entry[0] if kind == "masked" else entry).update(new)
        return entry

    edited(directory, "shards", -1, kind, value=update)


def save_objects(path, records):
    np.save(path, np.array([{}] * records), allow_pickle=True)


@pytest.mark.parametrize(
    ("kind", "damage", "problem"),
    [
        ("masked", lambda path, n: forge_length(path, record=3, records=n), "record 3 is damaged"),
        ("sources", save_objects, "bytes; .* have"),
        ("sources", lambda path, n: np.save(path, np.zeros((n, 1), np.uint8)), r"holds uint8 \["),
        ("sources", lambda path, n: path.write_bytes(b"x" * (n + 128)), "is not a numpy array"),
        ("packed", lambda path, n: np.save(path, np.zeros((n, 32), np.uint32)), "holds uint32"),
    ],
)
def test_file_that_is_malformed_although_its_sha256_fits_is_an_error(copy, kind, damage, problem):
    forged(copy, kind, damage)
    with pytest.raises(UserError, match=problem):
        verify(str(copy))
    if kind == "sources":
        with pytest.raises(UserError, match=problem):
            read_sequence_sources(copy, Manifest.load(copy), "train")
