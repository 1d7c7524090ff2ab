"""Damaged compressed files raise DamagedError; I/O errors are raised unchanged."""

import bz2
import errno
import gzip
import lzma

import pytest
import zstandard

from data import files
from data.sources.compressed.bzip2 import find_stream
from data.sources.documents import InputFile, Reject
from data.sources.formats import read_part, split_file
from data.sources.streams import ByteCounter, DamagedError, open_chunks, open_stream

TEXT = b"First stream.\n" * 400
TWO_BZ2 = bz2.compress(TEXT) + bz2.compress(TEXT[::-1])
TWO_GZ = gzip.compress(TEXT) + gzip.compress(TEXT[::-1])
SECOND_BZ2, SECOND_GZ = len(bz2.compress(TEXT)), len(gzip.compress(TEXT))

TWO_XZ = lzma.compress(TEXT) + lzma.compress(TEXT[::-1])
ZSTD = zstandard.ZstdCompressor(write_checksum=True)
TWO_ZSTD = ZSTD.compress(TEXT) + ZSTD.compress(TEXT[::-1])
SECOND_XZ, SECOND_ZSTD = len(lzma.compress(TEXT)), len(ZSTD.compress(TEXT))
# The magic number of a skippable frame, its size, and 4 bytes for other programs.
SKIPPABLE = b"\x52\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"junk"


def flip_bit(content: bytes, offset: int) -> bytes:
    return content[:offset] + bytes([content[offset] ^ 1]) + content[offset + 1 :]


DAMAGED = {
    "header.bz2": flip_bit(TWO_BZ2, SECOND_BZ2),
    "level.bz2": TWO_BZ2[: SECOND_BZ2 + 3] + b"x" + TWO_BZ2[SECOND_BZ2 + 4 :],
    "magic.bz2": flip_bit(TWO_BZ2, SECOND_BZ2 + 4),
    "body.bz2": flip_bit(TWO_BZ2, SECOND_BZ2 + 40),
    "cut_body.bz2": TWO_BZ2[:-9],
    "cut_header.bz2": TWO_BZ2[: SECOND_BZ2 + 5],
    "zeros.bz2": TWO_BZ2 + bytes(30),
    "garbage.bz2": TWO_BZ2 + b"garbage",
    "not_bzip2.bz2": TEXT,
    "header.gz": flip_bit(TWO_GZ, SECOND_GZ),
    "body.gz": flip_bit(TWO_GZ, SECOND_GZ + 20),
    "checksum.gz": flip_bit(TWO_GZ, len(TWO_GZ) - 6),
    "cut_body.gz": TWO_GZ[:-9],
    "cut_header.gz": TWO_GZ[: SECOND_GZ + 1],
    "garbage.gz": TWO_GZ + b"garbage",
    "garbage_after_zeros.gz": TWO_GZ + bytes(8) + b"garbage",
    "not_gzip.gz": TEXT,
    "header.xz": flip_bit(TWO_XZ, SECOND_XZ),
    "body.xz": flip_bit(TWO_XZ, SECOND_XZ + 40),
    "checksum.xz": flip_bit(TWO_XZ, len(TWO_XZ) - 30),
    "cut_body.xz": TWO_XZ[:-9],
    "cut_header.xz": TWO_XZ[: SECOND_XZ + 5],
    "garbage.xz": TWO_XZ + b"garbage",
    "three_zeros.xz": TWO_XZ + bytes(3),
    "garbage_after_zeros.xz": TWO_XZ + bytes(4) + b"garbage",
    "not_xz.xz": TEXT,
    "header.zst": flip_bit(TWO_ZSTD, SECOND_ZSTD),
    "body.zst": flip_bit(TWO_ZSTD, SECOND_ZSTD + 15),
    "checksum.zst": flip_bit(TWO_ZSTD, len(TWO_ZSTD) - 1),
    "cut_body.zst": TWO_ZSTD[:-9],
    "cut_header.zst": TWO_ZSTD[: SECOND_ZSTD + 5],
    "zeros.zst": TWO_ZSTD + bytes(30),
    "garbage.zst": TWO_ZSTD + b"garbage",
    "not_zstd.zst": TEXT,
}


@pytest.fixture(params=["local", "ram"])
def directory(request, tmp_path) -> str:
    return str(tmp_path) if request.param == "local" else f"ram://{tmp_path.name}"


