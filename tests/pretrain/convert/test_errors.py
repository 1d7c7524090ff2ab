"""What cannot be imported is named, and nothing is left half-written."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from safetensors import numpy as safetensors

from data import files
from data.errors import UserError
from pretrain import import_weights as command
from pretrain.checkpoints.warm_start import WarmStart
from pretrain.convert.formats import read


def test_imported_weights_in_a_bucket(tmp_path):
    """A copy of a model directory: the run would start from nothing, without a word."""
    remote = f"ram://{tmp_path.name}/m"
    assert WarmStart.load(remote) is None
    files.write_atomically(f"{remote}/initial/source.json", b"{}")
    with pytest.raises(UserError, match="m/initial: a run starts from imported weights on a local"):
        WarmStart.load(remote)


class TestImportErrors:
    @pytest.fixture
    def source(self, published, tmp_path) -> Path:
        return shutil.copytree(published.hf_dir, tmp_path / "hf")

    def fails(self, source, message, *flags):
        """And nothing is left half-written."""
        target = source.parent / "model"
        with pytest.raises(UserError, match=message) as caught:
            command.main(["--from", str(source), "--model_dir", str(target), *flags])
        assert "\n" not in str(caught.value)
        assert not target.exists()

    def test_nothing_there(self, tmp_path):
        self.fails(tmp_path / "nowhere", "there is no BERT that is known here: neither config.json")

    def test_no_vocabulary(self, source, golden):
        for name in ("vocab.txt", "tokenizer.json"):
            (source / name).unlink()
        self.fails(source, "has no vocab.txt; give the vocabulary as --vocab_file")
        assert len(read(str(source), vocab_file=str(golden / "vocab.txt")).vocab) == 1500

    def test_the_vocabulary_of_tokenizer_json(self, source, vocab):
        (source / "vocab.txt").unlink()
        assert read(str(source)).vocab == vocab

    def test_a_tokenizer_json_with_a_gap(self, source):
        """All pieces behind it would have the ids of others."""
        (source / "vocab.txt").unlink()
        content = json.loads((source / "tokenizer.json").read_text())
        pieces = content["model"]["vocab"]
        content["model"]["vocab"] = {piece: i for piece, i in pieces.items() if i != 700}
        (source / "tokenizer.json").write_text(json.dumps(content))
        self.fails(
            source, r"tokenizer\.json: no piece has id 700, '.*' has 701; give the vocabulary"
        )

    def test_a_foreign_vocabulary(self, source):
        pieces = (source / "vocab.txt").read_text().splitlines()
        (source / "vocab.txt").write_text("\n".join(pieces[:1000]))
        self.fails(source, "embedding table has 1500 rows, the vocabulary 1000 pieces; use")

    def test_a_sentencepiece_vocabulary(self, source):
        (source / "vocab.txt").unlink()
        (source / "tokenizer.json").write_text('{"model": {"type": "Unigram"}}')
        self.fails(source, "its model is 'Unigram'; this encoder has a 'WordPiece' vocabulary")

    def test_a_truncated_file(self, source):
        path = source / "model.safetensors"
        path.write_bytes(path.read_bytes()[:-100])
        self.fails(source, r"model\.safetensors is damaged: ")

    def test_pickled_weights(self, source):
        (source / "model.safetensors").rename(source / "pytorch_model.bin")
        self.fails(source, r"model\.safetensors is missing; weights in a pytorch_model\.bin or")

    def change(self, source, changes: dict):
        tensors = safetensors.load_file(source / "model.safetensors") | changes
        kept = {name: value for name, value in tensors.items() if value is not None}
        safetensors.save_file(kept, source / "model.safetensors")

    def test_a_wrong_shape(self, source):
        name = "bert.encoder.layer.1.output.dense.weight"
        self.change(source, {name: np.zeros([16, 31], np.float32)})
        self.fails(source, r"layer_1/output/kernel has shape \[31, 16\], its .* says \[32, 16\]")

    def test_a_missing_weight(self, source):
        self.change(source, {"bert.encoder.layer.1.output.dense.bias": None})
        self.fails(source, "1 of 37 weights of the encoder are missing, e.g. .*layer_1/output/bias")

    def test_half_a_head(self, source):
        self.change(source, {"cls.predictions.bias": None})
        self.fails(source, "1 of 5 weights of the head are missing")

    @pytest.mark.parametrize("model_type", ["roberta", "deberta-v2"])
    def test_another_architecture(self, source, model_type):
        config = json.loads((source / "config.json").read_text())
        (source / "config.json").write_text(json.dumps({**config, "model_type": model_type}))
        self.fails(source, f"model_type is '{model_type}'; this encoder is a BERT")

    def test_a_damaged_configuration(self, source):
        (source / "config.json").write_text("{")
        self.fails(source, r"config\.json cannot be read: ")

    @pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
    def test_settings_that_are_none(self, source, name):
        (source / name).write_text("[]")
        self.fails(source, f"{name} holds a list, not settings by name")

    @pytest.mark.parametrize(
        ("name", "value", "message"),
        [
            ("hidden_size", "wide", "hidden_size is 'wide', not a whole number"),
            ("num_attention_heads", True, "num_attention_heads is True, not a whole number"),
            ("num_hidden_layers", 2.0, r"num_hidden_layers is 2\.0, not a whole number"),
            ("num_hidden_layers", 10**9, "has 2 layers, its configuration says 1000000000"),
            ("initializer_range", float("nan"), "initializer_range is nan, not a number"),
            ("hidden_dropout_prob", None, "hidden_dropout_prob is None, not a number"),
            ("hidden_act", ["gelu"], r"hidden_act is \['gelu'\]; known are gelu, "),
        ],
    )
    def test_settings_that_cannot_be(self, source, name, value, message):
        config = json.loads((source / "config.json").read_text())
        (source / "config.json").write_text(json.dumps({**config, name: value}))
        self.fails(source, message)

    @pytest.mark.parametrize(
        ("model", "message"),
        [
            (None, "its model is None; this encoder has a 'WordPiece' vocabulary"),
            (
                {"type": "WordPiece", "vocab": ["[PAD]"]},
                "its vocab does not give each piece its id",
            ),
            ({"type": "WordPiece", "vocab": {"[PAD]": 0, "x": "1"}}, "its vocab does not give"),
            ({"type": "WordPiece", "vocab": {"[PAD]": 0, "x": 1}}, r"has no \[UNK\], \[CLS\], "),
        ],
    )
    def test_a_tokenizer_json_without_a_vocabulary(self, source, model, message):
        (source / "vocab.txt").unlink()
        (source / "tokenizer.json").write_text(json.dumps({"model": model}))
        self.fails(source, message)

    def test_a_case_that_is_none(self, source):
        (source / "tokenizer_config.json").write_text('{"do_lower_case": "no"}')
        self.fails(source, r"tokenizer_config\.json: do_lower_case is 'no', neither true nor false")

    def test_weights_that_are_no_numbers(self, source):
        name = "bert.encoder.layer.1.output.dense.bias"
        self.change(source, {name: np.array([np.nan, *[0] * 15], np.float32)})
        self.fails(source, "layer_1/output/bias has values that are no numbers, or infinite")

    def test_quantised_weights(self, source):
        name = "bert.encoder.layer.1.output.dense.bias"
        self.change(source, {name: np.zeros([16], np.int8)})
        self.fails(source, "layer_1/output/bias is int8: quantised weights cannot be trained on")

    def test_a_configuration_with_fewer_layers(self, source):
        """Half of an encoder would train and publish without a word."""
        config = json.loads((source / "config.json").read_text())
        (source / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 1}))
        self.fails(source, r"model\.safetensors has 2 layers, its configuration says 1")

    @pytest.mark.parametrize("name", ["variables/variables.data-00000-of-00001", "saved_model.pb"])
    def test_a_truncated_export(self, published, tmp_path, name):
        source = shutil.copytree(published.export_dir, tmp_path / "export")
        path = source / "encoder" / name
        path.write_bytes(path.read_bytes()[:-100])
        self.fails(source, r"encoder cannot be loaded: .*; `sha256sum --check SHA256SUMS` in ")

    def test_a_saved_model_without_a_head(self, published, tmp_path):
        module = tf.Module()
        tf.saved_model.save(module, str(tmp_path / "export/encoder"))
        shutil.copy(published.export_dir / "export.json", tmp_path / "export")
        self.fails(tmp_path / "export", r"encoder has no \.mlm: the head .* is missing")

    def test_a_checkpoint_of_something_else(self, tmp_path):
        source = tmp_path / "source"
        prefix = tf.train.Checkpoint(step=tf.Variable(1)).write(str(source / "ckpt"))
        self.fails(source, "has no BERT encoder of tf-models in it")
        Path(f"{prefix}.data-00000-of-00001").unlink()
        self.fails(source, "checkpoint .*/ckpt cannot be read: ")

    def test_several_checkpoints(self, tmp_path):
        source = tmp_path / "source"
        for step in (1, 2):
            tf.train.Checkpoint(step=tf.Variable(1)).write(str(source / f"ckpt-{step}"))
        self.fails(source, r"has several checkpoints \(ckpt-1, ckpt-2\); name one of them")

    def test_a_directory_in_use(self, published, tmp_path):
        (tmp_path / "m").mkdir()
        (tmp_path / "m/file").touch()
        with pytest.raises(UserError, match="m is not empty; choose another --model_dir"):
            command.main(["--from", str(published.hf_dir), "--model_dir", str(tmp_path / "m")])
        assert [path.name for path in (tmp_path / "m").iterdir()] == ["file"]
