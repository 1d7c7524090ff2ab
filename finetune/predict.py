"""Predict answers for new text with a fine-tuned model.

    python -m finetune.predict --model_dir M --input new.tsv --output answers.jsonl

M is a model directory of finetune.run, or an export. The input has the columns of the task's files (.tsv,
.csv, .jsonl; .conll for words; each may end with .gz; .json for SQuAD), or one plain text on each line
(.txt). The output has one line of JSON, or one row (.csv, .tsv), for each text or question, in the order
of the input, with the columns id, index, idx and guid of the input.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from tqdm import tqdm

from data import files
from data.checked_json import read_json
from data.cli.main import run_main
from data.cli.parser import CommandParser
from data.errors import UserError
from data.files import read_lines
from finetune.config import KINDS, table_suffix
from finetune.tasks import glue, tables
from finetune.tasks.squad import read_squad
from pretrain.export.atomic_directory import RECORD_FILE
from pretrain.export.load import load_saved_model, local_copy

MODEL = "model"  # the SavedModel inside an export
# What separates words in the input of a model for tokens (finetune/export/tokens.py), and what does not.
_BLANKS = re.compile(r"[ \t\n\v\f\r]+")
# Columns that identify rows, which are repeated in the output.
_ID_COLUMNS = ("id", "index", "idx", "guid")
_NO_BREAK_SPACE, _INVISIBLE = "\u00a0", "\u200b"


class Predictor:
    """An exported fine-tuned model; loading it needs TensorFlow only, not the model's code.

    Attributes:
      record: content of export.json: kind, labels, task, inputs and more.
    """

    def __init__(self, model_dir: str):
        """Load the model.

        Args:
          model_dir: an export, or a directory with an export as `export`.

        Raises:
          UserError: there is no export, or it is damaged.
        """
        import tensorflow_text  # noqa: F401  registers operations

        paths = [path for path in (Path(model_dir), Path(model_dir, "export")) if _is_export(path)]
        if not paths:
            raise UserError(
                f"{model_dir} is not a fine-tuned model: neither it nor {model_dir}/export has"
                f" {RECORD_FILE} and {MODEL}/saved_model.pb; run `python -m finetune.run`"
            )
        self.record = _read_record(paths[0] / RECORD_FILE)
        self._model = load_saved_model(paths[0] / MODEL)  # kept: its signatures depend on it
        self._serve = self._model.signatures["serving_default"]

    def predict(self, columns: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
        """Return the outputs for a batch.

        Args:
          columns: one list of strings for each input of the model (finetune/export/saved_model.py).

        Returns:
          Outputs by name for each row, as values for JSON.
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


def _read_record(path: Path) -> dict[str, Any]:
    """Return the record of an export after checking the fields that predictions use."""
    remedy = "delete the export and run `python -m finetune.run` again"
    record = read_json(path, remedy=remedy)
    record.text("kind", choices=KINDS)
    record.texts("inputs")
    record.require("labels")
    record.texts("labels", default=None)
    task = record.mapping("task")
    for name in ("task", "text_column", "pair_column"):
        task.text(name)
    return record.fields