def store(directory, name: str, content: bytes) -> str:
    path = files.join(directory, name)
    files.write_atomically(path, content)
    return path


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_after_the_first_stream_is_an_error(directory, name):
    path = store(directory, name, DAMAGED[name])
    with (
        pytest.raises(DamagedError, match=rf"{name}: truncated or damaged \(.*download or copy"),
        open_stream(path) as stream,
    ):
        stream.read()


@pytest.mark.parametrize("name", DAMAGED)
@pytest.mark.parametrize("kind", ["books", "text"])
def test_a_damaged_book_is_rejected_and_its_bytes_are_counted(tmp_path, name, kind):
    path = store(tmp_path, name, DAMAGED[name])
    file = InputFile(kind=kind, path=path, name=name, num_bytes=len(DAMAGED[name]))
    counter = ByteCounter()
    (part,) = split_file(file)
    (item,) = read_part(part, max_document_bytes=10**6, counter=counter)
    assert isinstance(item, Reject)
    assert item.reason.startswith("cannot be read: ")
    assert item.num_bytes == counter.num_bytes


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("f", TEXT, TEXT),
        ("f.bz2", TWO_BZ2, TEXT + TEXT[::-1]),
        ("f.bz2", bz2.compress(b"") + TWO_BZ2 + bz2.compress(b""), TEXT + TEXT[::-1]),
        ("f.gz", TWO_GZ, TEXT + TEXT[::-1]),
        ("f.gz", TWO_GZ + bytes(512), TEXT + TEXT[::-1]),  # zero padding is valid
        ("f.gz", b"", b""),
        ("f.bz2", b"", b""),
        ("f.xz", TWO_XZ, TEXT + TEXT[::-1]),
        ("f.xz", lzma.compress(b"") + TWO_XZ + bytes(8), TEXT + TEXT[::-1]),
        ("f.xz", lzma.compress(TEXT) + bytes(2**17) + lzma.compress(TEXT), TEXT + TEXT),
        ("f.xz", b"", b""),
        ("f.zst", TWO_ZSTD, TEXT + TEXT[::-1]),
        ("f.zst", SKIPPABLE + TWO_ZSTD + SKIPPABLE, TEXT + TEXT[::-1]),
        ("f.zst", zstandard.compress(b"") + TWO_ZSTD, TEXT + TEXT[::-1]),
        ("f.zst", b"", b""),
    ],
)
def test_intact_files_are_read_and_counted(directory, name, content, expected):
    path = store(directory, name, content)
    counter = ByteCounter()
    with open_stream(path, counter=counter) as stream:
        assert stream.read() == expected
    assert counter.num_bytes == len(expected)
    with open_stream(path) as stream:
        assert list(stream) == expected.splitlines(keepends=True)


def test_a_range_of_a_plain_file_is_read_and_counted(directory):
    path = store(directory, "f", bytes(range(100)))
    counter = ByteCounter()
    with open_chunks(path, start=10, stop=13, counter=counter) as chunks:
        assert b"".join(chunks) == bytes([10, 11, 12])
    assert counter.num_bytes == 3


@pytest.mark.parametrize("name", ["f", "f.gz", "f.bz2", "f.xz", "f.zst"])
@pytest.mark.parametrize("kind", ["wiki", "books", "text", "lines", "jsonl"])
def test_an_io_error_is_not_reported_as_damage(tmp_path, monkeypatch, kind, name):
    content = {
        "f": TEXT,
        "f.gz": TWO_GZ,
        "f.bz2": TWO_BZ2,
        "f.xz": TWO_XZ,
        "f.zst": TWO_ZSTD,
    }[name]
    path = store(tmp_path, name, content)
    file = InputFile(kind=kind, path=path, name=name, num_bytes=len(content))

    class FailingFile:
        def __init__(self, file):
            self._file = file

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self._file.close()

        def __getattr__(self, name):
            return getattr(self._file, name)

        def read(self, size):
            raise OSError(errno.EIO, "Input/output error", path)

    open_read = files.open_read
    monkeypatch.setattr(files, "open_read", lambda path: FailingFile(open_read(path)))
    for part in split_file(file):
        with pytest.raises(OSError, match="Input/output error"):
            list(read_part(part, max_document_bytes=10**6))


@pytest.mark.parametrize("before", range(40))
def test_a_stream_is_found_across_the_end_of_a_chunk_or_range(tmp_path, monkeypatch, before):
    monkeypatch.setattr(files, "CHUNK_BYTES", 16)
    path = store(tmp_path, "f", b"." * before + TWO_BZ2)
    with files.open_read(path) as file:
        for stop in (before, before + 1, before + 5, 32):
            assert find_stream(file, 0, stop) == (before if before < stop else None)
