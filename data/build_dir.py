"""Manage the directory of a build: begin, resume, clean up."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from absl import logging

from data import files, schema
from data.errors import UserError
from data.manifest import Manifest
from data.stages.journal import PLAN_FILE, WORK_DIRECTORY
from data.vocab import Vocab

_PARTS = ("packed", "sources", "masked", "rejects")


@contextlib.contextmanager
def lock(directory: str) -> Iterator[None]:
    """Lock a local build directory against a second build; create it if it is missing.

    The lock ends with the process. Remote directories, and file systems without locks, have none.

    Raises:
      UserError: another process builds in the directory.
    """
    if files.is_remote(directory):
        yield
        return
    os.makedirs(directory, exist_ok=True)
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"--output_dir {directory} is in use by another build; wait for it or stop it"
            ) from None
        except OSError as error:
            if error.errno not in (errno.EBADF, errno.ENOLCK, errno.ENOTSUP, errno.EINVAL):
                raise
        yield
    finally:
        os.close(descriptor)


def check(directory: str, requested: Manifest, vocab: Vocab) -> None:
    """Check a directory before any input is read.

    Args:
      directory: build directory.
      requested: manifest of the build before it has begun; the hashes of its inputs may be missing.
      vocab: vocabulary of the build.

    Raises:
      UserError: the directory holds a finished build with other settings, or other files.
    """
    if files.exists(files.join(directory, schema.MANIFEST_FILE)):
        manifest = Manifest.load(directory)
        manifest.check_same_build(directory, requested, settings_only=True)
        return
    is_new = not files.exists(files.join(directory, PLAN_FILE))
    if is_new and (unknown := _unknown_entries(directory, vocab)):
        raise UserError(
            f"{directory} is not empty ({', '.join(unknown[:3])}) and holds no build; choose"
            " another --output_dir"
        )


def begin_or_resume(directory: str, requested: Manifest, vocab: Vocab) -> None:
    """Write the plan of a build into its directory, which `check` has accepted.

    It may replace that of an interrupted build with other settings or inputs: the keys of its finished
    tasks tell which of them give the same result.

    Args:
      directory: build directory.
      requested: manifest of the build before it has begun.
      vocab: vocabulary of the build.

    Raises:
      UserError: the directory is remote and holds an interrupted build with other settings.
    """
    plan_path = files.join(directory, PLAN_FILE)
    if files.exists(plan_path):
        plan = Manifest.parse(files.read_bytes(plan_path), plan_path)
        differences = plan.differences(requested)
        if not differences:
            logging.info(f"data: resuming the unfinished build in {directory}")
            return
        if files.is_remote(directory):  # where left-over files of the other build would stay
            plan.check_same_build(f"{directory} (not finished)", requested)
        logging.info(
            f"data: resuming the unfinished build in {directory} with changes ({'; '.join(differences)});"
            " what has the same result is not done again"
        )
    files.write_atomically(plan_path, requested.to_json().encode())
    files.write_atomically(files.join(directory, schema.VOCAB_FILE), vocab.text.encode())


def remove_leftovers(directory: str, manifest: Manifest) -> None:
    """Remove the work files of a finished build, and what killed writers and earlier settings left."""
    if files.exists(files.join(directory, WORK_DIRECTORY)) and not files.is_remote(directory):
        _remove_other_shards(Path(directory), {file.path for file in manifest.files})
    files.remove_tree(files.join(directory, WORK_DIRECTORY))
    if files.is_remote(directory):
        return
    for part in _PARTS:
        for path in Path(directory, part).rglob(".tmp-*"):
            if files.TEMPORARY.fullmatch(path.name):
                path.unlink()
    for path in Path(directory).glob(".tmp-*"):
        if files.TEMPORARY.fullmatch(path.name):
            path.unlink()


def _remove_other_shards(directory: Path, names: set[str]) -> None:
    """Remove shards that the manifest does not name, and folders that are empty then."""
    for part in ("packed", "sources", "masked"):
        for path in sorted(
            directory.joinpath(part).rglob("*"), reverse=True
        ):  # files before folders
            if path.is_dir():
                if not any(path.iterdir()):
                    path.rmdir()
            elif path.relative_to(directory).as_posix() not in names:
                path.unlink()


def _unknown_entries(directory: str, vocab: Vocab) -> list[str]:
    """Return the names in the directory that do not come from a build with this vocabulary."""
    if files.is_remote(directory):
        return [part for part in _PARTS if files.exists(files.join(directory, part))]
    try:
        names = sorted(os.listdir(directory))
    except FileNotFoundError:
        return []
    vocab_path = Path(directory, schema.VOCAB_FILE)
    if schema.VOCAB_FILE in names and vocab_path.read_bytes() == vocab.text.encode():
        names.remove(schema.VOCAB_FILE)
    # A build may have been killed after creating its work directory and before writing a file.
    work = Path(directory, WORK_DIRECTORY)
    if WORK_DIRECTORY in names and all(
        files.TEMPORARY.fullmatch(path.name) for path in work.iterdir()
    ):
        names.remove(WORK_DIRECTORY)
    return [name for name in names if not files.TEMPORARY.fullmatch(name)]
