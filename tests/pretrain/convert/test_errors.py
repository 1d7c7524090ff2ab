"""Errors of imports name the file and the reason, and leave nothing half-written."""

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
from pretrain.convert.formats import read_bert
from tests.support.importing import assert_import_fails


def test_warm_start_on_remote_storage_is_an_error(tmp_path):
    """Otherwise a model directory copied to a bucket would silently start from random weights."""
    remote = f"ram://{tmp_path.name}/m"
    assert WarmStart.load(remote) is None
    files.write_atomically(f"{remote}/initial/source.json", b"{}")
    with pytest.raises(UserError, match=r"m/initial: .* local"):
        WarmStart.load(remote)


class TestImportErrors:
    @pytest.fixture
    def source(self, published, tmp_path) -> Path:
        return shutil.copytree(published.hf_dir, tmp_path / "hf")

    def test_unknown_format(self, tmp_path):
        assert_import_fails(tmp_path / "nowhere", "nowhere: no BERT found: neither config.json")

    def test_missing_vocabulary(self, source, golden):
        for name in ("vocab.txt", "tokenizer.json"):
            (source / name).unlink()
        assert_import_fails(source, r"hf has no vocab\.txt; .* --vocab_file")
        assert len(read_bert(str(source), vocab_file=str(golden / "vocab.txt")).vocab) == 1500

    def test_vocabulary_is_read_from_tokenizer_json(self, source, vocab):
        (source / "vocab.txt").unlink()
        assert read_bert(str(source)).vocab == vocab

    def test_tokenizer_json_with_a_gap_in_its_ids(self, source):
        """Otherwise all pieces after the gap would have the wrong id."""
        (source / "vocab.txt").unlink()
        content = json.loads((source / "tokenizer.json").read_text())
        pieces = content["model"]["vocab"]
        content["model"]["vocab"] = {piece: i for piece, i in pieces.items() if i != 700}
        (source / "tokenizer.json").write_text(json.dumps(content))
        assert_import_fails(
            source, r"tokenizer\.json: no piece has id 700, '.*' has 701; give the vocabulary"
        )

    def test_vocabulary_of_another_size(self, source):
        pieces = (source / "vocab.txt").read_text().splitlines()
        (source / "vocab.txt").write_text("\n".join(pieces[:1000]))
        assert_import_fails(source, "embedding table has 1500 rows, the vocabulary 1000 pieces")

    def test_sentencepiece_vocabulary(self, source):
        (source / "vocab.txt").unlink()
        (source / "tokenizer.json").write_text('{"model": {"type": "Unigram"}}')
        assert_import_fails(source, r"tokenizer\.json: its model is 'Unigram'; .* 'WordPiece'")

    def test_truncated_safetensors(self, source):
        path = source / "model.safetensors"
        path.write_bytes(path.read_bytes()[:-100])
        assert_import_fails(source, r"model\.safetensors is damaged: ")

    def test_pytorch_weights_without_safetensors(self, source):
        (source / "model.safetensors").rename(source / "pytorch_model.bin")
        assert_import_fails(source, r"model\.safetensors is missing; convert a pytorch_model\.bin")

    def change(self, source, changes: dict):
        """Replace tensors, or remove those whose new value is None."""
        tensors = safetensors.load_file(source / "model.safetensors") | changes
        tensors = {name: value for name, value in tensors.items() if value is not None}
        safetensors.save_file(tensors, source / "model.safetensors")

    def test_wrong_shape(self, source):
        name = "bert.encoder.layer.1.output.dense.weight"
        self.change(source, {name: np.zeros([16, 31], np.float32)})
        assert_import_fails(source, r"layer_1/output/kernel has shape \[31, 16\], .* \[32, 16\]")

    def test_missing_weight(self, source):
        self.change(source, {"bert.encoder.layer.1.output.dense.bias": None})
        assert_import_fails(
            source, "1 of 37 weights of the encoder are missing, e.g. .*layer_1/output/bias"
        )

    def test_incomplete_head(self, source):
        self.change(source, {"cls.predictions.bias": None})
        assert_import_fails(source, "1 of 5 weights of the head are missing")

    @pytest.mark.parametrize("model_type", ["roberta", "deberta-v2"])
    def test_other_architectures(self, source, model_type):
        config = json.loads((source / "config.json").read_text())
        (source / "config.json").write_text(json.dumps({**config, "model_type": model_type}))
        assert_import_fails(source, f"model_type is '{model_type}'")

    def test_damaged_configuration(self, source):
        (source / "config.json").write_text("{")
        assert_import_fails(source, r"config\.json is damaged: it is not JSON: ")
        (source / "config.json").write_text("[" * 200_000)
        assert_import_fails(source, r"config\.json is damaged: it is nested more than 64 deep")
        (source / "config.json").write_text(f'{{"hidden_size": {"9" * 5000}}}')
        assert_import_fails(source, r"config\.json is damaged: it is not JSON: Exceeds the limit")

    @pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
    def test_settings_that_are_no_json_object(self, source, name):
        (source / name).write_text("[]")
        assert_import_fails(source, f"{name} is damaged: it is an empty list, must be an object")

    @pytest.mark.parametrize(
        ("name", "value", "message"),
        [
            ("hidden_size", "wide", "hidden_size is 'wide', not a whole number"),
            ("num_attention_heads", True, "num_attention_heads is True, not a whole number"),
            ("num_hidden_layers", 2.0, r"num_hidden_layers is 2\.0, not a whole number"),
            ("num_hidden_layers", 3, "has 2 layers, its configuration has 3"),
            (
                "num_hidden_layers",
                10**9,
                r"config\.json: .*num_hidden_layers=1000000000: must be at",
            ),
            (
                "hidden_size",
                10**9,
                r"config\.json: EncoderConfig\.hidden_size=1000000000: must be at",
            ),
            ("initializer_range", float("nan"), "initializer_range is nan, not a number"),
            ("num_attention_heads", 10**400, "num_attention_heads is 10+, not a whole number"),
            ("hidden_dropout_prob", None, "hidden_dropout_prob is None, not a number"),
            ("hidden_act", ["gelu"], r"hidden_act is \['gelu'\]; known are gelu, "),
        ],
    )
    def test_invalid_settings(self, source, name, value, message):
        config = json.loads((source / "config.json").read_text())
        (source / "config.json").write_text(json.dumps({**config, name: value}))
        assert_import_fails(source, message)

    @pytest.mark.parametrize(
        ("model", "message"),
        [
            (None, "its model is None; .* 'WordPiece'"),
            ({"type": "WordPiece", "vocab": ["[PAD]"]}, "vocab does not map each piece to an id"),
            ({"type": "WordPiece", "vocab": {"[PAD]": 0, "x": "1"}}, "vocab does not map each"),
            ({"type": "WordPiece", "vocab": {"[PAD]": 0, "x": 1}}, r"has no \[UNK\], \[CLS\], "),
        ],
    )
    def test_tokenizer_json_without_a_vocabulary(self, source, model, message):
        (source / "vocab.txt").unlink()
        (source / "tokenizer.json").write_text(json.dumps({"model": model}))
        assert_import_fails(source, message)

    def test_invalid_do_lower_case(self, source):
        (source / "tokenizer_config.json").write_text('{"do_lower_case": "no"}')
        assert_import_fails(source, r"tokenizer_config\.json: do_lower_case is 'no'")

    def test_nan_weights(self, source):
        name = "bert.encoder.layer.1.output.dense.bias"
        self.change(source, {name: np.array([np.nan, *[0] * 15], np.float32)})
        assert_import_fails(source, "layer_1/output/bias has NaN or infinite values")

    def test_quantised_weights(self, source):
        name = "bert.encoder.layer.1.output.dense.bias"
        self.change(source, {name: np.zeros([16], np.int8)})
        assert_import_fails(source, "layer_1/output/bias is int8: quantised weights")

    def test_weights_of_a_type_that_numpy_lacks(self, source):
        path = source / "model.safetensors"
        header = b'{"bert.pooler.dense.bias": {"dtype": "F8_E4M3", "shape": [16], "data_offsets": [0, 16]}}'
        path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(16))
        message = r"model\.safetensors: bert\.pooler\.dense\.bias has type F8_E4M3, which is not supported"
        assert_import_fails(source, message)

    def test_configuration_with_fewer_layers(self, source):
        """Otherwise half of an encoder would be trained and published silently."""
        config = json.loads((source / "config.json").read_text())
        (source / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 1}))
        assert_import_fails(source, r"model\.safetensors has 2 layers, its configuration has 1")

    @pytest.mark.parametrize("name", ["variables/variables.data-00000-of-00001", "saved_model.pb"])
    def test_truncated_export(self, published, tmp_path, name):
        source = shutil.copytree(published.export_dir, tmp_path / "export")
        path = source / "encoder" / name
        path.write_bytes(path.read_bytes()[:-100])
        changed = rf"encoder/{name} is missing or has changed .*`sha256sum --check SHA256SUMS` in "
        assert_import_fails(source, changed)
        assert_import_fails(source / "encoder", changed)
        (source / "SHA256SUMS").unlink()
        assert_import_fails(source, r"encoder cannot be loaded: ")

    def test_export_whose_record_has_another_size(self, published, tmp_path):
        source = shutil.copytree(published.export_dir, tmp_path / "export")
        record = json.loads((source / "export.json").read_text())
        record["encoder"]["intermediate_size"] = 64
        (source / "export.json").write_text(json.dumps(record))
        assert_import_fails(source, r"intermediate/kernel has shape \[16, 32\], .* \[16, 64\]")

    def test_wrong_name_in_the_program_of_an_export(self, published, tmp_path):
        source = shutil.copytree(published.export_dir, tmp_path / "export")
        (source / "SHA256SUMS").unlink()
        path = source / "encoder/saved_model.pb"
        name = b"self_attention_layer_norm/moments/mean/reduction_indices"
        path.write_bytes(
            path.read_bytes().replace(name, name.replace(b"attention", b"atteftion"), 1)
        )
        assert_import_fails(source, "encoder cannot be loaded: ")

    @pytest.mark.parametrize("record", ["export.json", None])
    def test_exchanged_vocabulary_of_an_export(self, published, tmp_path, record):
        source = shutil.copytree(published.export_dir, tmp_path / "export")
        path = source / "encoder/assets/vocab.txt"
        pieces = path.read_text().splitlines()
        path.write_text("\n".join([*pieces[:-2], pieces[-1], pieces[-2]]) + "\n")
        if record is None:  # then it is read as any SavedModel
            (source / "export.json").unlink()
        assert_import_fails(source, r"encoder/assets/vocab\.txt is missing or has changed since")

    @pytest.mark.parametrize(
        "line", [b"\xff\xfe", b"x" * 64, b"0" * 64 + b"  ../../etc/passwd", b"0" * 64 + b"  /x"]
    )
    def test_damaged_checksums_of_an_export(self, published, tmp_path, line):
        source = shutil.copytree(published.export_dir, tmp_path / "export")
        path = source / "SHA256SUMS"
        path.write_bytes(path.read_bytes() + line + b"\n")
        assert_import_fails(source, r"SHA256SUMS is damaged: line \d+ is not a checksum")

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("[]", r"export\.json is damaged: it is an empty list, must be an object"),
            ("{}", r"export\.json is damaged: encoder is missing; export the model again"),
            (
                '{"encoder": {"hidden_size": 1000000000}, "lower_case": true}',
                "must be at most 65,536",
            ),
            (
                '{"encoder": {"width": 1}, "lower_case": true}',
                "EncoderConfig has no parameter 'width'",
            ),
            (
                '{"encoder": {"hidden_size": "a"}, "lower_case": true}',
                "='a': must be a whole number",
            ),
            ('{"encoder": [], "lower_case": true}', "encoder is an empty list, must be an object"),
        ],
    )
    def test_damaged_record_of_an_export(self, published, tmp_path, content, message):
        source = shutil.copytree(published.export_dir, tmp_path / "export")
        (source / "export.json").write_text(content)
        assert_import_fails(source, message)

    def test_export_without_a_head(self, published, tmp_path):
        module = tf.Module()
        tf.saved_model.save(module, str(tmp_path / "export/encoder"))
        shutil.copy(published.export_dir / "export.json", tmp_path / "export")
        assert_import_fails(tmp_path / "export", r"encoder has no \.mlm: .* head is missing")

    def test_checkpoint_of_something_else(self, tmp_path):
        source = tmp_path / "source"
        prefix = tf.train.Checkpoint(step=tf.Variable(1)).write(str(source / "ckpt"))
        assert_import_fails(source, "has no tf-models BERT encoder")
        Path(f"{prefix}.data-00000-of-00001").unlink()
        assert_import_fails(source, "checkpoint .*/ckpt cannot be read: ")

    def test_several_checkpoints(self, tmp_path):
        source = tmp_path / "source"
        for step in (1, 2):
            tf.train.Checkpoint(step=tf.Variable(1)).write(str(source / f"ckpt-{step}"))
        assert_import_fails(source, r"has several checkpoints \(ckpt-1, ckpt-2\); name one of them")

    def test_model_dir_in_use(self, published, tmp_path):
        (tmp_path / "m").mkdir()
        (tmp_path / "m/file").touch()
        with pytest.raises(UserError, match="m is not empty; choose another --model_dir"):
            command.main(["--from", str(published.hf_dir), "--model_dir", str(tmp_path / "m")])
        assert [path.name for path in (tmp_path / "m").iterdir()] == ["file"]
