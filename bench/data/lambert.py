"""Every stage of Lambert, through the functions that the build and the trainer call."""

from __future__ import annotations

import dataclasses
import itertools
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bench.data import segmenters
from bench.data.cases import BATCH_SIZE, COPIES, PREDICTIONS, SEQ_LENGTH
from bench.data.material import MAX_DOCUMENT_BYTES, build_arguments, write_variations
from bench.data.measure import Stopwatch, peak_memory
from bench.data.workspace import Workspace, write_texts
from data import schema
from data.config import BuildConfig
from data.sources.documents import Document, find_inputs
from data.sources.formats import plan_units, read_part, split_file
from data.text.sentences import split_sentences
from data.vocab import Vocab

# Corpus sizes of the memory measurement, in copies of the sample.
_SMALL, _LARGE = 1, 50
_BATCHES = 32
_BATCH_PARAGRAPHS = 512  # as in data.stages.extract


def packing_config(**settings) -> BuildConfig:
    """Return settings of a build with one shard."""
    return BuildConfig(
        num_shards=1,
        max_seq_length=SEQ_LENGTH,
        max_predictions=PREDICTIONS,
        eval_fraction=0.0,
        **settings,
    )


def extraction(workspace: Workspace, stopwatch: Stopwatch) -> list[dict]:
    """Measure extraction: a dump to clean documents."""

    def read() -> Iterator[Document]:
        for file in find_inputs("wiki", str(workspace.dump)):
            for part in split_file(file):
                for item in read_part(part, max_document_bytes=MAX_DOCUMENT_BYTES):
                    if isinstance(item, Document):
                        yield item

    texts = ((d.id.rpartition("/")[2], "\n".join(d.paragraphs)) for d in read())
    write_texts(workspace.cleaned("lambert"), texts)
    timing = stopwatch.time(lambda: sum(1 for _ in read()))
    rates = timing.rates(megabytes=workspace.dump_bytes / 1e6)
    return [{"what": "dump to text", "setting": "bz2 and XML included, sections dropped", **rates}]


def sentences(workspace: Workspace, stopwatch: Stopwatch) -> list[dict]:
    """Measure sentence splitting, and its errors."""
    return segmenters.measure(split_sentences, workspace, stopwatch)


def packing(workspace: Workspace, stopwatch: Stopwatch) -> list[dict]:
    """Measure packing of clean text: in memory, and through the files of the build."""
    from data.stages.extract import tokenize
    from data.stages.packing import Layout, pack

    config, vocab = packing_config(), Vocab.load(workspace.vocab)
    batches = _batches(workspace)

    def in_memory() -> np.ndarray:
        tokenized = [document for batch in batches for document in tokenize(batch, vocab, config)]
        parts_R = np.cumsum(np.concatenate([document.starts_part for document in tokenized]))
        part_K = np.repeat(parts_R, np.concatenate([d.paragraph_sentences for d in tokenized]))
        return pack(
            np.concatenate([document.tokens for document in tokenized]),
            np.concatenate([document.sentence_lengths for document in tokenized]),
            np.diff(part_K, prepend=-1) != 0,
            Layout.create(config, vocab),
        )

    tokens = workspace.facts["tokens"]
    timing = stopwatch.time(in_memory)
    rows = [{"what": "in memory", "setting": _PACKED, **timing.rates(tokens=tokens)}]
    folder = workspace.scratch("packing")
    documents = str(workspace.documents)
    timing = stopwatch.time(lambda: pack_in_files("jsonl", documents, folder, config, vocab))
    setting = f"{_PACKED}; JSON read, duplicates removed, files of the build written and read"
    rows.append({"what": "through files", "setting": setting, **timing.rates(tokens=tokens)})
    return rows


def _batches(workspace: Workspace) -> list[list[Document]]:
    """Return the documents in batches of about as many paragraphs as a build tokenizes together."""
    (file,) = find_inputs("jsonl", str(workspace.documents))
    batches, num_paragraphs = [[]], 0
    for part in split_file(file):
        for document in read_part(part, max_document_bytes=MAX_DOCUMENT_BYTES):
            if num_paragraphs >= _BATCH_PARAGRAPHS:
                batches.append([])
                num_paragraphs = 0
            batches[-1].append(document)
            num_paragraphs += len(document.paragraphs)
    return batches


_PACKED = f"sentences, tokens, FULL-SENTENCES of {SEQ_LENGTH}"


def pack_in_files(
    kind: str, pattern: str, folder: Path, config: BuildConfig, vocab: Vocab
) -> dict[str, int]:
    """Run the tasks of a build up to the packed shard; return its counts."""
    from data.stages import shards
    from data.stages.contamination import NgramFilter
    from data.stages.extract import UnitExtractor

    output_dir = str(folder)
    units = plan_units(find_inputs(kind, pattern))
    for index, unit in enumerate(units):
        extractor = UnitExtractor(config, vocab, NgramFilter.from_files([]))
        extractor.run(unit, name=str(index), output_dir=output_dir)
    names = [str(index) for index in range(len(units))]
    shards.write_duplicate_documents(output_dir, units=names, config=config)
    shards.write_duplicate_paragraphs(output_dir, 0, units=names, config=config)
    return shards.write_packed_shard(
        output_dir, "train", 0, units=names, config=config, vocab=vocab
    )


