"""Read the output of WikiExtractor: `<doc ...>` elements, or JSON Lines (`--json`).

WikiExtractor writes a paragraph per line, after a line with the title, and "&", "<" and ">" as
entities.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

from data.errors import UserError
from data.sources.content import read_head
from data.sources.documents import (
    Document,
    InputFile,
    InputPart,
    Reject,
    Skipped,
    normalise,
)
from data.sources.lines import LineCollector, read_jsonl, read_line_part
from data.sources.streams import ByteCounter

_OPENING = re.compile(r'<doc id="([^"]*)".*? title="(.*)">')


def check_head(file: InputFile, head: bytes) -> None:
    """Raise a UserError if a file is no output of WikiExtractor.

    Args:
      file: file.
      head: its first bytes.
    """
    start = head.lstrip()
    if start and not start.startswith((b"<doc ", b"{")):
        raise UserError(
            f"--{file.kind} {file.path} is not output of WikiExtractor, which begins with <doc ...> or"
            " an object of JSON; a dump goes to --wiki"
        )


def read_part(
    part: InputPart, *, max_document_bytes: int, counter: ByteCounter | None = None
) -> Iterator[Document | Reject | Skipped]:
    """Stream the articles that begin in a part; articles without text are skipped.

    Args:
      part: part from `data.sources.lines.split_file`.
      max_document_bytes: size limit; a larger article is rejected without being held in memory.
      counter: counter of the bytes read.

    Yields:
      Documents, named by the ids of the pages; rejects; and what is between the articles.

    Raises:
      DamagedError: a compressed file is damaged.
    """
    if (read_head(part.file.path) or b"").lstrip().startswith(b"{"):
        for item in read_jsonl(part, max_document_bytes=max_document_bytes, counter=counter):
            match item:
                case Document():
                    yield dataclasses.replace(
                        item, paragraphs=tuple(map(_unescape, item.paragraphs))
                    )
                case Reject(reason="no text") if item.num_bytes:
                    yield Skipped(reason="no prose", num_bytes=item.num_bytes)
                case _:
                    yield item
    else:
        yield from _read_articles(part, max_document_bytes, counter)


def _read_articles(
    part: InputPart, limit: int, counter: ByteCounter | None
) -> Iterator[Document | Reject | Skipped]:
    article = _Article(part.file, limit)
    for offset, line in read_line_part(part, limit, counter, may_start=_is_opening):
        content = line if isinstance(line, bytes) else b"(too long)"
        if _is_opening(content):
            yield from article.finish()
            article.add(offset, line)
        elif article.num_bytes:
            article.add(offset, line)
            if content.startswith(b"</doc>"):
                yield from article.finish()
        elif line and not content.strip():
            yield Skipped(reason="blank lines", num_bytes=len(line))
        else:
            yield Reject(
                source=part.file.name,
                offset=f"byte {offset}",
                reason="outside of any <doc>" if line else "no text",
                num_bytes=len(line),
            )
    yield from article.finish()


def _is_opening(line: bytes) -> bool:
    return line.startswith(b"<doc id=")


class _Article(LineCollector):
    """Makes documents of articles."""

    what = "an article"

    def document_of(self, lines: list[str]) -> Document | Reject | Skipped:
        """Return the article, named by the id of its page."""
        opening, *lines = lines
        if (tag := _OPENING.fullmatch(opening.strip())) is None:
            return self.reject(f"not a <doc> with id and title: {opening.strip()!r}")
        if not lines or not lines.pop().startswith("</doc>"):
            return self.reject("has no </doc>")
        page_id, title = tag.groups()
        if lines and lines[0].strip() in (title, _unescape(title)):
            del lines[0]
        paragraphs = tuple(filter(None, (normalise(_unescape(line)) for line in lines)))
        if not paragraphs:
            return Skipped(reason="no prose", num_bytes=self.num_bytes)
        return Document(
            id=f"{self.file.kind}/{self.file.name}#{normalise(page_id)}",
            paragraphs=paragraphs,
            num_bytes=self.num_bytes,
        )


def _unescape(text: str) -> str:
    """Replace the entities that WikiExtractor writes; a page about HTML may have others."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
