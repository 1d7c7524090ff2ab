"""Reading rows by number, and the headers of .npy files."""

import resource

import numpy as np
import pytest

from data.errors import UserError
from data.files import atomic_write
from data.storage.rows import RowFile, open_npy, read_rows, save_npy


def test_rows_of_several_files_keep_the_requested_order(tmp_path):
    (tmp_path / "a").write_bytes(b"--aabbcc")
    (tmp_path / "b").write_bytes(b"ddee")
    files = [RowFile(tmp_path / "a", 2), RowFile(tmp_path / "b")]
    found = read_rows(files, np.array([1, 0, 1, 0]), np.array([1, 2, 0, 0]), row_bytes=2)
    assert [row.tobytes() for row in found] == [b"ee", b"cc", b"dd", b"aa"]


def test_rows_of_an_array(tmp_path):
    array = np.arange(12, dtype=np.uint16).reshape(3, 4)
    np.save(tmp_path / "x.npy", array)
    file = open_npy(tmp_path / "x.npy", shape=(3, 4), dtype=np.dtype(np.uint16))
    found = read_rows([file], np.zeros(2, int), np.array([2, 0]), row_bytes=8)
    assert found.view(np.uint16).tolist() == [[8, 9, 10, 11], [0, 1, 2, 3]]


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12, dtype=np.uint16).reshape(3, 4),
        np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        np.zeros((0, 5), np.uint64),
        np.arange(12, dtype=np.int64)[::3],
    ],
    ids=["rows", "columns", "empty", "strided"],
)
def test_saved_array_has_the_bytes_of_numpy(tmp_path, array):
    with (tmp_path / "ours.npy").open("wb") as file:
        save_npy(file, array)
    np.save(tmp_path / "numpy.npy", np.ascontiguousarray(array))
    assert (tmp_path / "ours.npy").read_bytes() == (tmp_path / "numpy.npy").read_bytes()


def test_full_disk_names_the_array(tmp_path):
    path = tmp_path / "x.npy"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught, atomic_write(path) as file:
            save_npy(file, np.zeros(1000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.filename == str(path)
    assert list(tmp_path.iterdir()) == []


def header(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


GOOD = "{'descr': '<u2', 'fortran_order': False, 'shape': (3, 4)}"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a numpy array"),
        (b"\x93NUM", "is not a numpy array"),
        (b"PK\x03\x04 a zip file", "is not a numpy array"),
        (header("{") + bytes(24), "is not a numpy array"),
        (header("[" * 5000) + bytes(24), "is not a numpy array"),
        (
            header("{'descr': 'no type', 'fortran_order': False, 'shape': (3, 4)}"),
            "is not a numpy array",
        ),
        (header(GOOD)[:-9], "is not a numpy array"),
        (header(GOOD).replace(b"\x01\x00", b"\x03\x00", 1), "is not a numpy array"),
        (header(GOOD.replace("<u2", "|O")) + bytes(24), r"holds object \[3, 4\], not uint16"),
        (header(GOOD.replace("<u2", ">u2")) + bytes(24), "holds >u2"),
        (header(GOOD.replace("False", "True")) + bytes(24), "holds uint16"),
        (header(GOOD.replace("(3, 4)", "(2**9, 4)")) + bytes(24), "is not a numpy array"),
        (header(GOOD.replace("(3, 4)", "(4, 3)")) + bytes(24), r"holds uint16 \[4, 3\], not"),
        (header(GOOD) + bytes(23), "holds 23 bytes"),
        (header(GOOD) + bytes(25), "holds 25 bytes"),
    ],
)
def test_file_with_another_content_is_an_error(tmp_path, content, message):
    path = tmp_path / "x.npy"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"x\.npy {message}"):
        open_npy(path, shape=(3, 4), dtype=np.dtype(np.uint16))


def test_nothing_is_unpickled(tmp_path):
    np.save(tmp_path / "x.npy", np.array([[{}, {}]], object), allow_pickle=True)
    with pytest.raises(UserError, match=r"holds object \[1, 2\], not uint16 \[1, 2\]"):
        open_npy(tmp_path / "x.npy", shape=(1, 2), dtype=np.dtype(np.uint16))


def test_missing_file_is_an_error(tmp_path):
    with pytest.raises(UserError, match="none cannot be read: No such file"):
        open_npy(tmp_path / "none", shape=(3, 4), dtype=np.dtype(np.uint16))
