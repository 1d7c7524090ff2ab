"""Publishes a fine-tuned model: a SavedModel from text to answers, with its record and a card."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import shutil
import tempfile
from pathlib import Path

from data import files, schema
from data.errors import UserError
from data.files import sha256_of
from data.vocab import Vocab
from finetune.config import FinetuneRunConfig
from finetune.predict import MODEL
from pretrain.checkpoints.model_dir import DATA_FILE, Run, load_run
from pretrain.export.atomic_directory import RECORD_FILE, atomic_directory

_USE = """```python
import tensorflow as tf
import tensorflow_text  # registers operations

model = tf.saved_model.load("model")
print(model.signatures["serving_default"]({call}))
```"""
_INPUTS = {"spans": ("question", "context"), "tokens": ("text",)}


def export_seed(model_dir: str, output_dir: str) -> None:
    """Exports the best checkpoint of a finished seed; the directory appears whole or not at all.

    An earlier export there is replaced, unless it is this one already. On storage with a scheme such
    as gs:// the files appear one by one, the record last.

    Args:
      model_dir: of the seed.
      output_dir: for `model/`, README.md, the record and checksums.

    Raises:
      UserError: the local directory holds something else, or the checkpoint is damaged.
    """
    from finetune.seed_record import METRICS_FILE
    from pretrain.checkpoints import checkpoint

    run = load_run(model_dir, FinetuneRunConfig)
    data, scores = (
        json.loads(files.read_bytes(files.join(model_dir, name)))
        for name in (DATA_FILE, METRICS_FILE)
    )
    ref = checkpoint.choose(model_dir, str(scores["step"]))
    task = run.config.task
    record = {
        "kind": data["kind"],
        "labels": data["labels"],
        "inputs": inputs_of(data["kind"], has_pair=data["has_pair"]),
        "task": dataclasses.asdict(task),
        "encoder": dataclasses.asdict(run.config.encoder),
        "lower_case": run.lower_case,
        "seed": scores["seed"],
        "step": scores["step"],
        "splits": scores["splits"],
        "checkpoint_sha256": sha256_of(f"{ref.prefix}.index"),
    }
    text, before = json.dumps(record, indent=1), files.join(output_dir, RECORD_FILE)
    if files.exists(before):
        if files.read_bytes(before).decode() == text:
            return
        files.remove_tree(output_dir)
    elif not files.is_remote(output_dir) and files.exists(output_dir):
        raise UserError(f"{output_dir} is no export; move it away, and run the same command again")

    def write(target: Path) -> None:
        with atomic_directory(target, text) as whole:
            _save(whole / MODEL, run, ref, model_dir, record)
            (whole / "README.md").write_text(_card(record, data), encoding="utf-8")

    if not files.is_remote(output_dir):
        write(Path(output_dir))
        return
    with tempfile.TemporaryDirectory() as scratch:
        whole = Path(scratch, "export")
        write(whole)
        paths = [path for path in whole.rglob("*") if path.is_file()]
        for path in sorted(paths, key=lambda path: path.name == RECORD_FILE):
            copy = files.join(output_dir, *path.relative_to(whole).parts)
            with path.open("rb") as file, files.atomic_write(copy) as remote:
                shutil.copyfileobj(file, remote)


def inputs_of(kind: str, *, has_pair: bool) -> list[str]:
    """Names of the inputs of `serving_default`."""
    return list(_INPUTS.get(kind, ("text", "pair") if has_pair else ("text",)))


def _save(path: Path, run: Run, ref, model_dir: str, record: dict) -> None:
    import tensorflow as tf

    from finetune.export.sentences import ServedModel, save
    from finetune.model import Finetuner
    from pretrain.checkpoints import checkpoint

    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # Keras would have models compiled
    config, kind = run.config.encoder, record["kind"]
    num_outputs = len(record["labels"]) or {"regression": 1, "spans": 2}[kind]
    trained = Finetuner(config, kind=kind, num_outputs=num_outputs, seed=0)
    checkpoint.verify(ref)
    checkpoint.read(tf.train.Checkpoint(**trained.checkpoint_items), ref)
    values = {v.name.partition(":")[0]: v.numpy() for v in trained.trainable_variables}
    vocab_file = files.join(model_dir, schema.VOCAB_FILE)
    vocab = Vocab.load(vocab_file)
    save(
        path,
        ServedModel(config, values, vocab=vocab, lower_case=run.lower_case),
        run.config.task,
        kind=kind,
        labels=record["labels"],
        has_pair="pair" in record["inputs"],
        null_threshold=record["splits"]["dev"].get("null_threshold", math.inf),
        vocab_file=vocab_file,
    )


def _card(record: dict, data: dict) -> str:
    """README.md: what it does, how it is called, what it scored."""
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
        f"Fine-tuned by Lambert from {data['encoder']}, seed {record['seed']}, step {record['step']:,}: the"
        " best of its checkpoints, and of the seeds that were run, by the main metric on dev. So the scores"
        " on dev are a little better than what new text will show.\n",
        _USE.format(call=call) + "\n",
        "| split | metric | score | always the same answer |\n|---|---|---|---|",
        "\n".join(rows),
    ]
    return "\n".join(lines) + "\n"


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
