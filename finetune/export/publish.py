"""Export a fine-tuned model: a SavedModel that takes text, its record and a card."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data import files, schema
from data.errors import UserError
from data.files import sha256_of
from data.vocab import Vocab
from finetune.config import FinetuneRunConfig, for_every_kind
from finetune.predict import MODEL
from finetune.seed_files import METRICS_FILE, read_scores, read_task_data
from finetune.tasks.task import count_outputs
from pretrain.checkpoints import catalog
from pretrain.checkpoints.model_dir import DATA_FILE, Run, load_run
from pretrain.export.atomic_directory import RECORD_FILE, atomic_directory, is_unfinished

if TYPE_CHECKING:
    import numpy as np

    from pretrain.checkpoints.catalog import CheckpointRef

_USE = """```python
import tensorflow as tf
import tensorflow_text  # registers operations

model = tf.saved_model.load("model")
print(model.signatures["serving_default"]({call}))
```"""


_PIPELINE = """```python
from transformers import pipeline

model = pipeline("{task}", model="DIRECTORY")
```"""
_HUGGINGFACE_USE = for_every_kind(
    "finetune.export.publish._HUGGINGFACE_USE",
    {
        "classification": _PIPELINE.format(task="text-classification"),
        "regression": _PIPELINE.format(task="text-classification")
        + '\n\nCall it with `function_to_apply="none"`: the score is the number.',
        "tokens": _PIPELINE.format(task="token-classification"),
        "spans": _PIPELINE.format(task="question-answering"),
    },
)


def check_huggingface_dir(path: str) -> None:
    """Raise a UserError unless a directory is new, empty, or an export that may be replaced."""
    if files.exists(files.join(path, RECORD_FILE)) or is_unfinished(path):
        return
    if files.list_dir(path):
        raise UserError(f"--hf_dir {path} is not an export; choose another one or move it away")


def export_huggingface(model_dir: str, output_dir: str) -> None:
    """Export the best checkpoint of a finished seed in Hugging Face's format, atomically.

    An existing export is replaced, unless it has the same record.

    Args:
      model_dir: model directory of the seed.
      output_dir: directory for the model, README.md, the record and checksums.

    Raises:
      UserError: the directory is not an export, or the checkpoint is damaged.
    """
    run, data, scores, ref, record = _read_seed(model_dir)
    text, old_record = json.dumps(record, indent=1), files.join(output_dir, RECORD_FILE)
    check_huggingface_dir(output_dir)
    if files.exists(old_record) and not is_unfinished(output_dir):
        if files.read_bytes(old_record).decode() == text:
            return
        files.remove_tree(output_dir)
    from finetune.export.huggingface import write_finetuned

    with atomic_directory(output_dir, text) as directory:
        write_finetuned(
            directory,
            _trained_values(run, ref, record),
            run.config.encoder,
            kind=record["kind"],
            labels=record["labels"],
            vocab=Vocab.load(files.join(model_dir, schema.VOCAB_FILE)),
            lower_case=run.lower_case,
        )
        card = _card(
            record, data, collapse=scores["collapse"], use=_HUGGINGFACE_USE[record["kind"]]
        )
        (directory / "README.md").write_text(card, encoding="utf-8")


def export_seed(model_dir: str, output_dir: str) -> None:
    """Export the best checkpoint of a finished seed.

    An existing export is replaced, unless it has the same record.

    Args:
      model_dir: model directory of the seed.
      output_dir: directory for `model/`, README.md, the record and checksums.

    Raises:
      UserError: the local directory is not an export, or the checkpoint is damaged.
    """
    run, data, scores, ref, record = _read_seed(model_dir)
    text, old_record = json.dumps(record, indent=1), files.join(output_dir, RECORD_FILE)
    if files.exists(old_record) and not is_unfinished(output_dir):
        if files.read_bytes(old_record).decode() == text:
            return
        files.remove_tree(output_dir)
    elif not files.is_remote(output_dir) and files.exists(output_dir):
        raise UserError(f"{output_dir} is not an export; move it away and run the command again")
    with atomic_directory(output_dir, text) as directory:
        _save(directory / MODEL, run, ref, model_dir, record)
        call = ", ".join(f'{name}=tf.constant(["..."])' for name in record["inputs"])
        card = _card(record, data, collapse=scores["collapse"], use=_USE.format(call=call))
        (directory / "README.md").write_text(card, encoding="utf-8")


def _read_seed(
    model_dir: str,
) -> tuple[Run, dict[str, Any], dict[str, Any], CheckpointRef, dict[str, Any]]:
    """Return run, data, scores, best checkpoint and record of the export of a finished seed."""
    run = load_run(model_dir, FinetuneRunConfig)
    data, scores = read_task_data(model_dir), read_scores(model_dir)
    if data is None or scores is None:
        missing = DATA_FILE if data is None else METRICS_FILE
        raise UserError(f"{model_dir} has no {missing}; run finetune.run with this seed again")
    ref = catalog.choose(model_dir, str(scores["step"]))
    record = _export_record(run, data, scores, checkpoint_sha256=sha256_of(f"{ref.prefix}.index"))
    return run, data, scores, ref, record


def _export_record(
    run: Run, data: dict[str, Any], scores: dict[str, Any], *, checkpoint_sha256: str
) -> dict[str, Any]:
    return {
        "kind": data["kind"],
        "labels": data["labels"],
        "inputs": inputs_of(data["kind"], has_pair=data["has_pair"]),
        "task": dataclasses.asdict(run.config.task),
        "encoder": dataclasses.asdict(run.config.encoder),
        "lower_case": run.lower_case,
        "seed": scores["seed"],
        "step": scores["step"],
        "splits": scores["splits"],
        "checkpoint_sha256": checkpoint_sha256,
    }


def inputs_of(kind: str, *, has_pair: bool) -> list[str]:
    """Return the names of the inputs of `serving_default`."""
    match kind:
        case "classification" | "regression":
            return ["text", "pair"] if has_pair else ["text"]
        case "tokens":
            return ["text"]
        case "spans":
            return ["question", "context"]
        case _:
            raise ValueError(f"no serving inputs for tasks of kind {kind!r}")


def _save(path: Path, run: Run, ref: CheckpointRef, model_dir: str, record: dict[str, Any]) -> None:
    from finetune.export.saved_model import save
    from finetune.export.text_model import TextModel

    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # Keras warns of uncompiled models
    values = _trained_values(run, ref, record)
    vocab_file = files.join(model_dir, schema.VOCAB_FILE)
    vocab = Vocab.load(vocab_file)
    save(
        path,
        TextModel(run.config.encoder, values, vocab=vocab, lower_case=run.lower_case),
        run.config.task,
        kind=record["kind"],
        labels=record["labels"],
        has_pair="pair" in record["inputs"],
        null_threshold=record["splits"]["dev"].get("null_threshold", math.inf),
        vocab_file=vocab_file,
    )


def _trained_values(run: Run, ref: CheckpointRef, record: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return the weights of a checkpoint by name."""
    import tensorflow as tf

    from finetune.model import Finetuner
    from pretrain.checkpoints import checkpoint

    kind, num_outputs = record["kind"], count_outputs(record["kind"], record["labels"])
    trained = Finetuner(run.config.encoder, kind=kind, num_outputs=num_outputs, seed=0)
    catalog.verify(ref)
    checkpoint.read(tf.train.Checkpoint(**trained.checkpoint_items), ref)
    return {v.name.partition(":")[0]: v.numpy() for v in trained.trainable_variables}


def _card(
    record: dict[str, Any], data: dict[str, Any], *, collapse: dict[str, Any] | None, use: str
) -> str:
    """Return README.md: how to use the model, its scores, and a warning if it has collapsed."""
    baseline = data["baseline"]
    rows = [
        f"| {split} | {name} | {value:.4f} | {_cell(baseline.get(split, {}).get(name))} |"
        for split, scores in record["splits"].items()
        for name, value in scores.items()
    ]
    lines = [
        f"# Fine-tuned: {data['task']}\n",
        *([f"Labels: {', '.join(record['labels'])}.\n"] if record["labels"] else []),
        f"Fine-tuned by Lambert from {data['encoder']}: seed {record['seed']}, step {record['step']:,},"
        " the seed and the checkpoint with the best main metric on dev. Expect slightly lower scores than"
        " those on dev for new text.\n",
        *(
            [f"**Warning: this model has learned nothing**: {collapse['reason']}.\n"]
            if collapse
            else []
        ),
        use + "\n",
        "| split | metric | score | always the same answer |\n|---|---|---|---|",
        "\n".join(rows),
    ]
    return "\n".join(lines) + "\n"


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
