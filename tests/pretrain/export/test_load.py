"""Local copies of what is in a bucket."""

import pytest

from data import files
from data.errors import UserError
from pretrain.export.atomic_directory import UNFINISHED_FILE, atomic_directory
from pretrain.export.load import local_copy


@pytest.fixture
def remote(tmp_path):
    """A directory with checksums in a bucket."""
    target = f"ram://{tmp_path.name}/e"
    with atomic_directory(target, "{}") as directory:
        (directory / "encoder").mkdir()
        (directory / "encoder/weights").write_bytes(b"12")
    return target


def test_local_paths_are_not_copied(tmp_path):
    with local_copy("--export", str(tmp_path)) as path:
        assert path == str(tmp_path)


def test_copy_of_a_directory_and_of_a_file(remote, tmp_path, sums_of):
    with local_copy("--export", f"{remote}/") as path:
        assert path.endswith("/e")
        assert files.read_bytes(f"{path}/encoder/weights") == b"12"
    with local_copy("--input", f"{remote}/export.json") as path:
        assert path.endswith("/export.json")
        assert files.read_bytes(path) == b"{}"


def test_what_is_not_whole_is_an_error(remote):
    def fails(path, message):
        with pytest.raises(UserError, match=message), local_copy("--export", path):
            pass

    fails(f"{remote}x", r"^--export ram://.*/ex: there is nothing of this name")
    files.write_atomically(f"{remote}/encoder/weights", b"13")
    fails(remote, "encoder/weights is missing or has changed since the export")
    files.remove(f"{remote}/encoder/weights")
    fails(remote, "encoder/weights is missing or has changed since the export")
    files.write_atomically(f"{remote}/{UNFINISHED_FILE}", b"")
    fails(remote, r"^--export ram://.*/e is not complete: its writing was interrupted; run that")
