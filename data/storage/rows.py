"""Rows of equal length in files, read by number: neither a scan nor an index, no file stays open."""

from __future__ import annotations

import dataclasses
import itertools
import os
import tokenize
from collections.abc import Sequence

import numpy as np

from data.errors import UserError

_MAX_HEADER = 256  # ours has 118 bytes; Python's parser can be made to crash by a long one


@dataclasses.dataclass(frozen=True)
class RowFile:
    """A local file whose row i begins at byte first_byte + i * (length of a row)."""

    path: str
    first_byte: int = 0


def read_rows(
    files: Sequence[RowFile], file_N: np.ndarray, row_N: np.ndarray, *, row_bytes: int
) -> np.ndarray:
    """Reads rows from anywhere in several files; each file is opened once.

    Args:
      files: the files.
      file_N: integers, index into `files` of each wanted row.
      row_N: integers, number of the row in its file.
      row_bytes: length of a row.

    Returns:
      uint8 [N, row_bytes].

    Raises:
      UserError: a file is missing or too short.
    """
    rows = np.empty((len(file_N), row_bytes), np.uint8)
    numbers, wanted = file_N.tolist(), row_N.tolist()
    order = np.argsort(file_N, kind="stable").tolist()
    for number, group in itertools.groupby(order, key=numbers.__getitem__):
        file = files[number]
        try:
            descriptor = os.open(file.path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                for n in group:
                    offset = file.first_byte + wanted[n] * row_bytes
                    if os.preadv(descriptor, [rows[n]], offset) != row_bytes:
                        raise UserError(
                            f"{file.path} ends before row {wanted[n]}; copy it again or build it"
                            " anew"
                        )
            finally:
                os.close(descriptor)
        except OSError as error:
            raise UserError(f"{file.path} cannot be read: {error.strerror}") from error
    return rows


def open_npy(path: str | os.PathLike, *, shape: tuple[int, int], dtype: np.dtype) -> RowFile:
    """Checks that a .npy file holds the array it should, by its header and its size.

    Raises:
      UserError: it cannot be read, or holds something else; no content of it is ever unpickled.
    """
    try:
        with open(path, "rb") as file:
            if np.lib.format.read_magic(file) != (1, 0):
                raise ValueError("not version 1.0 of the format")
            found = np.lib.format.read_array_header_1_0(file, _MAX_HEADER)
            row_file = RowFile(os.fspath(path), file.tell())
            num_bytes = os.fstat(file.fileno()).st_size - file.tell()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    # The header is a Python literal: what is no such thing raises whatever the parser does.
    except (ValueError, SyntaxError, TypeError, tokenize.TokenError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"{path} is not an array of numpy: {reason}; copy it again or build it anew"
        ) from error
    found_shape, is_fortran, found_dtype = found
    if (found_shape, is_fortran, found_dtype) != (shape, False, dtype):
        raise UserError(
            f"{path} holds {found_dtype} {list(found_shape)}, not {dtype} {list(shape)};"
            " copy it again or build it anew"
        )
    if num_bytes != shape[0] * shape[1] * dtype.itemsize:
        raise UserError(f"{path} holds {num_bytes} bytes of {list(shape)} {dtype}; copy it again")
    return row_file
