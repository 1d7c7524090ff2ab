"""Errors of predictions for new text; tests/finetune/test_run.py has the predictions."""

import json

import pytest
import tensorflow as tf

from data import files
from data.errors import UserError
from finetune import predict
from finetune.predict import format_rows, read_input
from tests.support.jobs import upload


def test_unusable_models_and_input_are_errors(finetuned, tmp_path, monkeypatch):
    model_dir = finetuned.model_dir
    flags = [f"--output={tmp_path}/o", f"--input={tmp_path}/i.txt"]
    with pytest.raises(UserError, match=r"is not a fine-tuned model: .* and model/saved_model\.pb"):
        predict.main([f"--model_dir={tmp_path}", *flags])
    (tmp_path / "o").touch()
    with pytest.raises(UserError, match="/o exists; delete it or choose another name"):
        predict.main([f"--model_dir={model_dir}", *flags])

    (tmp_path / "broken/model").mkdir(parents=True)
    (tmp_path / "broken/model/saved_model.pb").touch()
    (tmp_path / "broken/export.json").write_text("{")
    with pytest.raises(UserError, match=r"export\.json is damaged: .*; delete the export and run"):
        predict.main([f"--model_dir={tmp_path}/broken", flags[1], f"--output={tmp_path}/new"])

    for content in ("[]", "{}", "null", "1" * 5000, "[" * 100_000, '{"kind": 3}'):
        (tmp_path / "broken/export.json").write_text(content)
        with pytest.raises(
            UserError, match=r"export\.json is damaged: .*; delete the export and run"
        ):
            predict.main([f"--model_dir={tmp_path}/broken", flags[1], f"--output={tmp_path}/new"])

    record = json.loads((model_dir / "export/export.json").read_text())
    without = {name: value for name, value in record.items() if name != "labels"}
    (tmp_path / "broken/export.json").write_text(json.dumps(without))
    with pytest.raises(UserError, match=r"export\.json is damaged: labels is missing; delete"):
        predict.main([f"--model_dir={tmp_path}/broken", flags[1], f"--output={tmp_path}/new"])
    assert record["inputs"] == ["text"]
    pairs = {**record, "inputs": ["text", "pair"]}
    (tmp_path / "i.txt").write_text("one text\n")
    with pytest.raises(UserError, match=r"i\.txt: the model takes text and pair, and a line"):
        read_input(str(tmp_path / "i.txt"), pairs)
    # With a single column, empty lines are rows.
    (tmp_path / "i.tsv").write_text("text\n\none text\n\n\n")
    assert read_input(str(tmp_path / "i.tsv"), record)[0] == [["", "one text", "", ""]]
    (tmp_path / "i.csv").write_text("words\nhello\n")
    with pytest.raises(UserError, match=r"i\.csv.*text"):
        read_input(str(tmp_path / "i.csv"), record)
    (tmp_path / "i.jsonl").write_text('{"text": 3}\n')
    with pytest.raises(UserError, match="line 1: 'text' is 3, not text"):
        read_input(str(tmp_path / "i.jsonl"), record)
    monkeypatch.setattr(files, "MAX_TEXT_BYTES", 2**20)
    for name in ("zero.txt", "zero.tsv", "zero.csv", "zero.jsonl"):
        (tmp_path / name).symlink_to("/dev/zero")
        with pytest.raises(
            UserError, match=rf"{name} (has more than 1,048,576 bytes|is a pipe or a device)"
        ):
            read_input(str(tmp_path / name), record)
    (tmp_path / "i.jsonl").write_text('{"text": ["New", 3]}\n')
    with pytest.raises(UserError, match="line 1: 'text' must be a list of words"):
        read_input(str(tmp_path / "i.jsonl"), {**record, "kind": "tokens"})


def test_model_input_and_output_in_a_bucket(finetuned, tmp_path):
    remote = f"ram://{tmp_path.name}"
    upload(finetuned.model_dir / "export", f"{remote}/m/export")
    upload(finetuned.task, f"{remote}/task")
    predict.main(
        [
            *(f"--model_dir={remote}/m", f"--input={remote}/task/dev.jsonl"),
            f"--output={remote}/answers.csv",
        ]
    )
    local = tmp_path / "answers.csv"
    argv = [f"--export={finetuned.model_dir}/export", f"--input={finetuned.task}/dev.jsonl"]
    predict.main([*argv, f"--output={local}"])
    assert files.read_bytes(f"{remote}/answers.csv") == local.read_bytes()


def test_columns_that_identify_rows_are_repeated(tmp_path):
    record = {
        "inputs": ["text"],
        "kind": "classification",
        "task": {"task": "", "text_column": "t", "pair_column": ""},
    }
    (tmp_path / "i.csv").write_text("guid,t,other,id\ng1,one,x,7\n")
    assert read_input(str(tmp_path / "i.csv"), record) == (
        [["one"]],
        [{"id": "7", "guid": "g1", "t": "one"}],
    )


def test_rows_as_tables():
    rows = [
        {
            "id": "7",
            "text": 'a\t"b",\nc',
            "label": "yes",
            "probabilities": {"no": 0.25, "yes": 0.75},
        },
        {"id": "8", "text": "d", "label": "no", "probabilities": {"no": 0.5, "yes": 0.5}},
    ]
    assert "".join(format_rows(rows, ".csv")) == (
        "id,text,label,probabilities.no,probabilities.yes\n"
        '7,"a\t""b"",\nc",yes,0.25,0.75\n8,d,no,0.5,0.5\n'
    )
    assert "".join(format_rows(rows, ".tsv")) == (
        "id\ttext\tlabel\tprobabilities.no\tprobabilities.yes\n"
        '7\ta "b", c\tyes\t0.25\t0.75\n8\td\tno\t0.5\t0.5\n'
    )
    assert list(format_rows([{"words": ["a"], "score": 1.5}], ".jsonl")) == [
        '{"words": ["a"], "score": 1.5}\n'
    ]


def test_words_with_white_space_stay_one_word_for_the_model(tmp_path):
    words = ["New York", "10\u00a0000", "\u3000", "", "end"]
    record = {"inputs": ["text"], "kind": "tokens", "task": {"text_column": "text"}}
    (tmp_path / "i.jsonl").write_text(json.dumps({"text": words}) + "\n")
    ((text,),), rows = read_input(str(tmp_path / "i.jsonl"), record)
    assert rows == [{"words": words}]
    assert text == "New\u00a0York 10\u00a0000 \u3000 \u200b end"
    assert tf.strings.split([text]).row_lengths().numpy().tolist() == [5]
