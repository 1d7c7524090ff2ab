"""Directories that appear complete or not at all, and what a killed process leaves behind."""

import os
import shutil
import signal
import subprocess
import sys

import pytest

from data import files
from data.errors import StorageError
from pretrain.export.atomic_directory import atomic_directory, is_unfinished, scratch_folder

# Begins an export, and ends by a signal or when its input ends.
PROGRAM = """
import os, signal, sys
from pathlib import Path
from pretrain.export.atomic_directory import atomic_directory
with atomic_directory(Path(sys.argv[1]), "{}") as directory:
    (directory / "weights").write_bytes(b"12")
    print("filling", flush=True)
    if sys.argv[2] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    sys.stdin.read()
"""


def names(directory) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_next_export_removes_what_a_killed_one_left_behind(tmp_path):
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "one"), "killed"]
    assert subprocess.run(command, capture_output=True).returncode == -signal.SIGKILL
    (left,) = names(tmp_path)
    assert left.startswith(".tmp-export-")
    (tmp_path / ".tmp-other").mkdir()
    with atomic_directory(tmp_path / "two", "{}") as directory:
        (directory / "weights").write_bytes(b"12")
    assert names(tmp_path) == [".tmp-other", "two"]
    assert names(tmp_path / "two") == ["SHA256SUMS", "export.json", "weights"]


def test_next_export_keeps_what_another_process_is_writing(tmp_path):
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "one"), "waits"]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert other.stdout.readline() == b"filling\n"
        with atomic_directory(tmp_path / "two", "{}"):
            pass
        assert (tmp_path / "two").exists()
    finally:
        other.communicate()
    assert other.returncode == 0
    assert (tmp_path / "one/weights").read_bytes() == b"12"
    assert names(tmp_path) == ["one", "two"]


def test_folder_that_cannot_be_locked_is_not_removed(tmp_path, monkeypatch):
    (tmp_path / ".tmp-export-x").mkdir()

    def no_locks(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", no_locks)
    with scratch_folder(tmp_path, ".tmp-export-") as scratch:
        assert scratch.is_dir()
    assert names(tmp_path) == [".tmp-export-x"]


def test_links_in_place_of_folders_are_left_alone(tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / ".tmp-export-x").symlink_to(tmp_path / "precious")
    with scratch_folder(tmp_path, ".tmp-export-"):
        pass
    assert names(tmp_path) == [".tmp-export-x", "precious"]


def test_full_disk_names_the_export(tmp_path):
    with pytest.raises(OSError) as caught, atomic_directory(tmp_path / "e", "{}"):
        raise OSError(28, os.strerror(28))
    assert caught.value.filename == str(tmp_path / "e")
    assert names(tmp_path) == []


def test_directory_in_a_bucket_is_no_model_until_it_is_complete(tmp_path, monkeypatch):
    target = f"ram://{tmp_path.name}/e"

    def write():
        with atomic_directory(target, "{}") as directory:
            (directory / "encoder").mkdir()
            for name in ("saved_model.pb", "variables"):
                (directory / "encoder" / name).write_text(name)

    def no_storage(*_):
        raise StorageError(5, "503", target)

    with monkeypatch.context() as context:
        context.setattr(shutil, "copyfileobj", no_storage)
        with pytest.raises(StorageError):
            write()
    assert is_unfinished(target)
    assert not files.exists(f"{target}/encoder/saved_model.pb")
    files.write_atomically(f"{target}/encoder/left", b"of the first one")
    write()
    assert not is_unfinished(target)
    assert files.list_dir(target) == ["SHA256SUMS", "encoder", "export.json"]
    assert files.list_dir(f"{target}/encoder") == ["saved_model.pb", "variables"]
