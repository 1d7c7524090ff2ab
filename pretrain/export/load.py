"""Load an export of `pretrain.export`; needs TensorFlow only, not the model's code."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import re
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from data import files
from data.checked_json import is_inside, read_at_most
from data.errors import UserError, first_line
from pretrain.export.atomic_directory import SUMS_FILE, is_unfinished

_MAX_SUMS_BYTES, _BLOCK_BYTES = 2**20, 2**22
# What TensorFlow raises for damaged programs, besides its own errors.
_LOAD_ERRORS = (OSError, ValueError, LookupError, RuntimeError, TypeError, AttributeError)
_POSITIONS = "encoder/position_embedding/embeddings"


def add_export_flag(parser: argparse.ArgumentParser) -> None:
    """Add --export, and --model_dir as its older name; elsewhere --model_dir is a run."""
    parser.add_argument(
        *("--export", "--model_dir"),
        dest="export",
        required=True,
        metavar="E",
        help="export of pretrain.export; --model_dir is an older name of this flag",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoadedExport:
    """The two SavedModels of an export.

    Attributes:
      encoder: SavedModel from token ids to hidden states.
      preprocessor: SavedModel from text to token ids.
      max_tokens: longest input of the encoder, [CLS] and [SEP] included.
      hidden_size: width of the encoder's outputs.
    """

    encoder: Any
    preprocessor: Any
    max_tokens: int
    hidden_size: int

    @classmethod
    def load(cls, export_dir: str) -> LoadedExport:
        """Load an export; raise a UserError if `export_dir` is not one."""
        import tensorflow_text  # noqa: F401  registers the ops of the preprocessor

        refuse_run(export_dir)
        for part in ("encoder", "preprocessor"):
            if not Path(export_dir, part, "saved_model.pb").is_file():
                raise UserError(
                    f"{export_dir} is not an export: {part}/saved_model.pb is missing; make one with"
                    " `python -m pretrain.export`"
                )
        encoder, preprocessor = (
            load_saved_model(Path(export_dir, part)) for part in ("encoder", "preprocessor")
        )
        variables = getattr(encoder, "variables", ())
        positions = [v for v in variables if v.name.partition(":")[0] == _POSITIONS]
        if not positions:
            raise UserError(
                f"{export_dir}/encoder has no {_POSITIONS}: it was not exported by Lambert"
            )
        max_tokens, hidden_size = positions[0].shape
        return cls(
            encoder=encoder,
            preprocessor=preprocessor,
            max_tokens=max_tokens,
            hidden_size=hidden_size,
        )


def refuse_run(export_dir: str) -> None:
    """Raise a UserError if a directory is that of a run, which --model_dir has elsewhere."""
    if Path(export_dir, "checkpoints").is_dir():
        raise UserError(
            f"{export_dir} is the model directory of a run; export it first: `python -m"
            f" pretrain.export --model_dir {export_dir} --output_dir E`, then --export E"
        )


def verify_sums(directory: Path) -> None:
    """Check the files of a SavedModel against the checksums of its export, if there are any.

    Args:
      directory: the SavedModel; `SHA256SUMS` is next to it, or in it.

    Raises:
      UserError: a file is missing or differs from what was exported.
    """
    for root in (directory.parent, directory):
        path = root / SUMS_FILE
        if not path.is_file():
            continue
        for number, line in enumerate(read_at_most(path, _MAX_SUMS_BYTES).split(b"\n"), start=1):
            if not line:
                continue
            # As sha256sum writes it, with "*" for binary mode.
            match = re.fullmatch(
                r"([0-9a-f]{64}) [ *](?:\./)?(.+)", line.decode("utf-8", "replace")
            )
            if not match or not is_inside(match[2]):
                raise UserError(
                    f"{path} is damaged: line {number} is not a checksum and a relative path"
                )
            expected, file = match[1], root / match[2]
            if not file.is_relative_to(directory):
                continue
            if not file.is_file() or files.sha256_of(file) != expected:
                raise UserError(
                    f"{file} is missing or has changed since the export: {path} has another sha256; copy or"
                    f" make the export again (`sha256sum --check {SUMS_FILE}` in {root} lists all changes)"
                )


@contextlib.contextmanager
def local_copy(flag: str, path: str) -> Iterator[str]:
    """Yield a local path of a directory or file: itself, or a copy of one in a bucket.

    Copies are compared with the checksums of the export, if there are any.

    Args:
      flag: flag that has the path, for errors.
      path: local path, or one like gs://bucket/folder.

    Raises:
      UserError: there are no files, or they are not those that were exported.
    """
    if not files.is_remote(path):
        yield path
        return
    path = path.rstrip("/")
    if is_unfinished(path):
        raise UserError(
            f"{flag} {path} is not complete: its writing was interrupted; run that command again"
        )
    paths: list[str] = []
    with contextlib.suppress(FileNotFoundError):  # of the bucket
        paths, num_folders = files.find(path)
        if num_folders:
            paths = files.find(f"{path}/**")[0]
    if not paths:
        raise UserError(f"{flag} {path}: there is nothing of this name")
    with tempfile.TemporaryDirectory(prefix="lambert-") as folder:
        root = Path(folder, path.rpartition("/")[2])

        def copy(remote_path: str) -> None:
            target = Path(f"{root}{remote_path.removeprefix(path)}")
            target.parent.mkdir(parents=True, exist_ok=True)
            with files.open_read(remote_path) as remote, target.open("wb") as local:
                shutil.copyfileobj(remote, local, _BLOCK_BYTES)

        with ThreadPoolExecutor(files.REMOTE_REQUESTS) as pool:
            list(pool.map(copy, paths))
        verify_sums(root)
        yield str(root)


def load_saved_model(path: Path) -> Any:
    """Load a SavedModel.

    Raises:
      UserError: its files are truncated or damaged, or have changed since they were exported.
    """
    import tensorflow as tf

    verify_sums(path)
    try:
        return tf.saved_model.load(str(path))
    except (*_LOAD_ERRORS, tf.errors.OpError) as error:
        raise UserError(f"{path} cannot be loaded: {first_line(error)}") from error