def masking(workspace: Workspace, stopwatch: Stopwatch) -> list[dict]:
    """Measure masking of a packed shard, with and without writing TFRecords."""
    from data.stages.masking import MaskingRule, mask_sequences
    from data.stages.shards import write_masked_copy

    config, vocab = packing_config(), Vocab.load(workspace.vocab)
    folder = workspace.scratch("masking")
    target = folder / schema.packed_path("train", 0)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(workspace.build / schema.packed_path("train", 0), target)
    packed_NS = np.load(target)

    def write():
        write_masked_copy(str(folder), "train", 0, 0, config=config, vocab=vocab)

    rule, copies_N = MaskingRule.create(config, vocab), np.zeros(BATCH_SIZE, np.int64)

    def mask():
        for start in range(0, len(packed_NS), BATCH_SIZE):
            tokens = packed_NS[start : start + BATCH_SIZE]
            mask_sequences(tokens, copies_N[: len(tokens)], rule)

    on_disk = stopwatch.time(write).rates(examples=len(packed_NS))
    alone = stopwatch.time(mask).rates(examples=len(packed_NS))
    sizes = f"{SEQ_LENGTH} tokens, {PREDICTIONS} predictions"
    return [
        {"what": "masked TFRecords on disk", "setting": f"{sizes}; packed shard in", **on_disk},
        {"what": "masks alone", "setting": f"{sizes}; batches of {BATCH_SIZE}", **alone},
    ]


def text_to_examples(workspace: Workspace, stopwatch: Stopwatch) -> list[dict]:
    """Measure all tasks of a build, from clean text to masked TFRecords, without a runner."""
    from data.stages.shards import write_masked_copy

    config, vocab = packing_config(copies=COPIES), Vocab.load(workspace.vocab)
    folder = workspace.scratch("text-to-examples")
    documents = str(workspace.documents)
    num_sequences = pack_in_files("jsonl", documents, folder, config, vocab)["records"]

    def build():
        pack_in_files("jsonl", documents, folder, config, vocab)
        for copy in range(COPIES):
            write_masked_copy(str(folder), "train", 0, copy, config=config, vocab=vocab)

    rates = stopwatch.time(build).rates(
        examples=num_sequences * COPIES, megabytes=workspace.facts["text_bytes"] / 1e6
    )
    setting = f"{SEQ_LENGTH} tokens, {COPIES} masked copies; sentences and duplicates found"
    return [{"what": "text to masked TFRecords", "setting": setting, **rates}]


def reading(workspace: Workspace, stopwatch: Stopwatch) -> list[dict]:
    """Measure reading of training batches, with masks on disk and online masks."""
    import tensorflow as tf

    from data.config import InputConfig
    from data.manifest import Manifest
    from data.read.input_pipeline import training_batches
    from data.read.split_reader import SplitReader

    rows = []
    for masks in ("materialised", "online"):
        reader = SplitReader(workspace.build, Manifest.load(workspace.build), "train", masks)
        make = training_batches(
            reader,
            InputConfig(masks=masks),
            seed=1,
            global_batch_size=BATCH_SIZE,
            start_step=0,
        )
        batches = iter(make(tf.distribute.InputContext()))

        def read(batches=batches):
            for _ in itertools.islice(batches, _BATCHES):
                pass

        rates = stopwatch.time(read).rates(sequences=_BATCHES * BATCH_SIZE)
        setting = f"batches of {BATCH_SIZE} in random order, checked, int32"
        rows.append({"what": f"masks {masks}", "setting": setting, **rates})
    return rows


def memory(workspace: Workspace, stopwatch: Stopwatch) -> list[dict]:
    """Measure peak memory of whole builds of two sizes, and its growth per token of text."""
    del stopwatch  # one pass is enough for a peak
    settings = dict(copies=0, num_shards=64, num_eval_shards=1, eval_fraction=0.02)
    rows, peaks, corpus_tokens = [], [], []
    for size in (_SMALL, _LARGE):
        texts = write_variations(workspace, size)
        build = dataclasses.replace(workspace, root=workspace.scratch(f"memory-{size}"))
        shutil.rmtree(build.root)
        build.root.mkdir()
        shutil.copy(workspace.vocab, build.vocab)
        arguments = build_arguments(settings, build, f"{texts}/*.jsonl")
        command = [sys.executable, "-m", "data.build", *map(str, arguments)]
        with open(build.root / "log.txt", "w") as log:
            peak, timing = peak_memory(command, stdout=log, stderr=log)
        tokens = _tokens_of(build.build)
        rows.append(
            {
                "what": f"build of {size} x the sample",
                "setting": "copies=0, 64 shards, duplicates removed, one process",
                "peak_bytes": peak.total,
                "peak_own_bytes": peak.own,
                "corpus_tokens": tokens,
                **timing.rates(tokens=tokens),
            }
        )
        peaks.append(peak)
        corpus_tokens.append(tokens)
        shutil.rmtree(build.build)
    added = corpus_tokens[1] - corpus_tokens[0]
    growth = {
        "peak_bytes_per_token": (peaks[1].total - peaks[0].total) / added,
        "peak_own_bytes_per_token": (peaks[1].own - peaks[0].own) / added,
    }
    setting = f"between {_SMALL} x and {_LARGE} x the sample"
    return [*rows, {"what": "growth", "setting": setting, **growth}]


def _tokens_of(build: Path) -> int:
    """Return the number of tokens that a build read, including those of duplicates."""
    accounts = json.loads((build / schema.MANIFEST_FILE).read_text())["accounts"]
    return sum(counts["tokens_tokenized"] for counts in accounts.values())
