"""Files of the benchmarks; standard library only, because both environments use it."""

from __future__ import annotations

import bz2
import dataclasses
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from xml.etree import ElementTree  # reads only the sample, whose checksum is known


@dataclasses.dataclass(frozen=True)
class Workspace:
    """Paths of the files that `bench.data.material` creates."""

    root: Path

    @property
    def dump(self) -> Path:
        """Wikipedia sample, compressed."""
        (path,) = (self.root / "samples" / "wiki").iterdir()
        return path

    @property
    def vocab(self) -> Path:
        """Vocabulary in BERT's format, the same for all implementations."""
        return self.root / "vocab.txt"

    @property
    def documents(self) -> Path:
        r"""Clean text: JSON Lines of {"id", "text"}, paragraphs separated by "\n"."""
        return self.root / "text" / "documents.jsonl"

    @property
    def paragraphs(self) -> Path:
        """The same text, one paragraph per line."""
        return self.root / "text" / "paragraphs.txt"

    @property
    def sentences(self) -> Path:
        """The same text, one sentence per line and a blank line between documents."""
        return self.root / "text" / "sentences.txt"

    @property
    def dump_bytes(self) -> int:
        """Uncompressed size of the dump."""
        with bz2.open(self.dump) as stream:
            return sum(map(len, iter(lambda: stream.read(2**20), b"")))

    @property
    def facts(self) -> dict[str, int]:
        """Size of the text: "documents", "tokens" and "text_bytes"."""
        return json.loads((self.root / "text" / "facts.json").read_text())

    @property
    def build(self) -> Path:
        """Build of the text with COPIES masked copies in one shard."""
        return self.root / "build"

    def cleaned(self, implementation: str) -> Path:
        """Return the path of the text that an extractor made: JSON Lines of {"id", "text"}."""
        path = self.root / "cleaned" / f"{implementation}.jsonl"
        path.parent.mkdir(exist_ok=True)
        return path

    def scratch(self, name: str) -> Path:
        """Return a directory for files that a case writes; create it if it is missing."""
        path = self.root / "scratch" / name
        path.mkdir(parents=True, exist_ok=True)
        return path


def write_texts(path: Path, texts: Iterable[tuple[str, str]]) -> None:
    """Write (id, text) pairs as JSON Lines, which the build reads too (--jsonl)."""
    with open(path, "w", encoding="utf-8") as file:
        for name, text in texts:
            file.write(json.dumps({"id": name, "text": text}) + "\n")


def read_texts(path: Path) -> dict[str, str]:
    """Read JSON Lines of {"id", "text"} into a dictionary from id to text."""
    with open(path, encoding="utf-8") as file:
        return {record["id"]: record["text"] for record in map(json.loads, file)}


def read_articles(dump: Path) -> Iterator[tuple[str, str, str]]:
    """Yield (id, title, wikitext) of the articles of a dump: namespace 0, no redirects."""
    with bz2.open(dump) as stream:
        for _, page in ElementTree.iterparse(stream):
            if page.tag.rpartition("}")[2] != "page":
                continue
            fields: dict[str, str] = {}
            for element in page.iter():  # the first of several <id> is the page's
                fields.setdefault(element.tag.rpartition("}")[2], element.text or "")
            page.clear()
            if fields["ns"] == "0" and "redirect" not in fields:
                yield fields["id"], fields["title"], fields["text"]
