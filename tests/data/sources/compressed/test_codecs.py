"""Decompression in bounded memory. Damaged files are in ../test_streams.py."""

import lzma
import tracemalloc

import pytest
import zstandard

from data import files
from data.sources.compressed.codecs import CODECS, SUFFIXES, find_codec, plain_name
from data.sources.streams import DamagedError, open_chunks


def test_the_suffix_of_a_file_gives_its_compression():
    assert SUFFIXES == ".gz, .bz2, .xz or .zst"
    assert [find_codec(f"a.txt{codec.suffix}") for codec in CODECS] == list(CODECS)
    assert find_codec("a.txt") is None
    assert (plain_name("a.json.zst"), plain_name("a.json")) == ("a.json", "a.json")
    assert (plain_name("a.tgz"), find_codec("a.tzst")) == ("a.tar", find_codec("a.zst"))


@pytest.mark.parametrize("suffix", [".xz", ".zst"])
def test_a_file_that_unpacks_to_a_thousand_times_its_size_takes_little_memory(tmp_path, suffix):
    size = 256 * 2**20
    compress = {".xz": lzma.compress, ".zst": zstandard.compress}[suffix]
    path = tmp_path / f"bomb{suffix}"
    path.write_bytes(compress(bytes(size)))
    tracemalloc.start()
    with open_chunks(str(path)) as chunks:
        lengths = [len(chunk) for chunk in chunks]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sum(lengths) == size
    assert max(lengths) <= files.CHUNK_BYTES
    assert peak < 80 * 2**20


WIDE_ZSTD = zstandard.ZstdCompressionParameters.from_level(3, window_log=28, enable_ldm=True)


def _wide_zstd(content: bytes) -> bytes:
    compressor = zstandard.ZstdCompressor(compression_params=WIDE_ZSTD).compressobj()
    return compressor.compress(content) + compressor.flush()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("f.zst", _wide_zstd(b"Text.")),
        # From the header alone; liblzma would take the memory to compress as well.
        ("f.xz", lzma.compress(b"Text.", filters=[{"id": lzma.FILTER_LZMA2, "preset": 9}])),
    ],
)
def test_the_window_of_a_decompressor_is_bounded(tmp_path, monkeypatch, name, content):
    if name == "f.xz":
        monkeypatch.setattr("data.sources.compressed.codecs._MAX_WINDOW_BYTES", 2**24)
    path = tmp_path / name
    path.write_bytes(content)
    message = rf"{name}: needs a window of more than \d+ MiB .*zstd -dc --long=31"
    with pytest.raises(DamagedError, match=message), open_chunks(str(path)) as chunks:
        list(chunks)
