"""The export command: atomic directories, checksums, the model card and errors."""

import json
import shutil
import subprocess

import numpy as np
import pytest
import tensorflow as tf

from data import files
from data.errors import UserError
from pretrain.checkpoints.best import record_best
from pretrain.checkpoints.model_dir import load_run
from pretrain.config import RunConfig
from pretrain.convert.formats import read_bert
from pretrain.export import __main__ as export
from pretrain.export.card import saved_model_card
from pretrain.export.publish import pooler_values
from tests.support.published import assert_same_weights, random_values


def flags(model_dir, target) -> list[str]:
    return ["--model_dir", str(model_dir), "--output_dir", f"{target}/e", "--hf_dir", f"{target}/h"]


def test_files_of_an_export(published):
    assert {path.name for path in published.export_dir.iterdir()} == {
        *("encoder", "preprocessor", "README.md", "export.json", "SHA256SUMS")
    }
    assert {path.name for path in published.hf_dir.iterdir()} == {
        *("config.json", "model.safetensors", "vocab.txt", "tokenizer.json"),
        *("tokenizer_config.json", "encoder", "README.md", "export.json", "SHA256SUMS"),
    }
    assert {path.name for path in published.tf_models_dir.iterdir()} == {
        *("checkpoint", "ckpt-6.index", "ckpt-6.data-00000-of-00001", "vocab.txt"),
        *("README.md", "export.json", "SHA256SUMS"),
    }
    assert not [path for path in published.hf_dir.parent.iterdir() if path.name.startswith(".")]
    for path in (*published.hf_dir.rglob("*"), *published.tf_models_dir.rglob("*")):
        assert path.stat().st_mode & 0o044 == 0o044, path  # readable by others


@pytest.mark.parametrize("name", ["export_dir", "hf_dir", "tf_models_dir"])
def test_checksums_detect_changes(published, tmp_path, name):
    command = ["sha256sum", "--check", "--quiet", "SHA256SUMS"]
    copy = shutil.copytree(getattr(published, name), tmp_path / "copy")
    assert subprocess.run(command, cwd=copy, capture_output=True).returncode == 0
    listed = {line.split("  ")[1] for line in (copy / "SHA256SUMS").read_text().splitlines()}
    present = {str(path.relative_to(copy)) for path in copy.rglob("*") if path.is_file()}
    assert listed == present - {"SHA256SUMS"}
    (copy / "README.md").write_text("another")
    assert subprocess.run(command, cwd=copy, capture_output=True).returncode == 1


def test_weights_are_those_of_the_checkpoint(published):
    encoder = tf.saved_model.load(str(published.export_dir / "encoder"))
    expected = random_values(published.config)
    variables = {v.name.partition(":")[0]: v.numpy() for v in encoder.mlm.trainable_variables}
    assert variables.keys() == expected.keys()
    for name, value in expected.items():
        same = np.array_equal(variables[name].reshape(value.shape), value)
        assert same == ("pooler" not in name), name  # which the checkpoint lacks


@pytest.mark.parametrize("name", ["export_dir", "hf_dir", "tf_models_dir"])
def test_card_has_the_facts_of_the_run(published, small_build, name):
    card = (getattr(published, name) / "README.md").read_text()
    data = json.loads((published.model_dir / "data.json").read_text())
    for fact in (
        "# Uncased BERT encoder, L=2 H=16 A=2",
        "6 of 6 steps of 4 sequences, float32, seed 12345",
        "LAMB (tf_models)",
        f"Manifest sha256 {load_run(str(published.model_dir), RunConfig).data_sha256}",
        f"{data['splits']['train']['sequences']:,} training sequences of 64;",
        f"books ({data['sources']['books']['documents']:,} documents, ",
        "Not evaluated on held-out text.",
        "Here it is as initialised from the seed of the run: random",
        "At most 64 tokens",
        "tensorflow 2.20",
    ):
        assert fact in card, fact
    assert "Training started from" not in card
    assert card.startswith("---\nlibrary_name: transformers\n") == (name == "hf_dir")


def test_existing_export_is_skipped(published, capsys):
    targets = f"--output_dir={published.export_dir}", f"--hf_dir={published.hf_dir}"
    export.main([f"--model_dir={published.model_dir}", *targets])
    assert capsys.readouterr().out.count("holds step 6 of") == 2


def test_export_with_another_pooler_is_not_overwritten(published):
    argv = ["--model_dir", str(published.model_dir), "--output_dir", str(published.export_dir)]
    with pytest.raises(UserError, match="export is not empty; choose another --output_dir"):
        export.main([*argv, "--pooler", "identity"])


