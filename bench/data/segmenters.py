"""Segmenters of sentences: errors against a hand-checked reference, and speed.

The standard library alone, but for the segmenter that is measured: both environments use it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import accumulate
from pathlib import Path

from bench.data.measure import Stopwatch
from bench.data.workspace import Workspace

# A paragraph to its sentences.
Segmenter = Callable[[str], Iterable[str]]
# A sentence a line, a blank line between paragraphs; tests/golden/README.md says what a sentence is.
_REFERENCES = {
    "ordinary": Path("tests/golden/sentences/ordinary.txt"),
    "hard": Path("tests/golden/sentences/hard.txt"),
}


def blingfire(workspace: Workspace, stopwatch: Stopwatch) -> list[dict]:
    """A finite-state machine, in C++."""
    from blingfire import text_to_sentences

    return measure(lambda text: text_to_sentences(text).split("\n"), workspace, stopwatch)


def nupunkt(workspace: Workspace, stopwatch: Stopwatch) -> list[dict]:
    """Punkt with a model of abbreviations, in Python."""
    from nupunkt import sent_tokenize

    return measure(sent_tokenize, workspace, stopwatch)


def nupunkt_rs(workspace: Workspace, stopwatch: Stopwatch) -> list[dict]:
    """Punkt with a model of abbreviations, in Rust."""
    from nupunkt_rs import sent_tokenize

    return measure(sent_tokenize, workspace, stopwatch)


def pysbd(workspace: Workspace, stopwatch: Stopwatch) -> list[dict]:
    """Rules as regular expressions, in Python."""
    from pysbd import Segmenter

    return measure(Segmenter(language="en", clean=False).segment, workspace, stopwatch)


def measure(segment: Segmenter, workspace: Workspace, stopwatch: Stopwatch) -> list[dict]:
    """A row with the errors in each group of the reference and the speed on all clean text."""
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
    """The sentences of each paragraph."""
    return [block.splitlines() for block in path.read_text(encoding="utf-8").strip().split("\n\n")]


def join(sentences: list[str]) -> str:
    """The paragraph of a reference: a blank between sentences, but none before a dash."""
    return "\n".join(sentences).replace("\n--", "--").replace("\n", " ")


def errors(segment: Segmenter, reference: list[list[str]]) -> dict[str, float]:
    """Compares boundaries inside paragraphs; their ends are given and do not count.

    Returns:
      "precision", "recall" and "f1" of boundaries, how many the reference has ("expected"), and
      "changed_paragraphs", which have lost or gained characters other than white space.
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
    """Numbers of characters other than white space before each inner boundary.

    ["A b.", "C."] has {3}.
    """
    lengths = [len("".join(sentence.split())) for sentence in sentences]
    ends = list(accumulate(filter(None, lengths)))
    return set(ends[:-1])
