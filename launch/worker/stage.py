"""Copy the build of a job to the disk of this machine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from data.errors import StorageError, UserError
from data.storage import staging


def stage(source: str, scratch_dir: str) -> str:
    """Copy a build and return the directory of the copy; see `data.storage.staging.stage`.

    Args:
      source: directory of the build.
      scratch_dir: directory on a local disk.

    Raises:
      UserError: there is no build, it cannot be read, a file is damaged, or the disk is too small.
    """
    with storage_errors_as_user_errors(source):
        return staging.stage(source, scratch_dir, setting="LaunchConfig.scratch_dir")


@contextlib.contextmanager
def storage_errors_as_user_errors(path: str) -> Iterator[None]:
    """Raise storage errors as UserErrors that name the likely cause."""
    try:
        yield
    except StorageError as error:
        raise UserError(
            f"{path} cannot be reached: {error.strerror}; does the service account of this machine"
            " have access?"
        ) from error
