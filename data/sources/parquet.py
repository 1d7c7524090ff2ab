"""Read Parquet tables: a document per row, or a sentence per row.

A part of a file holds the row groups that begin in its range of bytes, so parts are planned without
reading the file. Bytes are counted as those of the texts in UTF-8.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data import files
from data.errors import UserError
from data.sources.documents import (
    Document,
    InputFile,
    InputPart,
    Reject,
    Skipped,
    normalise,
    split_lines,
)
from data.sources.lines import SENTENCE_LINES, DocumentBuilder, OversizedLine, split_file
from data.sources.streams import ByteCounter, DamagedError

SUFFIX, MAGIC = ".parquet", b"PAR1"
PART_BYTES, SENTENCE_PART_BYTES = 64 * 2**20, 16 * 2**20
_ROWS_TOGETHER = 256
_BUFFER_BYTES = 2**20  # read at once, of each column
_BATCH_BYTES = 2**24  # decoded at once
# More rows are hardly faster, and with a dictionary few bytes can stand for many long texts.
_BATCH_ROWS = 64
_MAX_NAMED = 20  # columns, in errors
_MAX_TITLE = 100  # characters


@dataclasses.dataclass(frozen=True)
class _Row:
    """One row: its number in the file, its text as stored (None if null), and its name in ids."""

    number: int
    text: bytes | None
    num_bytes: int
    name: str


def is_parquet(path: str) -> bool:
    """Return whether a file is a Parquet table, judging by its suffix."""
    return path.endswith(SUFFIX)


def split_documents(file: InputFile) -> list[InputPart]:
    """Split a table for `read_documents`."""
    return split_file(file, part_bytes=PART_BYTES)


def split_sentences(file: InputFile) -> list[InputPart]:
    """Split a table for `read_sentences`."""
    return split_file(file, part_bytes=SENTENCE_PART_BYTES)


def check_head(file: InputFile, head: bytes) -> None:
    """Raise a UserError if a file is no Parquet table, or has no column with text.

    Args:
      file: file, whose `text_field` names the column.
      head: its first bytes.
    """
    if not head.startswith(MAGIC):
        raise UserError(f"--{file.kind} {file.path} is not a Parquet table")
    if not is_parquet(file.path):
        raise UserError(
            f"--{file.kind} {file.path} is a Parquet table; give it a name that ends with {SUFFIX}"
        )
    with _open(file):
        pass


def read_documents(
    part: InputPart, *, max_document_bytes: int, counter: ByteCounter | None = None
) -> Iterator[Document | Reject]:
    """Read a document per row; each line of its text is a paragraph.

    The name of a document, after that of its file, is the value of the column `id`, else the number of
    the row, and, if there is a column `title`, the title.

    Args:
      part: part from `split_documents`.
      max_document_bytes: size limit; a larger text is rejected.
      counter: counter of the bytes of the texts.

    Raises:
      UserError: the file is damaged, or has no column with text.
    """
    for row in _read_rows(part, max_document_bytes, counter, names=("id", "title")):
        document = _to_document(part.file, row, max_document_bytes)
        if isinstance(document, str):
            yield Reject(
                source=part.file.name,
                offset=f"row {row.number}",
                reason=document,
                num_bytes=row.num_bytes,
            )
        else:
            yield document


def read_values(file: InputFile, *, max_bytes: int) -> Iterator[dict[str, object]]:
    """Yield the rows of any table as dictionaries.

    Args:
      file: file.
      max_bytes: maximum size of the values.

    Raises:
      DamagedError: the table is damaged.
      UserError: the table has more than `max_bytes` bytes of values.
    """
    with files.open_read(file.path) as stored, _name_damage(file):
        table = pq.ParquetFile(stored, pre_buffer=False, page_checksum_verification=True)
        groups = [table.metadata.row_group(i) for i in range(table.metadata.num_row_groups)]
        if sum(group.total_byte_size for group in groups) > max_bytes:
            raise UserError(
                f"--{file.kind} {file.path} has more than {max_bytes:,} bytes of values"
            )
        for batch in table.iter_batches(batch_size=_ROWS_TOGETHER):
            yield from batch.to_pylist()


def _to_document(file: InputFile, row: _Row, max_document_bytes: int) -> Document | str:
    """Return the document of a row, or the reason why it has none."""
    if row.num_bytes > max_document_bytes:
        return f"larger than BuildConfig.max_document_bytes={max_document_bytes}"
    if row.text is None:
        return f"{file.text_field!r} is null"
    try:
        text = row.text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return f"not UTF-8: {error}"
    paragraphs = tuple(filter(None, map(normalise, split_lines(text))))
    if not paragraphs:
        return "no text"
    return Document(
        id=f"{file.kind}/{file.name}#{row.name}", paragraphs=paragraphs, num_bytes=row.num_bytes
    )


def read_sentences(
    part: InputPart, *, max_document_bytes: int, counter: ByteCounter | None = None
) -> Iterator[Document | Reject | Skipped]:
    """Read a sentence per row, as documents of SENTENCE_LINES rows; skip empty rows.

    Arguments and errors as for `read_documents`.
    """
    document = DocumentBuilder(part.file, max_document_bytes, unit="row")
    num_rows = 0
    for row in _read_rows(part, max_document_bytes, counter):
        if row.text is not None and row.text.strip():
            document.add(row.number, row.text)
            num_rows += 1
        elif row.text is None and row.num_bytes:
            document.add(row.number, OversizedLine(row.num_bytes))
            num_rows += 1
        else:
            yield Skipped(reason="blank lines", num_bytes=row.num_bytes)
        if num_rows == SENTENCE_LINES:
            yield from document.finish()
            num_rows = 0
    yield from document.finish()


def _read_rows(
    part: InputPart,
    max_bytes: int,
    counter: ByteCounter | None,
    *,
    names: Sequence[str] = (),
) -> Iterator[_Row]:
    """Yield the rows of the row groups that begin in a part; the text of a larger one is left out.

    Args:
      part: part to read.
      max_bytes: length of the longest text to return.
      counter: counter of the bytes of the texts.
      names: columns that name a row, if the table has them.
    """
    file = part.file
    if counter is not None:
        counter.is_of_stored_bytes = False
    with _open(file) as table, _name_damage(file):
        columns = [file.text_field, *(name for name in names if _has(table, name, file.text_field))]
        first_row = 0
        for index in range(table.num_row_groups):
            group = table.metadata.row_group(index)
            if _begins_in(group, part):
                yield from _read_group(table, index, columns, first_row, max_bytes, counter)
            first_row += group.num_rows


def _read_group(
    table: pq.ParquetFile,
    index: int,
    names: list[str],
    first_row: int,
    max_bytes: int,
    counter: ByteCounter | None,
) -> Iterator[_Row]:
    group = table.metadata.row_group(index)
    average = max(group.total_byte_size // max(group.num_rows, 1), 1)
    batch_rows = min(max(_BATCH_BYTES // average, 1), _BATCH_ROWS)
    number = first_row
    for batch in table.iter_batches(
        batch_size=batch_rows, row_groups=[index], columns=names, use_threads=False
    ):
        columns = {name: _plain(batch.column(name)) for name in names}
        texts = columns.pop(names[0]).cast(pa.large_binary())
        lengths = pc.fill_null(pc.binary_length(texts), 0)
        if counter is not None:
            counter.num_bytes += pc.sum(lengths).as_py() or 0
        too_large = pc.greater(lengths, max_bytes)
        texts = pc.if_else(too_large, pa.scalar(None, pa.large_binary()), texts)
        values = zip(*(column.to_pylist() for column in columns.values()), strict=True)
        for text, num_bytes, named in itertools.zip_longest(
            texts.to_pylist(), lengths.to_pylist(), values
        ):
            name = _name(number, dict(zip(columns, named or (), strict=True)))
            yield _Row(number, text, num_bytes, name)
            number += 1


def _name(number: int, values: dict[str, object]) -> str:
    """Return the name of a row in document ids: its id or number, and its title."""
    key, title = values.get("id"), values.get("title")
    is_key = isinstance(key, str | int) and not isinstance(key, bool)
    name = normalise(str(key)) if is_key else str(number)
    if isinstance(title, str) and title:
        name = f"{name} {normalise(title[:_MAX_TITLE])}"
    return name


def _plain(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _begins_in(group: pq.RowGroupMetaData, part: InputPart) -> bool:
    column = group.column(0)
    offset = column.dictionary_page_offset or column.data_page_offset
    # Whatever damaged metadata say, the group belongs to one part.
    offset = min(max(offset, 0), part.file.num_bytes - 1)
    return part.start <= offset < part.stop


@contextlib.contextmanager
def _open(file: InputFile) -> Iterator[pq.ParquetFile]:
    """Open a table after checking that it has a column with text."""
    with files.open_read(file.path) as stored:
        with _name_damage(file):
            table = pq.ParquetFile(
                stored,
                buffer_size=_BUFFER_BYTES,
                pre_buffer=False,
                page_checksum_verification=True,
            )
            schema = table.schema_arrow
        indices = schema.get_all_field_indices(file.text_field)
        flag = f"--{file.kind} {file.path}"
        if len(indices) != 1:
            number = "no" if not indices else f"{len(indices)} columns named"
            columns = ", ".join(schema.names[:_MAX_NAMED]) or "no columns"
            raise UserError(
                f"{flag} has {number} column {file.text_field!r}, but {columns}; name the one with the"
                " text by --text_field"
            )
        if not _is_string(column_type := schema.field(indices[0]).type):
            strings = [field.name for field in schema if _is_string(field.type)][:_MAX_NAMED]
            raise UserError(
                f"{flag}: the column {file.text_field!r} is {column_type}, not a string; columns of"
                f" strings: {', '.join(strings) or 'none'} (--text_field)"
            )
        yield table


def _has(table: pq.ParquetFile, name: str, text_field: str) -> bool:
    """Return whether a table has one such column, besides the one with the text, of simple values."""
    schema = table.schema_arrow
    indices = schema.get_all_field_indices(name)
    is_one = len(indices) == 1 and name != text_field
    return is_one and not pa.types.is_nested(schema.field(indices[0]).type)


def _is_string(column_type: pa.DataType) -> bool:
    if pa.types.is_dictionary(column_type):
        column_type = column_type.value_type
    return (
        pa.types.is_string(column_type)
        or pa.types.is_large_string(column_type)
        or pa.types.is_string_view(column_type)
    )


@contextlib.contextmanager
def _name_damage(file: InputFile) -> Iterator[None]:
    """Turn errors of Arrow into a DamagedError that names the file."""
    try:
        yield
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        reason = " ".join(str(error).split())
        raise DamagedError(
            f"{file.path}: truncated or damaged ({reason}); download or copy it again"
        ) from error
