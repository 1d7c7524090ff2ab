"""Answers for new text, from a fine-tuned model.

    python -m finetune.predict --model_dir M --input new.tsv --output answers.jsonl

M is what finetune.run made, or an export of it. The input has the columns of the task's own files (.tsv,
.csv, .jsonl; for SQuAD its .json), or is plain text, one a line (.txt). The output has one line of JSON
for each text or question, in the order of the input.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from tqdm import tqdm

from data import files
from data.errors import UserError, run_main
from data.files import read_lines, require_local
from finetune.tasks import glue, tables
from finetune.tasks.squad import read_squad
from pretrain.export.atomic_directory import RECORD_FILE
from pretrain.export.load import load_saved_model

MODEL = "model"  # the SavedModel inside an export


class Predictor:
    """An export of a fine-tuned model; needs TensorFlow only, not the model's code.

    Attributes:
      record: what it is: kind, labels, task and inputs.
    """

    def __init__(self, model_dir: str):
        """Loads it.

        Args:
          model_dir: an export, or a directory that has one as `export`.

        Raises:
          UserError: it is neither, or damaged.
        """
        import tensorflow_text  # noqa: F401  registers operations

        found = [path for path in (Path(model_dir), Path(model_dir, "export")) if _is_export(path)]
        if not found:
            raise UserError(
                f"{model_dir} is no fine-tuned model: there is no {MODEL}/saved_model.pb with"
                f" {RECORD_FILE} in it or in {model_dir}/export; make one with `python -m finetune.run`"
            )
        self.record = _read_record(found[0] / RECORD_FILE)
        self._model = load_saved_model(found[0] / MODEL)  # the signature lives as long as it does
        self._serve = self._model.signatures["serving_default"]

    def predict(self, columns: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
        """Outputs for a batch.

        Args:
          columns: one list of strings for each input of the model (see finetune/export/sentences.py).

        Returns:
          For each row, the outputs by name, as numbers and strings of JSON.
        """
        import tensorflow as tf

        inputs = zip(self.record["inputs"], columns, strict=True)
        outputs = self._serve(**{name: tf.constant(texts) for name, texts in inputs})
        arrays = {name: tensor.numpy() for name, tensor in outputs.items()}
        return [
            {name: _as_json(values[row]) for name, values in sorted(arrays.items())}
            for row in range(len(columns[0]))
        ]


def _is_export(path: Path) -> bool:
    return (path / RECORD_FILE).is_file() and (path / MODEL / "saved_model.pb").is_file()


def _read_record(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(
            f"{path} is damaged: {error}; delete the export and run `python -m finetune.run` again"
        ) from error


def _as_json(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return [_as_json(item) for item in value]
    return value.decode() if isinstance(value, bytes) else value.item()


def read_input(path: str, record: dict) -> tuple[list[list[str]], list[dict]]:
    """Reads a file.

    Args:
      path: of the file.
      record: of the export.

    Returns:
      A list of strings for each input of the model, and what the output shall say of each row.

    Raises:
      UserError: the file is not of a kind that fits the task, or damaged.
    """
    inputs, task, suffix = record["inputs"], record["task"], PurePath(path).suffix
    if suffix == ".txt":
        if len(inputs) > 1:
            raise UserError(
                f"--input {path}: the model takes {' and '.join(inputs)}, a line of text has one; give a"
                " .jsonl, .tsv or .csv file"
            )
        lines = read_lines(path)
        return [lines], [{"text": line} for line in lines]
    if record["kind"] == "spans" and suffix == ".json":
        content = read_squad(path, has_unanswerable=True)
        questions = [question.text for question in content.questions]
        contexts = [content.contexts[question.context] for question in content.questions]
        return [questions, contexts], [{"id": question.id} for question in content.questions]
    if record["kind"] == "tokens":
        return _read_words(path, task)
    names = inputs if record["kind"] == "spans" else _text_columns(task)
    table = tables.read_table(path, columns=names, keep_all=True)
    for row in table.rows:
        for name in names:
            if not isinstance(row.cells[name], str):
                raise UserError(f"{table.where(row)}: {name!r} is {row.cells[name]!r}, not text")
    columns = [[row.cells[name] for row in table.rows] for name in names]
    return columns, [{name: row.cells[name] for name in names} for row in table.rows]


def _text_columns(task: dict) -> list[str]:
    known = glue.GLUE.get(task["task"])
    names = (known.text, known.pair) if known else (task["text_column"], task["pair_column"])
    return [name for name in names if name]


def _read_words(path: str, task: dict) -> tuple[list[list[str]], list[dict]]:
    """Words of sentences, put together with blanks."""
    if path.endswith(".conll"):
        table, name = tables.read_conll(path), "words"
    else:
        name = task["text_column"]
        table = tables.read_table(path, columns=[name], keep_all=True)
    for row in table.rows:
        words = row.cells[name]
        if not isinstance(words, list) or any(word.split() != [word] for word in map(str, words)):
            raise UserError(f"{table.where(row)}: {name!r} must be a list of words without blanks")
    sentences = [row.cells[name] for row in table.rows]
    return [[" ".join(words) for words in sentences]], [{"words": words} for words in sentences]


def answers(
    predictor: Predictor, columns: list[list[str]], rows: list[dict], *, batch_size: int
) -> Iterator[dict]:
    """What the output file says of each row, in order."""
    # Texts of about the same length go together: padding costs as much as text.
    lengths = np.sum([[len(text) for text in column] for column in columns], axis=0)
    order = np.argsort(lengths, kind="stable")[::-1]
    found: dict[int, dict] = {}
    with tqdm(total=len(order), unit="row", disable=None) as bar:
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size].tolist()
            outputs = predictor.predict([[column[i] for i in batch] for column in columns])
            found |= dict(zip(batch, outputs, strict=True))
            bar.update(len(batch))
    labels = predictor.record["labels"]
    for number, row in enumerate(rows):
        output = found[number]
        if "probabilities" in output:
            output["probabilities"] = dict(zip(labels, output["probabilities"], strict=True))
        if "labels" in output:  # of a batch, as many as its longest text has words
            words = row["words"] if "words" in row else row["text"].split()
            output["labels"] = output["labels"][: len(words)]
        yield {**row, **output}


def main(argv: Sequence[str]) -> None:
    """Parses the command line and predicts."""
    parser = argparse.ArgumentParser(
        prog="python -m finetune.predict",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--model_dir", required=True, help="made by finetune.run, or its export")
    parser.add_argument("--input", required=True, help="texts or questions")
    parser.add_argument("--output", required=True, help="a new file of JSON lines")
    parser.add_argument("--batch_size", type=int, default=32)
    args = parser.parse_args(argv)
    if args.batch_size < 1:
        raise UserError(f"--batch_size {args.batch_size}: must be at least 1")
    for name in ("model_dir", "input", "output"):
        require_local(f"--{name}", getattr(args, name))
    if os.path.exists(args.output):
        raise UserError(f"--output {args.output} exists; delete it or choose another name")
    predictor = Predictor(args.model_dir)
    columns, rows = read_input(args.input, predictor.record)
    # Opened before the work, which is not to be lost for want of a place.
    with files.atomic_write(args.output) as file:
        for answer in answers(predictor, columns, rows, batch_size=args.batch_size):
            file.write(f"{json.dumps(answer, ensure_ascii=False)}\n".encode())
    print(f"predict: {len(rows):,} answers in {args.output}")


if __name__ == "__main__":
    run_main(main)
