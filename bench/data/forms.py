"""The first tasks of a build for other forms of input than English JSON Lines, up to packed shards."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from bench.data.lambert import pack_in_files, packing_config
from bench.data.measure import Stopwatch
from bench.data.workspace import Workspace, read_texts
from data import schema
from data.vocab import Vocab

_CHINESE_BYTES = 6_000_000
_CHARACTERS = tuple(map(chr, range(0x4E00, 0x4E00 + 3000)))
_PUNCTUATION = ("，", "。")


def forms(workspace: Workspace, stopwatch: Stopwatch) -> list[dict]:
    """Measure reading, tokenizing and packing of Parquet, sentences a line, .zst and Chinese text."""
    folder = workspace.scratch("forms")
    vocab = Vocab.load(workspace.vocab)
    chinese = list(_chinese_documents())
    inputs = [
        ("Parquet", "parquet", _parquet(workspace, folder), vocab),
        ("sentences a line", "sentences", _sentences(workspace, folder), vocab),
        ("JSON Lines, .zst", "jsonl", _zstd(workspace, folder), vocab),
        (
            "Chinese text",
            "jsonl",
            _json_lines(chinese, folder / "chinese.jsonl"),
            Vocab((*schema.SPECIAL_TOKENS, *_CHARACTERS, *_PUNCTUATION)),
        ),
    ]
    return [_measure(*fields, folder, stopwatch) for fields in inputs]


def _measure(
    what: str, kind: str, path: Path, vocab: Vocab, folder: Path, stopwatch: Stopwatch
) -> dict:
    output = folder / f"build-{path.name}"
    config = packing_config(language="zh" if what.startswith("Chinese") else "en")
    tokens = pack_in_files(kind, str(path), output, config, vocab)["tokens"]
    timing = stopwatch.time(lambda: pack_in_files(kind, str(path), output, config, vocab))
    setting = f"--{kind} {path.name}: read, duplicates removed, packed through files"
    return {"what": what, "setting": setting, **timing.rates(tokens=tokens)}


def _parquet(workspace: Workspace, folder: Path) -> Path:
    path, texts = folder / "documents.parquet", read_texts(workspace.documents)
    table = pa.table({"id": list(texts), "text": list(texts.values())})
    pq.write_table(table, path, row_group_size=1000, compression="zstd")
    return path


def _sentences(workspace: Workspace, folder: Path) -> Path:
    path = folder / "sentences.txt"
    lines = workspace.sentences.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(line for line in lines if line.strip()), encoding="utf-8")
    return path


def _zstd(workspace: Workspace, folder: Path) -> Path:
    path = folder / "documents.jsonl.zst"
    path.write_bytes(zstandard.compress(workspace.documents.read_bytes()))
    return path


def _json_lines(texts: list[str], path: Path) -> Path:
    path.write_text("".join(f"{json.dumps({'text': text})}\n" for text in texts), encoding="utf-8")
    return path


def _chinese_documents() -> Iterator[str]:
    """Yield made-up documents, with frequencies of characters by Zipf's law."""
    rng = random.Random(1)
    weights = [1 / (rank + 10) for rank in range(len(_CHARACTERS))]
    num_bytes = 0
    while num_bytes < _CHINESE_BYTES:
        drawn = iter(rng.choices(_CHARACTERS, weights, k=3000))
        text = ""
        while clause := "".join(c for c, _ in zip(drawn, range(rng.randint(5, 20)), strict=False)):
            text += clause + rng.choice("，，。。\n").replace("\n", "。\n")
        num_bytes += len(text.encode())
        yield text
