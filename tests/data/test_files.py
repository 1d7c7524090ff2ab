"""Files with local paths and with a scheme (ram:// stands in for gs://)."""

import hashlib
import os

import pytest

from data import files
from data.cli.main import run_main
from data.errors import StorageError, UserError


@pytest.fixture(params=["local", "ram"])
def directory(request, tmp_path) -> str:
    return str(tmp_path) if request.param == "local" else f"ram://{tmp_path.name}"


def test_folder_that_is_missing_matches_nothing(tmp_path):
    assert files.find(f"{tmp_path}/missing/**") == ([], 0)


def test_lines_of_a_pipe_are_an_error(tmp_path):
    """Reading it would wait for a writer without end."""
    os.mkfifo(tmp_path / "lines.txt")
    with pytest.raises(UserError, match=r"lines\.txt is a pipe"):
        files.read_lines(str(tmp_path / "lines.txt"))


def test_writes_are_atomic(directory):
    path = files.join(directory, "a/b", "file")
    assert not files.exists(path)
    assert files.size(path) is None
    with pytest.raises(FileNotFoundError, match="a/b/file"):
        files.size_of(path)
    files.write_atomically(path, b"old")
    with pytest.raises(RuntimeError), files.atomic_write(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert files.read_bytes(path) == b"old"
    with files.atomic_path(path) as temporary:
        files.write_atomically(temporary, b"newer")
    assert files.read_bytes(path) == b"newer"
    assert files.size(path) == files.size_of(path) == 5
    assert files.sha256_of(path) == hashlib.sha256(b"newer").hexdigest()


def test_failed_local_write_leaves_no_file(tmp_path):
    target = tmp_path / "file"
    with pytest.raises(RuntimeError), files.atomic_path(target) as temporary:
        files.write_atomically(temporary, b"half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_what_may_never_end_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "endless").symlink_to("/dev/zero")
    for name in ("pipe", "endless"):
        for read in (files.read_bytes, files.sha256_of):
            with pytest.raises(UserError, match=f"/{name} is a pipe or a device, not a regular"):
                read(tmp_path / name)


def test_find_and_remove(directory):
    for name in ("d/x1", "d/x2", "d/y", "d/x3/z"):
        files.write_atomically(files.join(directory, name), b"")
    found, folders = files.find(files.join(directory, "d/x*"))
    assert found == [files.join(directory, "d/x1"), files.join(directory, "d/x2")]
    assert folders == 1
    files.remove_tree(files.join(directory, "d"))
    files.remove_tree(files.join(directory, "d"))
    assert not files.exists(files.join(directory, "d/y"))


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("**", ["a.txt", "d/b.txt", "d/b2.md", "d/e/c.txt"]),
        ("**/*.txt", ["a.txt", "d/b.txt", "d/e/c.txt"]),
        ("d/**/*.txt", ["d/b.txt", "d/e/c.txt"]),
        ("d/**/c.txt", ["d/e/c.txt"]),
        ("*/**/[bc]*.txt", ["d/b.txt", "d/e/c.txt"]),
        ("**/.hidden/*", ["d/.hidden/x.txt"]),
        ("**/e/**", ["d/e/c.txt"]),
        ("**/none", []),
    ],
)
def test_globs_descend_into_folders(directory, pattern, expected):
    for name in ("a.txt", "d/b.txt", "d/b2.md", "d/e/c.txt", "d/.hidden/x.txt"):
        files.write_atomically(files.join(directory, name), b"")
    found, _ = files.find(files.join(directory, pattern))
    assert found == [files.join(directory, name) for name in expected]


def test_files_can_be_read_and_seeked(directory):
    path = files.join(directory, "file")
    files.write_atomically(path, b"one\ntwo\nthree")
    with files.open_read(path) as file:
        assert file.readline() == b"one\n"
        assert file.readline(2) == b"tw"
        assert file.seek(-5, os.SEEK_END) == 8
        assert (file.read(), file.read()) == (b"three", b"")
        assert file.seek(100) == 100
        assert file.read(1) == b""
        file.seek(1)
        assert list(file) == [b"ne\n", b"two\n", b"three"]
    assert file.closed


def test_missing_file_is_file_not_found(directory):
    with pytest.raises(FileNotFoundError):
        files.read_bytes(files.join(directory, "none"))


def test_remote_path_is_an_error_where_a_local_one_is_needed():
    files.require_local("--output_dir", "d")
    with pytest.raises(UserError, match="--output_dir gs://b/d: must be a local path"):
        files.require_local("--output_dir", "gs://b/d")


class TestUnreachableStorage:
    """An unknown scheme fails as an unreachable bucket does; gs:// would retry for minutes."""

    PATH = "nosuchscheme://bucket/file"

    @pytest.mark.parametrize(
        "use",
        [
            files.exists,
            files.size,
            files.read_bytes,
            files.list_dir,
            files.remove,
            files.remove_tree,
            files.find,
            lambda path: files.find(f"{path}/**"),
            lambda path: files.write_atomically(path, b""),
        ],
    )
    def test_error_names_the_path(self, use):
        with pytest.raises(StorageError) as caught:
            use(self.PATH)
        assert caught.value.filename.startswith("nosuchscheme://bucket")
        assert "nosuchscheme" in caught.value.strerror
        assert "\n" not in str(caught.value)

    def test_command_prints_one_line_and_exits_with_1(self, capsys):
        with pytest.raises(SystemExit) as caught:
            run_main(lambda argv: files.read_bytes(*argv), [self.PATH])
        assert caught.value.code == 1  # launch.supervise starts such a run again
        assert capsys.readouterr().err.startswith(f"error: {self.PATH}: ")


@pytest.mark.parametrize("scheme", ["", "ram:/"])
def test_folder_is_renamed_with_its_files(tmp_path, scheme):
    source, target = f"{scheme}{tmp_path}/a", f"{scheme}{tmp_path}/b"
    files.write_atomically(f"{source}/x", b"1")
    files.write_atomically(f"{source}/y", b"2")
    files.rename_folder(source, target)
    assert files.list_dir(target) == ["x", "y"]
    assert not files.exists(source)
