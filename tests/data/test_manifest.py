"""Manifest of a build, and the comparison of files with it."""

import shutil

import pytest

from data import schema
from data.build import main, verify
from data.errors import UserError
from data.files import sha256_of
from data.manifest import Manifest


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
