"""Where the material of the measurements lies. The standard library alone: both sides read it."""

from __future__ import annotations

import bz2
import dataclasses
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from xml.etree import ElementTree  # reads the sample only, whose checksum is known


@dataclasses.dataclass(frozen=True)
class Workspace:
    """Paths of everything that `bench.data.material` makes."""

    root: Path

    @property
    def dump(self) -> Path:
        """The Wikipedia sample, compressed."""
        (path,) = (self.root / "samples" / "wiki").iterdir()
        return path

    @property
    def vocab(self) -> Path:
        """Vocabulary of BERT's format, the same for all."""
        return self.root / "vocab.txt"

    @property
    def documents(self) -> Path:
        r"""The clean text: {"id", "text"} a line, paragraphs separated by "\n"."""
        return self.root / "text" / "documents.jsonl"

    @property
    def paragraphs(self) -> Path:
        """The same text, a paragraph a line."""
        return self.root / "text" / "paragraphs.txt"

    @property
    def sentences(self) -> Path:
        """The same text, a sentence a line and a blank line between documents."""
        return self.root / "text" / "sentences.txt"

    @property
    def dump_bytes(self) -> int:
        """Of the dump without compression."""
        with bz2.open(self.dump) as stream:
            return sum(map(len, iter(lambda: stream.read(2**20), b"")))

    @property
    def facts(self) -> dict[str, int]:
        """Numbers of "documents" and "tokens" of the text and its "text_bytes"."""
        return json.loads((self.root / "text" / "facts.json").read_text())

    @property
    def build(self) -> Path:
        """A build of the text with COPIES masked copies in one shard."""
        return self.root / "build"

    def cleaned(self, implementation: str) -> Path:
        """What a cleaner made of the dump: {"id", "text"} a line."""
        path = self.root / "cleaned" / f"{implementation}.jsonl"
        path.parent.mkdir(exist_ok=True)
        return path

    def scratch(self, name: str) -> Path:
        """A folder for what a case writes."""
        path = self.root / "scratch" / name
        path.mkdir(parents=True, exist_ok=True)
        return path


def write_texts(path: Path, texts: Iterable[tuple[str, str]]) -> None:
    """Writes (id, text) pairs; also a form of input to the build (--jsonl)."""
    with open(path, "w", encoding="utf-8") as file:
        for name, text in texts:
            file.write(json.dumps({"id": name, "text": text}) + "\n")


def read_texts(path: Path) -> dict[str, str]:
    """Text by id."""
    with open(path, encoding="utf-8") as file:
        return {record["id"]: record["text"] for record in map(json.loads, file)}


def read_articles(dump: Path) -> Iterator[tuple[str, str, str]]:
    """(id, title, wikitext) of the articles of a dump: namespace 0, no redirects."""
    with bz2.open(dump) as stream:
        for _, page in ElementTree.iterparse(stream):
            if page.tag.rpartition("}")[2] != "page":
                continue
            fields: dict[str, str] = {}
            for element in page.iter():  # the page's own <id> is the first of several
                fields.setdefault(element.tag.rpartition("}")[2], element.text or "")
            page.clear()
            if fields["ns"] == "0" and "redirect" not in fields:
                yield fields["id"], fields["title"], fields["text"]
