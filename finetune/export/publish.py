"""Export a fine-tuned model: a SavedModel that takes text, its record and a card."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data import files, schema
from data.errors import UserError
from data.files import sha256_of
from data.vocab import Vocab
from finetune.config import FinetuneRunConfig
from finetune.predict import MODEL
from finetune.seed_files import METRICS_FILE, read_scores, read_task_data
from finetune.tasks.task import count_outputs
from pretrain.checkpoints import catalog
from pretrain.checkpoints.model_dir import DATA_FILE, Run, load_run
from pretrain.export.atomic_directory import RECORD_FILE, atomic_directory

if TYPE_CHECKING:
    from pretrain.checkpoints.catalog import CheckpointRef

_USE = """```python
import tensorflow as tf
import tensorflow_text  # registers operations

model = tf.saved_model.load("model")
print(model.signatures["serving_default"]({call}))
```"""


def export_seed(model_dir: str, output_dir: str) -> None:
    """Export the best checkpoint of a finished seed.

    A local directory appears complete or not at all; on remote storage such as gs:// the files are
    written one by one, the record last. An existing export is replaced, unless it has the same record.

    Args:
      model_dir: model directory of the seed.
      output_dir: directory for `model/`, README.md, the record and checksums.

    Raises:
      UserError: the local directory is not an export, or the checkpoint is damaged.
    """
    run = load_run(model_dir, FinetuneRunConfig)
    data, scores = read_task_data(model_dir), read_scores(model_dir)
    if data is None or scores is None:
        missing = DATA_FILE if data is None else METRICS_FILE
        raise UserError(f"{model_dir} has no {missing}; run finetune.run with this seed again")
    ref = catalog.choose(model_dir, str(scores["step"]))
    record = _export_record(run, data, scores, checkpoint_sha256=sha256_of(f"{ref.prefix}.index"))
    text, old_record = json.dumps(record, indent=1), files.join(output_dir, RECORD_FILE)
    if files.exists(old_record):
        if files.read_bytes(old_record).decode() == text:
            return
        files.remove_tree(output_dir)
    elif not files.is_remote(output_dir) and files.exists(output_dir):
        raise UserError(f"{output_dir} is not an export; move it away and run the command again")

    def write(target: Path) -> None:
        with atomic_directory(target, text) as directory:
            _save(directory / MODEL, run, ref, model_dir, record)
            card = _card(record, data, collapse=scores["collapse"])
            (directory / "README.md").write_text(card, encoding="utf-8")

    if not files.is_remote(output_dir):
        write(Path(output_dir))
        return
    with tempfile.TemporaryDirectory() as scratch:
        local = Path(scratch, "export")
        write(local)
        _upload(local, output_dir)


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


def _upload(directory: Path, output_dir: str) -> None:
    """Copy an export to remote storage, the record last."""
    paths = [path for path in directory.rglob("*") if path.is_file()]
    for path in sorted(paths, key=lambda path: path.name == RECORD_FILE):
        target = files.join(output_dir, *path.relative_to(directory).parts)
        with path.open("rb") as local, files.atomic_write(target) as remote:
            shutil.copyfileobj(local, remote)


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
    import tensorflow as tf

    from finetune.export.saved_model import save
    from finetune.export.text_model import TextModel
    from finetune.model import Finetuner
    from pretrain.checkpoints import checkpoint

    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # Keras warns of uncompiled models
    config, kind = run.config.encoder, record["kind"]
    num_outputs = count_outputs(kind, record["labels"])
    trained = Finetuner(config, kind=kind, num_outputs=num_outputs, seed=0)
    catalog.verify(ref)
    checkpoint.read(tf.train.Checkpoint(**trained.checkpoint_items), ref)
    values = {v.name.partition(":")[0]: v.numpy() for v in trained.trainable_variables}
    vocab_file = files.join(model_dir, schema.VOCAB_FILE)
    vocab = Vocab.load(vocab_file)
    save(
        path,
        TextModel(config, values, vocab=vocab, lower_case=run.lower_case),
        run.config.task,
        kind=kind,
        labels=record["labels"],
        has_pair="pair" in record["inputs"],
        null_threshold=record["splits"]["dev"].get("null_threshold", math.inf),
        vocab_file=vocab_file,
    )


def _card(record: dict[str, Any], data: dict[str, Any], *, collapse: dict[str, Any] | None) -> str:
    """Return README.md: how to call the model, its scores, and a warning if it has collapsed."""
    call = ", ".join(f'{name}=tf.constant(["..."])' for name in record["inputs"])
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
        _USE.format(call=call) + "\n",
        "| split | metric | score | always the same answer |\n|---|---|---|---|",
        "\n".join(rows),
    ]
    return "\n".join(lines) + "\n"


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
