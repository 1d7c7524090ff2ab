"""Sentence splitters: errors against a hand-checked reference, and speed.

Both environments use this module, so besides the measured splitter it needs the standard library only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import accumulate
from pathlib import Path

from bench.data.measure import Stopwatch
from bench.data.workspace import Workspace

# Function from a paragraph to its sentences.
Segmenter = Callable[[str], Iterable[str]]
# One sentence per line, a blank line between paragraphs; tests/golden/README.md defines sentences.
_REFERENCES = {
    "ordinary": Path("tests/golden/sentences/ordinary.txt"),
    "hard": Path("tests/golden/sentences/hard.txt"),
}


def blingfire(workspace: Workspace, stopwatch: Stopwatch) -> list[dict]:
    """Measure BlingFire, a finite-state machine in C++."""
    from blingfire import text_to_sentences

    return measure(lambda text: text_to_sentences(text).split("\n"), workspace, stopwatch)


def nupunkt(workspace: Workspace, stopwatch: Stopwatch) -> list[dict]:
    """Measure nupunkt: Punkt with a model of abbreviations, in Python."""
    from nupunkt import sent_tokenize

    return measure(sent_tokenize, workspace, stopwatch)


def nupunkt_rs(workspace: Workspace, stopwatch: Stopwatch) -> list[dict]:
    """Measure nupunkt-rs: Punkt with a model of abbreviations, in Rust."""
    from nupunkt_rs import sent_tokenize

    return measure(sent_tokenize, workspace, stopwatch)


def pysbd(workspace: Workspace, stopwatch: Stopwatch) -> list[dict]:
    """Measure pySBD: rules as regular expressions, in Python."""
    from pysbd import Segmenter

    return measure(Segmenter(language="en", clean=False).segment, workspace, stopwatch)


def measure(segment: Segmenter, workspace: Workspace, stopwatch: Stopwatch) -> list[dict]:
    """Return a row with the errors in each group of the reference and the speed on all clean text."""
    paragraphs = workspace.paragraphs.read_text(encoding="utf-8").splitlines()

    def segment_all() -> None:
        for paragraph in paragraphs:
            for _ in segment(paragraph):
                pass

    timing = stopwatch.time(segment_all)
    return [
        {
            "what": "paragraphs to sentences",
            "setting": "English; a call a paragraph",
            "boundaries": {
                group: errors(segment, read_reference(path)) for group, path in _REFERENCES.items()
            },
            **timing.rates(megabytes=workspace.facts["text_bytes"] / 1e6),
        }
    ]


def read_reference(path: Path) -> list[list[str]]:
    """Read the sentences of each paragraph."""
    return [block.splitlines() for block in path.read_text(encoding="utf-8").strip().split("\n\n")]


def join(sentences: list[str]) -> str:
    """Join sentences to a paragraph: with a space between them, but none before a dash."""
    return "\n".join(sentences).replace("\n--", "--").replace("\n", " ")


def errors(segment: Segmenter, reference: list[list[str]]) -> dict[str, float]:
    """Compare boundaries inside paragraphs; the ends of paragraphs are given and do not count.

    Returns:
      "precision", "recall" and "f1" of boundaries; "expected", the number in the reference; and
      "changed_paragraphs", the number that lost or gained characters other than white space.
    """
    common = expected = found = changed = 0
    for sentences in reference:
        paragraph = join(sentences)
        pieces = list(segment(paragraph))
        truth, guess = boundaries(sentences), boundaries(pieces)
        common += len(truth & guess)
        expected += len(truth)
        found += len(guess)
        changed += "".join("".join(pieces).split()) != "".join(paragraph.split())
    return {
        "precision": common / max(1, found),
        "recall": common / max(1, expected),
        "f1": 2 * common / max(1, expected + found),
        "expected": expected,
        "changed_paragraphs": changed,
    }


def boundaries(sentences: Iterable[str]) -> set[int]:
    """Return the number of characters other than white space before each inner boundary.

    ["A b.", "C."] gives {3}.
    """
    lengths = [len("".join(sentence.split())) for sentence in sentences]
    ends = list(accumulate(filter(None, lengths)))
    return set(ends[:-1])
