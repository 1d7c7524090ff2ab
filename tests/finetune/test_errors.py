"""Errors of fine-tuning, each in one line, and the weights it starts from."""

import shutil
from pathlib import Path

import pytest

from data.errors import UserError
from finetune import run
from finetune.export.publish import export_seed
from pretrain.checkpoints.model_dir import load_run
from pretrain.config import RunConfig
from tests.support.finetuning import OWN, arguments, write_clauses, write_rows

KIND = "TaskConfig.kind = 'classification'"
STEPS = "TrainConfig.train_steps = 60"


@pytest.fixture(scope="module")
def task(tmp_path_factory, clauses) -> Path:
    """A task whose labels are whether a clause ends with a comma."""
    directory = tmp_path_factory.mktemp("task") / "task"
    write_clauses(directory, clauses)
    return directory


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
        (["InputConfig.masks = 'online'"], "^InputConfig is set, but this command"),
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
    fails(["--encoder=ram://b/e", *flags[1:]], "--encoder ram://b/e: there is nothing of this name")
    fails([*flags, f"--vocab_file={tmp_path}/none.txt"], "none.txt")
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
    fails(
        finetuned.arguments(trained, "FinetuneConfig.initialize = 'random'"),
        "initialize was encoder and is ra",
    )


def test_model_directory_of_finetuning_is_not_one_of_pretraining(finetuned):
    with pytest.raises(UserError, match=r"seed-12345 is a model directory made by finetune\.run"):
        load_run(str(finetuned.model_dir / "seed-12345"), RunConfig)


def test_export_replaces_only_exports(finetuned, tmp_path):
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(UserError, match="is not an export; move it away"):
        export_seed(str(finetuned.model_dir / "seed-12345"), str(tmp_path))
    assert (tmp_path / "thesis.txt").exists()
