"""Input of the benchmarks: sample text, vocabulary, and clean text in each peer's format."""

from __future__ import annotations

import collections
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.data.cases import COPIES, PREDICTIONS, SEQ_LENGTH
from bench.data.workspace import Workspace, read_texts, write_texts

MAX_DOCUMENT_BYTES = 32 * 2**20
_WORD = re.compile(r"[^\W\d_]+")


def prepare(workspace: Workspace, *, vocab_size: int = 8000, eval_fraction: float = 0.05) -> None:
    """Create the files of a workspace that are missing."""
    root = workspace.root
    if not (root / "samples" / "books").exists():
        _run("data.samples", "--output_dir", root / "samples")
    if not workspace.vocab.exists():
        texts = [root / "samples" / "wiki" / "*", root / "samples" / "books" / "*"]
        _run(
            "data.vocab",
            *(part for text in texts for part in ("--input", text)),
            *("--vocab_size", vocab_size, "--output_file", workspace.vocab),
        )
    if not (root / "text" / "facts.json").exists():
        _write_text(workspace)
    if not (workspace.build / "manifest.json").exists():
        settings = dict(
            copies=COPIES,
            num_shards=1,
            max_seq_length=SEQ_LENGTH,
            max_predictions=PREDICTIONS,
            eval_fraction=eval_fraction,
        )
        _run("data.build", *build_arguments(settings, workspace, workspace.documents))


def build_arguments(
    settings: dict, workspace: Workspace, inputs: Path | str, *, form: str = "jsonl"
) -> list:
    """Return the arguments of a build with Lambert's recipe and some other settings."""
    return [
        *("--gin_file", "gin/data_lambert.gin"),
        *(part for name in settings for part in ("--gin_param", _binding(name, settings[name]))),
        *(f"--{form}", inputs, "--vocab_file", workspace.vocab, "--output_dir", workspace.build),
    ]


def _binding(name: str, value) -> str:
    return f"BuildConfig.{name} = {value!r}"


def _run(module: str, *arguments) -> None:
    print(f"bench: preparing: {module}", flush=True)
    subprocess.run([sys.executable, "-m", module, *map(str, arguments)], check=True)


def _write_text(workspace: Workspace) -> None:
    """Write clean text with the readers of the build, so that all tokenizers see the same text."""
    from data.sources.documents import Document, find_inputs
    from data.sources.formats import read_part, split_file
    from data.text.sentences import split_sentences

    inputs = [
        *find_inputs("wiki", str(workspace.dump)),
        *find_inputs("books", str(workspace.root / "samples" / "books" / "*.txt")),
    ]
    documents = [
        document
        for file in inputs
        for part in split_file(file)
        for document in read_part(part, max_document_bytes=MAX_DOCUMENT_BYTES)
        if isinstance(document, Document)
    ]
    workspace.documents.parent.mkdir(exist_ok=True)
    write_texts(workspace.documents, ((d.id, "\n".join(d.paragraphs)) for d in documents))
    with (
        open(workspace.paragraphs, "w", encoding="utf-8") as paragraphs,
        open(workspace.sentences, "w", encoding="utf-8") as sentences,
    ):
        for document in documents:
            for paragraph in document.paragraphs:
                paragraphs.write(f"{paragraph}\n")
                sentences.writelines(f"{sentence}\n" for sentence in split_sentences(paragraph))
            sentences.write("\n")
    facts = {
        "documents": len(documents),
        "text_bytes": workspace.paragraphs.stat().st_size,
        "tokens": _count_tokens(workspace),
    }
    (workspace.root / "text" / "facts.json").write_text(json.dumps(facts))


def _count_tokens(workspace: Workspace) -> int:
    from data.text.wordpiece import WordPieceTokenizer
    from data.vocab import Vocab

    tokenizer = WordPieceTokenizer(Vocab.load(workspace.vocab), lower_case=True)
    ids, _ = tokenizer.encode(workspace.paragraphs.read_text(encoding="utf-8").splitlines())
    return len(ids)


def write_variations(workspace: Workspace, count: int) -> Path:
    """Write copies of the corpus in which no paragraph occurs twice, and return their directory.

    Copy k replaces each word by the one k ranks further down the list of words by frequency. This
    keeps the lengths of documents and the distribution of word frequencies.

    Args:
      workspace: workspace with the documents.
      count: number of copies, one JSON Lines file each.
    """
    folder = workspace.root / "text" / f"variations-{count}"
    if folder.exists():
        return folder
    texts = read_texts(workspace.documents)
    counts = collections.Counter(word for text in texts.values() for word in _WORD.findall(text))
    words = [word for word, _ in counts.most_common()]
    ranks = {word: rank for rank, word in enumerate(words)}
    # Split once; a variation is then a list of look-ups.
    parts_by_name = {name: re.split(f"({_WORD.pattern})", text) for name, text in texts.items()}

    def vary(shift: int) -> Iterator[tuple[str, str]]:
        for name, parts in parts_by_name.items():
            varied = list(parts)
            varied[1::2] = [words[(ranks[word] + shift) % len(words)] for word in parts[1::2]]
            yield f"{name}/{shift}", "".join(varied)

    partial = folder.with_name(f".tmp-{folder.name}")
    partial.mkdir(exist_ok=True)
    for shift in range(count):
        write_texts(partial / f"{shift:03d}.jsonl", vary(shift))
    partial.rename(folder)
    return folder
