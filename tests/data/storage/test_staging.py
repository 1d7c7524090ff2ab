"""The copy of a build on a machine's disk."""

import json
import shutil
from pathlib import Path

import pytest

from data import files
from data.errors import UserError
from data.manifest import Manifest
from data.storage import staging
from tests.support.damage import forge_length
from tests.support.jobs import upload


def stage(source: str, scratch_dir: str) -> str:
    return staging.stage(source, scratch_dir, setting="--scratch_dir")


@pytest.fixture(scope="module")
def bucket(small_build) -> str:
    upload(small_build, "ram://stage/data")
    return "ram://stage/data"


def test_copy_equals_the_build(bucket, small_build, tmp_path, sums_of, capsys):
    directory = stage(bucket, str(tmp_path))
    assert Path(directory).name == f"data-{Manifest.load(small_build).sha256[:12]}"
    assert sums_of(Path(directory)) == sums_of(small_build)
    num_files = len(Manifest.load(small_build).files)
    assert f" {num_files} of them copied now" in capsys.readouterr().err


def test_second_copy_replaces_missing_and_damaged_files_only(
    bucket, small_build, tmp_path, sums_of, capsys
):
    directory = Path(stage(bucket, str(tmp_path)))
    first, second, *_ = sorted(directory.rglob("*.tfrecord"))
    content = bytearray(first.read_bytes())
    content[100] ^= 1  # keeps the size
    first.write_bytes(content)
    second.unlink()
    stage(bucket, str(tmp_path))
    assert " 2 of them copied now" in capsys.readouterr().err
    assert sums_of(directory) == sums_of(small_build)


def test_file_damaged_in_the_source_is_an_error(small_build, tmp_path):
    upload(small_build, "ram://stage/damaged")
    (name, *_) = [file.path for file in Manifest.load(small_build).files if "packed" in file.path]
    content = bytearray(files.read_bytes(f"ram://stage/damaged/{name}"))
    content[-1] ^= 1
    files.write_atomically(f"ram://stage/damaged/{name}", bytes(content))
    with pytest.raises(UserError, match=rf"ram://stage/damaged/{name} is damaged: its sha256 is"):
        stage("ram://stage/damaged", str(tmp_path))
    (directory,) = tmp_path.iterdir()
    assert not (directory / "manifest.json").exists()  # an incomplete copy is not a build
    assert not (directory / name).exists()


def test_missing_build_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"ram://stage/none/manifest\.json is missing"):
        stage("ram://stage/none", str(tmp_path))


def test_small_disk_is_an_error(bucket, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(UserError, match=r"--scratch_dir: .* has 1,000 bytes free, the data need"):
        stage(bucket, str(tmp_path))


@pytest.mark.parametrize("path", ["../../../home/.bashrc", "/home/.bashrc", "packed/../../x"])
def test_manifest_with_a_path_outside_the_build_copies_nothing(small_build, tmp_path, path):
    content = json.loads((small_build / "manifest.json").read_text())
    content["rejects"]["path"] = path
    source, scratch = tmp_path / "source", tmp_path / "a/b/c/scratch"
    shutil.copytree(small_build, source)
    (source / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"manifest\.json is damaged: rejects\.path is"):
        stage(str(source), str(scratch))
    assert not (tmp_path / "a").exists()


def test_record_that_claims_another_length_is_not_copied(small_build, tmp_path):
    """Even if manifest and checksums fit: TensorFlow's reader would trust the length."""
    source = shutil.copytree(small_build, tmp_path / "source")
    content = json.loads((source / "manifest.json").read_text())
    file = content["shards"][-1]["masked"][0]
    forge_length(source / file["path"], record=5, records=file["records"])
    file["sha256"] = files.sha256_of(source / file["path"])
    (source / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=rf"{file['path']}: record 5 is damaged"):
        stage(str(source), str(tmp_path / "scratch"))
    assert not list((tmp_path / "scratch").rglob("manifest.json"))
