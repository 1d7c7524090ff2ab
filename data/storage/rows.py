"""Read rows of equal length by number, without a scan or an index. No file stays open."""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
import tokenize
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np

from data.errors import UserError

_MAX_HEADER = 256  # ours has 118 bytes; a long one can crash Python's parser


@dataclasses.dataclass(frozen=True)
class RowFile:
    """A local file in which row i begins at byte first_byte + i * (bytes of a row)."""

    path: str
    first_byte: int = 0


def read_rows(
    files: Sequence[RowFile], file_N: np.ndarray, row_N: np.ndarray, *, row_bytes: int
) -> np.ndarray:
    """Read rows of several files; each file is opened once.

    Args:
      files: files to read from.
      file_N: index into `files` of each row.
      row_N: number of each row in its file.
      row_bytes: bytes of a row.

    Returns:
      uint8 [N, row_bytes].

    Raises:
      UserError: a file is missing or too short.
    """
    rows = np.empty((len(file_N), row_bytes), np.uint8)
    file_numbers, row_numbers = file_N.tolist(), row_N.tolist()
    order = np.argsort(file_N, kind="stable").tolist()
    for file_number, group in itertools.groupby(order, key=file_numbers.__getitem__):
        file = files[file_number]
        try:
            descriptor = os.open(file.path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                for n in group:
                    offset = file.first_byte + row_numbers[n] * row_bytes
                    if os.preadv(descriptor, [rows[n]], offset) != row_bytes:
                        raise UserError(
                            f"{file.path} ends before row {row_numbers[n]}; copy it again or"
                            " rebuild it"
                        )
            finally:
                os.close(descriptor)
        except OSError as error:
            raise UserError(f"{file.path} cannot be read: {error.strerror}") from error
    return rows


def save_npy(file: BinaryIO, array: np.ndarray) -> None:
    """Write an array as `np.save` does, whose errors of a full disk do not say what they are."""
    array = np.ascontiguousarray(array)
    header = np.lib.format.header_data_from_array_1_0(array)
    np.lib.format.write_array_header_1_0(file, header)
    file.write(array.tobytes())


def open_npy(path: str | os.PathLike[str], *, shape: tuple[int, ...], dtype: np.dtype) -> RowFile:
    """Open a .npy file and check by header and size that it holds the expected array.

    Args:
      path: file to open.
      shape: expected shape.
      dtype: expected type.

    Returns:
      The rows of the array.

    Raises:
      UserError: the file cannot be read, or holds something else. Nothing is ever unpickled.
    """
    try:
        with open(path, "rb") as file:
            if np.lib.format.read_magic(file) != (1, 0):
                raise ValueError("not version 1.0 of the format")
            header = np.lib.format.read_array_header_1_0(file, _MAX_HEADER)
            row_file = RowFile(os.fspath(path), file.tell())
            num_bytes = os.fstat(file.fileno()).st_size - file.tell()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    # numpy parses the header as a Python literal; for other content these errors come out.
    except (ValueError, SyntaxError, TypeError, tokenize.TokenError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"{path} is not a numpy array: {reason}; copy it again or rebuild it"
        ) from error
    found_shape, is_fortran, found_dtype = header
    if (found_shape, is_fortran, found_dtype) != (shape, False, dtype):
        raise UserError(
            f"{path} holds {found_dtype} {list(found_shape)}, not {dtype} {list(shape)};"
            " copy it again or rebuild it"
        )
    if num_bytes != math.prod(shape) * dtype.itemsize:
        raise UserError(f"{path} holds {num_bytes} bytes of {list(shape)} {dtype}; copy it again")
    return row_file
