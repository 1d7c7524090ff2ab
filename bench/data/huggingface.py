"""Packing and masking with Hugging Face: the steps of run_mlm.py, and its collator."""

from __future__ import annotations

import itertools
import os
import shutil

# The process has one core, and every fork would warn.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import datasets
import numpy as np
import transformers

from bench.data.cases import BATCH_SIZE, SEQ_LENGTH
from bench.data.measure import Stopwatch
from bench.data.workspace import Workspace


def _tokenizer(workspace: Workspace):
    tokenizer = transformers.BertTokenizerFast(
        vocab=str(workspace.vocab), model_max_length=10**9, do_lower_case=True
    )
    assert tokenizer.is_fast
    return tokenizer


def _packed(workspace: Workspace) -> datasets.Dataset:
    """Tokenize every line, concatenate all lines and cut them every S tokens, as run_mlm.py does."""
    tokenizer = _tokenizer(workspace)

    def tokenize(examples):
        return tokenizer(examples["text"], return_special_tokens_mask=True)

    def group_texts(examples):
        joined = {name: list(itertools.chain(*values)) for name, values in examples.items()}
        length = len(joined["input_ids"]) // SEQ_LENGTH * SEQ_LENGTH
        return {
            name: [values[start : start + SEQ_LENGTH] for start in range(0, length, SEQ_LENGTH)]
            for name, values in joined.items()
        }

    cache = workspace.scratch("huggingface")
    shutil.rmtree(cache)  # otherwise a second pass reads the results of the first
    text = datasets.load_dataset(
        "text", data_files={"train": str(workspace.paragraphs)}, cache_dir=str(cache)
    )["train"]
    tokens = text.map(tokenize, batched=True, remove_columns=["text"], load_from_cache_file=False)
    return tokens.map(group_texts, batched=True, load_from_cache_file=False)


def packing(workspace: Workspace, stopwatch: Stopwatch) -> list[dict]:
    """Measure packing: clean text to sequences of S tokens."""
    datasets.disable_progress_bars()
    timing = stopwatch.time(lambda: _packed(workspace))
    return [
        {
            "what": "map(tokenize) and group_texts",
            "setting": f"as run_mlm.py, blocks of {SEQ_LENGTH}, Arrow files written; no sentences",
            **timing.rates(tokens=workspace.facts["tokens"]),
        }
    ]


def masking(workspace: Workspace, stopwatch: Stopwatch) -> list[dict]:
    """Measure masking without serialization or files."""
    datasets.disable_progress_bars()
    collator = transformers.DataCollatorForLanguageModeling(
        _tokenizer(workspace), mlm_probability=0.15, return_tensors="np"
    )
    examples = list(_packed(workspace).select_columns(["input_ids", "special_tokens_mask"]))
    batches = [examples[i : i + BATCH_SIZE] for i in range(0, len(examples), BATCH_SIZE)]
    assert np.shape(collator(batches[0])["input_ids"])[1] == SEQ_LENGTH
    timing = stopwatch.time(lambda: [collator(batch) for batch in batches])
    return [
        {
            "what": "masks alone",
            "setting": f"DataCollatorForLanguageModeling, numpy, batches of {BATCH_SIZE}",
            **timing.rates(examples=len(examples)),
        }
    ]
