"""Copy a build from a bucket to a local disk, and verify the copy."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed

from absl import logging
from tqdm import tqdm

from data import files, schema
from data.build_files import DataFile
from data.errors import UserError
from data.manifest import Manifest
from data.storage.records import ExampleCodec, find_wrong_header

_BLOCK_BYTES = 2**22
_THREADS = 16
_SECONDS_PER_LINE = 60.0


def stage(source: str, scratch_dir: str, *, setting: str) -> str:
    """Copy a build into a directory that is named by its manifest.

    A copy that was interrupted resumes: only files that are missing or whose sha256 differs are copied. The
    manifest is written last, so a directory with a manifest is a complete build. Of several processes, the
    first copies, and the others wait for it.

    Args:
      source: directory of the build.
      scratch_dir: directory on a local disk.
      setting: name of the flag or setting of scratch_dir, for errors.

    Returns:
      Directory of the copy, in `scratch_dir`.

    Raises:
      UserError: there is no build, a file is damaged, or the disk is too small.
      StorageError: the build cannot be reached.
    """
    path = files.join(source, schema.MANIFEST_FILE)
    try:
        text = files.read_bytes(path)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: {source} is not a finished build") from None
    manifest = Manifest.parse(text, path)
    directory = files.join(scratch_dir, f"data-{manifest.sha256[:12]}")
    os.makedirs(directory, exist_ok=True)
    with _locked(directory):
        missing = _missing(manifest, directory)
        num_bytes = sum(file.bytes for file in missing)
        _require_space(directory, num_bytes, setting)
        if missing:
            logging.info(f"data: copying {num_bytes:,} bytes of {source} to {directory}")
        _copy_all(missing, source, directory, manifest)
        vocab = files.read_bytes(files.join(source, schema.VOCAB_FILE))
        files.write_atomically(files.join(directory, schema.VOCAB_FILE), vocab)
        manifest.load_vocab(directory)
        files.write_atomically(files.join(directory, schema.MANIFEST_FILE), text)
    num_bytes = sum(file.bytes for file in manifest.files)
    logging.info(
        f"data: {source} is in {directory}: {len(manifest.files)} files with {num_bytes:,} bytes,"
        f" {len(missing)} of them copied now"
    )
    return directory


@contextlib.contextmanager
def _locked(directory: str) -> Iterator[None]:
    """Wait until no other process copies into a directory, and keep them waiting."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _copy_all(missing: list[DataFile], source: str, directory: str, manifest: Manifest) -> None:
    codec = ExampleCodec.of_build(manifest)
    codecs = {file.path: codec for shard in manifest.shards for file in shard.masked}
    bar = tqdm(total=sum(file.bytes for file in missing), unit="B", unit_scale=True, disable=None)
    # A line now and then where there is no terminal.
    done, next_line = 0, time.monotonic() + _SECONDS_PER_LINE
    with bar, ThreadPoolExecutor(_THREADS) as pool:
        copies = {
            pool.submit(_copy, file, source, directory, codecs): file.bytes for file in missing
        }
        try:
            for copy in as_completed(copies):
                copy.result()
                bar.update(copies[copy])
                done += copies[copy]
                if bar.disable and time.monotonic() > next_line:
                    next_line = time.monotonic() + _SECONDS_PER_LINE
                    logging.info(f"data: {done / bar.total:.0%} of {bar.total:,} bytes copied")
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _missing(manifest: Manifest, directory: str) -> list[DataFile]:
    """Return the files of a build that a directory lacks or has with other content."""

    def is_missing(file: DataFile) -> bool:
        path = files.join(directory, file.path)
        return files.size(path) != file.bytes or files.sha256_of(path) != file.sha256

    with ThreadPoolExecutor(_THREADS) as pool:
        are_missing = pool.map(is_missing, manifest.files)
        return [file for file, missing in zip(manifest.files, are_missing, strict=True) if missing]


def _require_space(directory: str, num_bytes: int, setting: str) -> None:
    free = shutil.disk_usage(directory).free
    if num_bytes > free:
        raise UserError(
            f"{setting}: {directory} has {free:,} bytes free, the data need {num_bytes:,}"
            " more; use a larger disk, or InputConfig.masks='online' and a build with"
            " BuildConfig.copies=0"
        )


def _copy(file: DataFile, source: str, directory: str, codecs: dict[str, ExampleCodec]) -> None:
    """Copy a file and check its sha256; `codecs` has the codec of each file of masked records."""
    origin, target = files.join(source, file.path), files.join(directory, file.path)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    unfinished, digest = f"{target}.unfinished", hashlib.sha256()
    with files.open_read(origin) as reader, open(unfinished, "wb") as writer:
        while block := reader.read(_BLOCK_BYTES):
            digest.update(block)
            writer.write(block)
    if digest.hexdigest() != file.sha256:
        os.unlink(unfinished)
        raise UserError(
            f"{origin} is damaged: its sha256 is {digest.hexdigest()[:8]}, the manifest says"
            f" {file.sha256[:8]}; copy the build there again"
        )
    if codec := codecs.get(file.path):
        row = find_wrong_header(unfinished, records=file.records, codec=codec)
        if row is not None:
            os.unlink(unfinished)
            raise UserError(
                f"{origin}: record {row} is damaged (wrong length); copy the build there again or"
                " rebuild it"
            )
    os.replace(unfinished, target)
