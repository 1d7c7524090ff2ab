"""Errors of fine-tuning, each in one line, and the weights it starts from."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from data.errors import UserError
from data.vocab import Vocab
from finetune import predict, run
from finetune.config import FinetuneRunConfig
from finetune.export.publish import export_seed
from finetune.predict import read_input
from finetune.recipe import resolve, starting_weights
from finetune.source import read_source
from model.names import weights
from pretrain.checkpoints.model_dir import load_run
from pretrain.config import RunConfig
from pretrain.gin_files import load_run_config
from tests.support.finetuning import OWN, arguments, write_rows

KIND = "TaskConfig.kind = 'classification'"
STEPS = "TrainConfig.train_steps = 60"


@pytest.fixture(scope="module")
def task(finetuned) -> Path:
    return finetuned.task


@pytest.fixture(scope="module")
def trained(finetuned) -> Path:
    return finetuned.model_dir


def fails(argv, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        run.main(argv)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            ["FinetuneConfig.epochs = 2.0"],
            "train_steps=60 is set, but is derived from FinetuneConfig.epochs=2",
        ),
        (["TaskConfig.max_seq_length = 65"], "max_seq_length=65: the encoder takes .* at most 64"),
        (["FinetuneConfig.reinitialize_top_blocks = 2"], "top_blocks=2: the encoder has only 1"),
        (["FinetuneConfig.pooler = 'none'"], "pooler='none': must be 'imported' or 'fresh'"),
        (["FinetuneConfig.epochs = -1.0"], "FinetuneConfig.epochs=-1.0: is negative"),
        (["FinetuneConfig.collapse_margin = 1.0"], r"collapse_margin=1.0: must be in \[0, 1\)"),
        (["EncoderConfig.hidden_size = 32"], "hidden_size=32, but the weights in .* have 16"),
        (["OptimizerConfig.layer_decay = 1.5"], r"layer_decay=1.5: must be in \(0, 1\]"),
        (
            ["OptimizerConfig.exclude_from_weight_decay = ['layernrom']"],
            "exclude_from_weight_decay: 'layernrom' matches none of",
        ),
        (["TaskConfig.dev_file = ''"], "has no labelled dev split, by which checkpoints and seeds"),
        (
            ["TaskConfig.label_column = 'class'"],
            r"train\.jsonl, line 1: no field 'class'; there are",
        ),
        (["InputConfig.masks = 'online'"], "InputConfig is set, but this command has no use for"),
    ],
)
def test_invalid_setting_is_an_error(small_encoder, task, tmp_path, params, message):
    fails(arguments(small_encoder, task, tmp_path / "m", *OWN, KIND, STEPS, *params), message)
    assert not (tmp_path / "m").exists()


def test_invalid_flag_is_an_error(small_encoder, task, tmp_path):
    flags = arguments(small_encoder, task, tmp_path / "m", *OWN, KIND, STEPS)
    fails([*flags, "--restarts=0"], "--restarts 0: must be at least 1")
    fails(flags[:3], "there is nothing to run: give --gin_file")
    fails([flags[0], flags[1], *flags[3:]], "--model_dir is missing")
    fails(["--encoder=gs://b/e", *flags[1:]], "--encoder")
    fails([f"--encoder={tmp_path}", *flags[1:]], "--encoder .*: no BERT found")


def test_dry_run_prints_settings_and_recipe(small_encoder, task, tmp_path, capsys):
    flags = arguments(small_encoder, task, tmp_path / "m", *OWN, KIND, STEPS)
    run.main([*flags, "--dry_run"])
    output = capsys.readouterr().out
    for part in (
        "train_steps = 60",
        "task: own classification, labels no, yes; 40.0 passes",
        "dev: 24 sequences",
        "new: 2 variables (task/logits/bias, ...)",
    ):
        assert part in output
    assert not (tmp_path / "m").exists()


def test_dry_run_lists_the_first_skipped_examples(small_encoder, task, tmp_path, capsys):
    copy = shutil.copytree(task, tmp_path / "task")
    with (copy / "train.jsonl").open("a") as file:
        file.write('{"text": "a king", "label": null}\n' * 5)
    flags = arguments(small_encoder, copy, tmp_path / "m", *OWN, KIND, STEPS)
    run.main([*flags, "--dry_run"])
    output = capsys.readouterr().out
    assert "train: 24 sequences, 5 skipped" in output
    for line in (25, 26, 27):
        assert f"skipped: {copy}/train.jsonl, line {line}: no label in column 'label'" in output
    assert "line 28" not in output
    assert "skipped: ... (all in data.json and report.html)" in output


def test_encoder_without_its_vocabulary_is_an_error(small_encoder, task, tmp_path, vocab):
    copy = shutil.copytree(small_encoder, tmp_path / "hf")
    (copy / "vocab.txt").unlink()
    flags = arguments(copy, task, tmp_path / "m", *OWN, KIND, STEPS)
    fails(flags, "has no vocab.txt; give the vocabulary as --vocab_file")
    other = tmp_path / "other.txt"
    other.write_text(Vocab(vocab.pieces[:1000]).text)
    fails(
        [*flags, f"--vocab_file={other}"],
        "the embedding table has 1500 rows, the vocabulary 1000 pieces",
    )
    assert read_source(str(copy), vocab_file=str(small_encoder / "vocab.txt")).vocab == vocab


def test_model_directory_of_another_task_is_an_error(small_encoder, finetuned, tmp_path, clauses):
    trained = finetuned.model_dir
    fails(
        finetuned.arguments(trained, "TaskConfig.max_seq_length = 40"),
        "seed-12345 belongs to another run: TaskConfig.max_seq_length was 48 and is 40 now",
    )
    write_rows(
        tmp_path / "task", [{"text": t, "label": "ab"[i % 2]} for i, t in enumerate(clauses)]
    )
    fails(
        arguments(small_encoder, tmp_path / "task", trained, *finetuned.params),
        "belongs to another run: its data has sha256 .*, the data given",
    )
    random = "FinetuneConfig.initialize = 'random'"
    fails(
        finetuned.arguments(trained, random),
        "initialize was encoder and is ra",
    )


def test_model_directory_of_several_seeds_is_not_an_encoder(trained):
    with pytest.raises(
        UserError, match=r"--encoder .* of several seeds; choose one of them, .*/seed-N"
    ):
        read_source(str(trained))


def test_model_directory_of_finetuning_is_not_one_of_pretraining(trained):
    with pytest.raises(UserError, match=r"seed-12345 is a model directory made by finetune\.run"):
        load_run(str(trained / "seed-12345"), RunConfig)


def test_model_directory_of_a_seed_is_an_encoder(trained, small_encoder, vocab):
    """For example to train RTE after MNLI; the head is not read."""
    before, after = read_source(str(small_encoder)), read_source(str(trained / "seed-12345"))
    assert after.vocab == vocab
    assert after.encoder == before.encoder
    encoder = {weight.name for weight in weights(before.encoder, "encoder")}
    assert after.values.keys() == encoder
    assert before.values.keys() > encoder  # with its pooler
    assert before.sha256 != after.sha256
    table = "encoder/word_embeddings/embeddings"
    assert 0 < np.abs(after.values[table] - before.values[table]).max() < 0.5


def test_weights_that_a_run_starts_from(small_encoder):
    names = list(read_source(str(small_encoder)).values)

    def not_taken(*params) -> set[str]:
        params = ["TaskConfig.task = 'cola'", "EncoderConfig.num_hidden_layers = 1", *params]
        config = load_run_config([], params, kind=FinetuneRunConfig)
        return set(names) - set(starting_weights(config, names))

    pooler = {"encoder/pooler_transform/kernel", "encoder/pooler_transform/bias"}
    assert not_taken() == set()
    assert not_taken("FinetuneConfig.pooler = 'fresh'") == pooler
    assert not_taken("FinetuneConfig.initialize = 'random'") == set(names)
    blocks = {name for name in names if name.startswith("encoder/transformer/layer_0/")}
    assert not_taken("FinetuneConfig.reinitialize_top_blocks = 1") == blocks | pooler


def test_steps_are_derived_from_epochs():
    config = load_run_config(["gin/finetune_mnli.gin"], [], kind=FinetuneRunConfig)
    resolved = resolve(config, num_examples=392_702)
    assert resolved.train.train_steps == 36_815  # 3 * 392,702 / 32
    assert resolved.train.eval_interval == 12_272
    assert resolved.optimizer.warmup_steps == 3_681


def test_export_replaces_only_exports(trained, tmp_path):
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(UserError, match="is not an export; move it away"):
        export_seed(str(trained / "seed-12345"), str(tmp_path))
    assert (tmp_path / "thesis.txt").exists()


def test_errors_of_predict(trained, tmp_path):
    flags = [f"--output={tmp_path}/o", f"--input={tmp_path}/i.txt"]
    with pytest.raises(UserError, match=r"is not a fine-tuned model: .* and model/saved_model\.pb"):
        predict.main([f"--model_dir={tmp_path}", *flags])
    (tmp_path / "o").touch()
    with pytest.raises(UserError, match="/o exists; delete it or choose another name"):
        predict.main([f"--model_dir={trained}", *flags])

    (tmp_path / "broken/model").mkdir(parents=True)
    (tmp_path / "broken/model/saved_model.pb").touch()
    (tmp_path / "broken/export.json").write_text("{")
    with pytest.raises(UserError, match=r"export\.json is damaged: .*; delete the export and run"):
        predict.main([f"--model_dir={tmp_path}/broken", flags[1], f"--output={tmp_path}/new"])

    record = json.loads((trained / "export/export.json").read_text())
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
    (tmp_path / "i.jsonl").write_text('{"text": ["New York"]}\n')
    with pytest.raises(UserError, match="line 1: 'text' must be a list of words without blanks"):
        read_input(str(tmp_path / "i.jsonl"), {**record, "kind": "tokens"})