def test_best_checkpoint(published, tmp_path, capsys, monkeypatch):
    """Its weights are exported, and the card has its evaluation."""
    # Writing SavedModels takes most of the time, and other tests read them.
    monkeypatch.setattr("pretrain.export.saved_model.save_encoder", lambda *_, **__: None)
    monkeypatch.setattr("pretrain.export.publish.export_preprocessor", lambda *_, **__: None)
    model_dir = shutil.copytree(published.model_dir, tmp_path / "model")
    later = shutil.copytree(
        model_dir / "checkpoints/step-00000006", model_dir / "checkpoints/step-00000008"
    )
    (later / "ckpt.data-00000-of-00001").write_bytes(b"worse")
    names = ("mlm_accuracy", "hidden_accuracy", "baseline_accuracy")
    rows = [
        {"step": step, "eval_loss": loss, **{f"eval_{name}": 0.125 for name in names}}
        for step, loss in ((6, 3.25), (8, 4.0))
    ]
    (model_dir / "metrics.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    record_best(model_dir, 6, rows[0])
    target = tmp_path / "e"
    argv = flags(model_dir, tmp_path)
    export.main([*argv, "--checkpoint", "best"])
    assert "export: step 6 in " in capsys.readouterr().out
    expected = random_values(published.config, "encoder", "head")
    assert_same_weights(read_bert(f"{tmp_path}/h").values, expected)
    assert json.loads((target / "export.json").read_text())["step"] == 6
    assert "after 6 steps: MLM loss 3.250" in (target / "README.md").read_text()
    shutil.rmtree(model_dir / "checkpoints/step-00000006")
    with pytest.raises(UserError, match=r"--checkpoint best: .* no checkpoint of step 6"):
        export.main([*argv, "--checkpoint", "best"])


def test_directory_with_a_damaged_record_is_not_overwritten(published, tmp_path):
    (tmp_path / "e").mkdir()
    (tmp_path / "e/export.json").write_bytes(b"\xff{")
    argv = ["--model_dir", str(published.model_dir), "--output_dir", f"{tmp_path}/e"]
    with pytest.raises(UserError, match="e is not empty; choose another --output_dir"):
        export.main(argv)


def test_identity_pooler():
    actual = pooler_values("identity", model_dir="none", hidden_size=16)
    np.testing.assert_array_equal(actual["encoder/pooler_transform/kernel"], np.eye(16))
    assert not actual["encoder/pooler_transform/bias"].any()


@pytest.mark.slow
def test_remote_model_directory(published, tmp_path):
    """ram:// takes the code path of gs://."""
    remote = f"ram://{tmp_path.name}/m"
    for path in published.model_dir.rglob("*"):
        if path.is_file():
            name = str(path.relative_to(published.model_dir))
            files.write_atomically(files.join(remote, name), path.read_bytes())
    export.main([f"--model_dir={remote}", f"--output_dir={tmp_path}/e"])
    for name in ("README.md", "export.json", "encoder/assets/vocab.txt"):
        expected = (published.export_dir / name).read_bytes()
        assert (tmp_path / "e" / name).read_bytes() == expected


def test_card_ignores_evaluations_after_the_exported_step(published, tmp_path):
    """A run killed between an evaluation and the next checkpoint leaves such rows."""
    model_dir = shutil.copytree(published.model_dir, tmp_path / "m")
    run = load_run(str(model_dir), RunConfig)
    names = ("eval_loss", "eval_mlm_accuracy", "eval_hidden_accuracy", "eval_baseline_accuracy")
    rows = [{"step": step, **dict.fromkeys(names, step / 100)} for step in (4, 6, 8)]
    (model_dir / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    card = saved_model_card(run, str(model_dir), step=6, pooler="initial")
    assert "after 6 steps: MLM loss 0.060, accuracy 6.00%, 6.00% where the token is" in card


def test_card_of_online_masking(published, tmp_path):
    model_dir = shutil.copytree(published.model_dir, tmp_path / "m")
    data = json.loads((model_dir / "data.json").read_text())
    data["build"]["copies"] = 0
    (model_dir / "data.json").write_text(json.dumps(data))
    card = saved_model_card(
        load_run(str(model_dir), RunConfig), str(model_dir), step=6, pooler="initial"
    )
    assert "held out; masked anew in each pass, 15% of the tokens." in card


class TestErrors:
    @pytest.fixture
    def model_dir(self, published, tmp_path):
        return shutil.copytree(published.model_dir, tmp_path / "model")

    def fails(self, model_dir, message, *more):
        """Expect a one-line UserError and no new files."""
        with pytest.raises(UserError, match=message) as caught:
            export.main([*flags(model_dir, model_dir.parent), *more])
        assert "\n" not in str(caught.value)
        assert [path.name for path in model_dir.parent.iterdir()] == ["model"]

    def test_missing_vocabulary(self, model_dir):
        (model_dir / "vocab.txt").unlink()
        self.fails(model_dir, r"vocab\.txt does not exist")

    def test_vocabulary_of_another_size(self, model_dir):
        pieces = (model_dir / "vocab.txt").read_text().splitlines()
        (model_dir / "vocab.txt").write_text("\n".join(pieces[:1000]))
        self.fails(
            model_dir, "model: the embedding table has 1500 rows, the vocabulary 1000 pieces"
        )

    def test_checkpoint_of_another_configuration(self, model_dir):
        record = json.loads((model_dir / "run.json").read_text())
        record["config"]["encoder"]["hidden_size"] = 32
        (model_dir / "run.json").write_text(json.dumps(record))
        self.fails(model_dir, r"checkpoint .*step-00000006.* cannot be restored: .*16.*32|32.*16")

    def test_no_imported_pooler(self, model_dir):
        message = "--pooler imported: .*model has no imported weights with a pooler"
        self.fails(model_dir, message, "--pooler", "imported")

    def test_same_directory_for_two_formats(self, model_dir):
        target = str(model_dir.parent / "e")
        self.fails(model_dir, "--hf_dir .*/e contains --output_dir", "--hf_dir", target)

    def test_directory_inside_another(self, model_dir):
        target = str(model_dir.parent / "h")
        message = r"--tf_models_dir .*/h contains --hf_dir .*/h; choose another one"
        self.fails(model_dir, message, "--tf_models_dir", target)

    def test_directory_in_use(self, published, tmp_path):
        (tmp_path / "h").mkdir()
        (tmp_path / "h/file").touch()
        with pytest.raises(UserError, match="h is not empty; choose another --hf_dir or delete it"):
            export.main(flags(published.model_dir, tmp_path))
        assert [path.name for path in tmp_path.rglob("*")] == ["h", "file"]