def _as_json(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return [_as_json(item) for item in value]
    return value.decode() if isinstance(value, bytes) else value.item()


def read_input(path: str, record: dict[str, Any]) -> tuple[list[list[str]], list[dict[str, Any]]]:
    """Read an input file.

    Args:
      path: input file.
      record: record of the export.

    Returns:
      (columns, rows): one list of strings for each input of the model, and the fields of each row to
      repeat in the output.

    Raises:
      UserError: the format does not fit the task, or the file is invalid.
    """
    inputs, task, suffix = record["inputs"], record["task"], table_suffix(path)
    if suffix == ".txt":
        if len(inputs) > 1:
            raise UserError(
                f"--input {path}: the model takes {' and '.join(inputs)}, and a line of text is only one"
                " of them; use a .jsonl, .tsv or .csv file"
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
    table = tables.read_table(path, columns=names, optional=_ID_COLUMNS, keep_all=True)
    for row in table.rows:
        for name in names:
            if not isinstance(row.cells[name], str):
                raise UserError(f"{table.where(row)}: {name!r} is {row.cells[name]!r}, not text")
    columns = [[row.cells[name] for row in table.rows] for name in names]
    return columns, [{**_ids_of(table, row), **_cells(row, names)} for row in table.rows]


def _ids_of(table: tables.Table, row: tables.Row) -> dict[str, Any]:
    """Return the columns that identify a row, as far as there are any."""
    return _cells(row, [name for name in _ID_COLUMNS if name in table.columns])


def _cells(row: tables.Row, names: Sequence[str]) -> dict[str, Any]:
    return {name: row.cells[name] for name in names}


def _text_columns(task: dict[str, Any]) -> list[str]:
    known = glue.GLUE.get(task["task"])
    names = (known.text, known.pair) if known else (task["text_column"], task["pair_column"])
    return [name for name in names if name]


def _read_words(path: str, task: dict[str, Any]) -> tuple[list[list[str]], list[dict[str, Any]]]:
    """Read sentences of words; the input of the model is the words joined by spaces.

    White space within a word becomes one that does not separate words there, and an empty word an
    invisible one: their pieces are those of training.
    """
    if table_suffix(path) == ".conll":
        table, name = tables.read_conll(path), "words"
    else:
        name = task["text_column"]
        table = tables.read_table(path, columns=[name], optional=_ID_COLUMNS, keep_all=True)
    for row in table.rows:
        words = row.cells[name]
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise UserError(f"{table.where(row)}: {name!r} must be a list of words")
    sentences = [row.cells[name] for row in table.rows]
    texts = [
        " ".join(_BLANKS.sub(_NO_BREAK_SPACE, word) or _INVISIBLE for word in words)
        for words in sentences
    ]
    return [texts], [
        {**_ids_of(table, row), "words": words}
        for row, words in zip(table.rows, sentences, strict=True)
    ]


def predict_rows(
    predictor: Predictor, columns: list[list[str]], rows: list[dict[str, Any]], *, batch_size: int
) -> Iterator[dict[str, Any]]:
    """Yield each row with its outputs, in order."""
    # Batches of texts of similar length need little padding, which costs as much as text.
    lengths = np.sum([[len(text) for text in column] for column in columns], axis=0)
    order = np.argsort(lengths, kind="stable")[::-1]
    outputs: dict[int, dict[str, Any]] = {}
    with tqdm(total=len(order), unit="row", disable=None) as bar:
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size].tolist()
            batch_outputs = predictor.predict([[column[i] for i in batch] for column in columns])
            outputs |= dict(zip(batch, batch_outputs, strict=True))
            bar.update(len(batch))
    labels = predictor.record["labels"]
    for number, row in enumerate(rows):
        output = outputs[number]
        if "probabilities" in output:
            output["probabilities"] = dict(zip(labels, output["probabilities"], strict=True))
        if "labels" in output:  # padded to the longest text of the batch
            words = (
                row["words"] if "words" in row else list(filter(None, _BLANKS.split(row["text"])))
            )
            output["labels"] = output["labels"][: len(words)]
        yield {**row, **output}


def format_rows(rows: Iterable[dict[str, Any]], suffix: str) -> Iterator[str]:
    """Yield the lines of an output file.

    Args:
      rows: rows with the same names.
      suffix: ".csv" or ".tsv" for a table whose first line has the names, with one column for each
        probability, and lists as JSON; any other for JSON lines. In .tsv, which has no quoting, tabs and
        line ends within text become spaces.
    """
    if suffix not in (".csv", ".tsv"):
        yield from (f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
        return
    for number, row in enumerate(map(_flat, rows)):
        if number == 0:
            yield _table_line(list(row), suffix)
        yield _table_line(list(row.values()), suffix)


def _flat(row: dict[str, Any]) -> dict[str, str]:
    """Return a row as text, with a column for each entry of a dictionary."""
    flat = {}
    for name, value in row.items():
        entries = value if isinstance(value, dict) else {"": value}
        for key, entry in entries.items():
            text = entry if isinstance(entry, str) else json.dumps(entry, ensure_ascii=False)
            flat[f"{name}.{key}" if key else name] = text
    return flat


def _table_line(cells: Sequence[str], suffix: str) -> str:
    if suffix == ".tsv":
        return "\t".join(re.sub(r"[\t\r\n]", " ", cell) for cell in cells) + "\n"
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def _export_in_bucket(model_dir: str) -> str:
    """Return the folder of the export in a model directory; without checkpoints, it is small to copy."""
    export_dir = files.join(model_dir, "export")
    has_export = files.is_remote(model_dir) and files.exists(files.join(export_dir, RECORD_FILE))
    return export_dir if has_export else model_dir


def main(argv: Sequence[str]) -> None:
    """Parse the command line and predict."""
    parser = CommandParser(
        prog="python -m finetune.predict",
        description=__doc__,
    )
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument(
        "--model_dir", metavar="M", help="model directory of finetune.run (default: give --export)"
    )
    model.add_argument(
        "--export",
        metavar="E",
        dest="model_dir",
        help="export of finetune.run, such as M/export (default: that of --model_dir)",
    )
    parser.add_argument("--input", required=True, help="file of texts or questions")
    parser.add_argument(
        "--output", required=True, help="file to create: .csv, .tsv, else JSON lines"
    )
    parser.add_argument(
        "--batch_size", type=int, default=32, metavar="N", help="texts computed together"
    )
    args = parser.parse_args(argv)
    if args.batch_size < 1:
        raise UserError(f"--batch_size {args.batch_size}: must be at least 1")
    if files.exists(args.output):
        raise UserError(f"--output {args.output} exists; delete it or choose another name")
    with local_copy("--model_dir", _export_in_bucket(args.model_dir)) as model_dir:
        predictor = Predictor(model_dir)
    with local_copy("--input", args.input) as path:
        columns, rows = read_input(path, predictor.record)
    # Opened first, so that an unwritable path fails before the predictions are made.
    with files.atomic_write(args.output) as file:
        answers = predict_rows(predictor, columns, rows, batch_size=args.batch_size)
        for line in format_rows(answers, PurePath(args.output).suffix):
            file.write(line.encode())
    print(f"predict: {len(rows):,} answers in {args.output}")


if __name__ == "__main__":
    run_main(main)
