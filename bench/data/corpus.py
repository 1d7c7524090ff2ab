"""Builds of a large corpus through two workers: throughput, memory of each process, disk."""

from __future__ import annotations

import collections
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench.data.material import build_arguments, write_variations
from bench.data.measure import Stopwatch, process_tree
from bench.data.workspace import Workspace, read_texts
from data import schema
from data.text.sentences import split_sentences

SIZE_VARIABLE = "BENCH_CORPUS_SIZE"  # in copies of the sample, for machines that are too busy
_SIZE, _WORKERS = 100, 2
_SETTINGS = dict(copies=1, num_shards=64, num_eval_shards=1, eval_fraction=0.02)
_SENTENCES_BYTES = 300e6
_SAMPLING_SECONDS = 0.5


def corpus(workspace: Workspace, stopwatch: Stopwatch) -> list[dict]:
    """Measure whole builds with masked copies: of all documents, and of one file of sentences."""
    del stopwatch  # one pass takes minutes
    size = int(os.environ.get(SIZE_VARIABLE, _SIZE))
    texts = write_variations(workspace, size)
    sentences = _write_sentences(texts, workspace.root / "text" / f"sentences-{size}.txt")
    rows = []
    for what, form, inputs in (
        (f"build of {size} x the sample", "jsonl", sorted(texts.iterdir())),
        ("300 MB with a sentence per line", "sentences", [sentences]),
    ):
        row = _measure(workspace, form, texts / "*.jsonl" if form == "jsonl" else sentences)
        num_bytes = sum(path.stat().st_size for path in inputs)
        rows.append({"what": what, "corpus_bytes": num_bytes, **row})
    return rows


def _measure(workspace: Workspace, form: str, inputs: Path) -> dict:
    folder = workspace.scratch("corpus")
    shutil.rmtree(folder)
    folder.mkdir()
    build = Workspace(folder)
    shutil.copy(workspace.vocab, build.vocab)
    arguments = build_arguments(_SETTINGS, build, inputs, form=form)
    command = [sys.executable, "-m", "data.build", *arguments, f"--workers={_WORKERS}"]
    began = time.perf_counter()
    peaks, peak_disk = _watch([str(word) for word in command], build.build, folder / "log.txt")
    seconds = time.perf_counter() - began
    accounts = json.loads((build.build / schema.MANIFEST_FILE).read_text())["accounts"]
    tokens = sum(counts["tokens_tokenized"] for counts in accounts.values())
    row = {
        "setting": f"copies=1, 64 shards, duplicates removed, {_WORKERS} workers",
        "corpus_tokens": tokens,
        "tokens_per_second": tokens / seconds,
        "seconds": seconds,
        "peak_bytes_of_processes": sorted(peaks, reverse=True),
        "disk_bytes": _size_of(build.build),
        "peak_disk_bytes": peak_disk,
    }
    shutil.rmtree(folder)
    return row


def _write_sentences(texts: Path, path: Path) -> Path:
    """Write a file as BooksCorpus is published: a sentence per line, in lower case, no blank lines."""
    if path.exists():
        return path
    partial = path.with_suffix(".part")
    with partial.open("w", encoding="utf-8") as lines:
        for file in sorted(texts.iterdir()):
            for text in read_texts(file).values():
                for paragraph in filter(None, text.lower().split("\n")):
                    for sentence in split_sentences(paragraph, language="en"):
                        lines.write(f"{sentence}\n")
            if lines.tell() >= _SENTENCES_BYTES:
                break
    partial.rename(path)
    return path


def _watch(command: Sequence[str], folder: Path, log_path: Path) -> tuple[list[int], int]:
    """Run a command; return the peak memory of each of its processes, and the peak size of a folder.

    Raises:
      CalledProcessError: the command failed.
    """
    peaks: dict[int, int] = collections.defaultdict(int)
    peak_disk = 0
    with log_path.open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        while process.poll() is None:
            for number in process_tree(process.pid):
                peaks[number] = max(peaks[number], _peak_of(number))
            peak_disk = max(peak_disk, _size_of(folder))
            time.sleep(_SAMPLING_SECONDS)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, list(command))
    # Shells and others that only start a process have a few megabytes.
    return [peak for peak in peaks.values() if peak > 50e6], peak_disk


def _peak_of(process: int) -> int:
    """Return the largest resident set that a process has had, or 0 if it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    sizes = [int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")]
    return sum(sizes)


def _size_of(folder: Path) -> int:
    total = 0
    for directory, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(directory, name)).st_size
            except FileNotFoundError:
                continue  # just renamed or removed
    return total
