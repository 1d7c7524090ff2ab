"""Weights of other makers go in, bit for bit, and a run starts from them."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from official.nlp.modeling import networks

from data.errors import UserError
from model.config import EncoderConfig
from model.names import weights
from model.weights import assign, build_tf_models, values_of
from pretrain import import_weights as command
from pretrain import run
from pretrain.checkpoints.checkpoint import committed
from pretrain.convert.formats import read
from tests.support.published import ENCODER, TINY, random_values


def assert_equal(found: dict, expected: dict):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == np.float32
        np.testing.assert_array_equal(found[name], value)


@pytest.fixture(scope="module")
def values(published):
    return random_values(published.config)


@pytest.fixture(scope="module")
def theirs(published, values):
    """tf-models' model; its gelu is the one with tanh, whatever ours is."""
    model = build_tf_models(published.config.encoder, seed=0)
    assign(model, values)
    return model


@pytest.fixture
def imported(published, tmp_path) -> Path:
    """A model directory with the weights of the export for Hugging Face."""
    command.main(["--from", str(published.hf_dir), "--model_dir", str(tmp_path / "m")])
    return tmp_path / "m"


def without_pooler(values: dict) -> dict:
    return {name: value for name, value in values.items() if "pooler" not in name}


def test_ours_to_a_saved_model_and_back(published, values):
    imported = read(str(published.export_dir))
    assert_equal(without_pooler(imported.values), without_pooler(values))
    assert imported.encoder == published.config.encoder
    assert (imported.kind, imported.lower_case, len(imported.vocab)) == ("export", True, 1500)
    assert imported.parts == ["encoder", "head", "pooler"]


def test_ours_to_hugging_face_and_back(published, values):
    imported = read(str(published.hf_dir))
    assert_equal(imported.values, without_pooler(values))
    assert imported.encoder == published.config.encoder
    assert (imported.kind, imported.lower_case, imported.left_out) == ("Hugging Face", True, ())
    assert read(str(published.hf_dir / "encoder")).parts == ["encoder", "pooler"]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_widened(published, values, tmp_path, dtype):
    from safetensors import tensorflow as tensors

    source = shutil.copytree(published.hf_dir, tmp_path / "hf")
    content = {
        k: tf.cast(v, dtype) for k, v in tensors.load_file(source / "model.safetensors").items()
    }
    tensors.save_file(content, source / "model.safetensors")
    expected = {k: tf.cast(tf.cast(v, dtype), tf.float32).numpy() for k, v in values.items()}
    assert_equal(read(str(source)).values, without_pooler(expected))


class TestTfModels:
    """The architecture is told by the shapes; activation and dropout, which no shape shows, are BERT's."""

    def write(self, directory, vocab, **items) -> str:
        (directory / "vocab.txt").write_text(vocab.text)
        return tf.train.Checkpoint(**items).write(str(directory / "ckpt-6"))

    def check(self, source, published, values, *parts):
        imported = read(str(source))
        config = published.config.encoder
        assert_equal(imported.values, random_subset(values, config, *parts))
        sizes = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
        for name in (*sizes, "vocab_size", "max_position_embeddings", "type_vocab_size"):
            assert getattr(imported.encoder, name) == getattr(config, name), name
        assert imported.encoder.hidden_activation == "gelu_tanh"

    def test_the_items_of_a_pretrainer(self, published, values, theirs, vocab, tmp_path):
        prefix = self.write(tmp_path, vocab, **theirs.checkpoint_items)
        self.check(tmp_path, published, values)
        self.check(prefix, published, values)

    def test_a_whole_task(self, published, values, theirs, vocab, tmp_path):
        self.write(tmp_path, vocab, model=theirs, global_step=tf.Variable(6))
        self.check(tmp_path, published, values)

    @pytest.mark.parametrize("name", ["encoder", "model"])
    def test_an_encoder_alone(self, published, values, theirs, vocab, tmp_path, name):
        self.write(tmp_path, vocab, **{name: theirs.encoder_network})
        self.check(tmp_path, published, values, "encoder", "pooler")

    def test_the_older_encoder(self, published, values, vocab, tmp_path):
        config = published.config.encoder
        encoder = networks.BertEncoder(
            vocab_size=1500,
            hidden_size=16,
            num_layers=2,
            num_attention_heads=2,
            inner_dim=32,
            max_sequence_length=64,
            type_vocab_size=2,
        )
        subset = random_subset(values, config, "encoder", "pooler")
        assert len(encoder.trainable_variables) == len(subset)
        for variable in encoder.trainable_variables:  # without the first part of the newer names
            value = subset[f"encoder/{variable.name.removesuffix(':0')}"]
            variable.assign(value.reshape(variable.shape))
        self.write(tmp_path, vocab, encoder=encoder)
        self.check(tmp_path, published, values, "encoder", "pooler")

    def test_back_again(self, published, values, theirs, vocab, tmp_path):
        prefix = self.write(tmp_path, vocab, **theirs.checkpoint_items)
        other = build_tf_models(published.config.encoder, seed=1)
        assign(other, read(prefix).values)
        assert_equal(values_of(other, published.config.encoder), values)

    def test_a_configuration_with_fewer_layers(self, theirs, vocab, tmp_path):
        self.write(tmp_path, vocab, **theirs.checkpoint_items)
        config = {**GOOGLE_CONFIG, "num_hidden_layers": 1}
        (tmp_path / "bert_config.json").write_text(json.dumps(config))
        with pytest.raises(UserError, match="has 2 layers, its configuration says 1"):
            read(str(tmp_path))


def random_subset(values, config, *parts) -> dict:
    return {weight.name: values[weight.name] for weight in weights(config, *parts)}


GOOGLE_CONFIG = {
    "attention_probs_dropout_prob": 0.1,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 16,
    "initializer_range": 0.02,
    "intermediate_size": 32,
    "max_position_embeddings": 64,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "type_vocab_size": 2,
    "vocab_size": 1500,
}


@pytest.fixture
def google(tmp_path, published, values, vocab) -> Path:
    """A checkpoint with the variables of the published bert_model.ckpt files."""
    path = tmp_path / "google"
    path.mkdir()
    (path / "bert_config.json").write_text(json.dumps(GOOGLE_CONFIG))
    (path / "vocab.txt").write_text(vocab.text)
    blocks = {
        f"bert/encoder/layer_{n}/{theirs}": values[f"encoder/transformer/layer_{n}/{ours}"]
        for n in range(2)
        for theirs, ours in {
            "attention/self/query/kernel": "self_attention/query/kernel",
            "attention/self/query/bias": "self_attention/query/bias",
            "attention/self/key/kernel": "self_attention/key/kernel",
            "attention/self/key/bias": "self_attention/key/bias",
            "attention/self/value/kernel": "self_attention/value/kernel",
            "attention/self/value/bias": "self_attention/value/bias",
            "attention/output/dense/kernel": "self_attention/attention_output/kernel",
            "attention/output/dense/bias": "self_attention/attention_output/bias",
            "attention/output/LayerNorm/gamma": "self_attention_layer_norm/gamma",
            "attention/output/LayerNorm/beta": "self_attention_layer_norm/beta",
            "intermediate/dense/kernel": "intermediate/kernel",
            "intermediate/dense/bias": "intermediate/bias",
            "output/dense/kernel": "output/kernel",
            "output/dense/bias": "output/bias",
            "output/LayerNorm/gamma": "output_layer_norm/gamma",
            "output/LayerNorm/beta": "output_layer_norm/beta",
        }.items()
    }
    head = "bert/cls/predictions"
    variables = blocks | {
        "bert/embeddings/word_embeddings": values["encoder/word_embeddings/embeddings"],
        "bert/embeddings/position_embeddings": values["encoder/position_embedding/embeddings"],
        "bert/embeddings/token_type_embeddings": values["encoder/type_embeddings/embeddings"],
        "bert/embeddings/LayerNorm/gamma": values["encoder/embeddings/layer_norm/gamma"],
        "bert/embeddings/LayerNorm/beta": values["encoder/embeddings/layer_norm/beta"],
        "bert/pooler/dense/kernel": values["encoder/pooler_transform/kernel"],
        "bert/pooler/dense/bias": values["encoder/pooler_transform/bias"],
        "cls/predictions/transform/dense/kernel": values[f"{head}/transform/dense/kernel"],
        "cls/predictions/transform/dense/bias": values[f"{head}/transform/dense/bias"],
        "cls/predictions/transform/LayerNorm/gamma": values[f"{head}/transform/LayerNorm/gamma"],
        "cls/predictions/transform/LayerNorm/beta": values[f"{head}/transform/LayerNorm/beta"],
        "cls/predictions/output_bias": values[f"{head}/output_bias/bias"],
        "cls/seq_relationship/output_weights": np.zeros([2, 16], np.float32),
        "cls/seq_relationship/output_bias": np.zeros([2], np.float32),
        "bert/pooler/dense/bias/adam_m": np.zeros([16], np.float32),
    }
    names = list(variables)
    tf.raw_ops.SaveV2(
        prefix=str(path / "bert_model.ckpt"),
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=[tf.constant(variables[name]) for name in names],
    )
    return path


def test_google(google, published, values):
    """Its gelu is the approximation with tanh, which PyTorch calls gelu_new."""
    imported = read(str(google))
    assert_equal(imported.values, values)
    assert imported.encoder == EncoderConfig(
        vocab_size=1500,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        hidden_activation="gelu_tanh",
    )
    assert imported.lower_case is True  # as no piece has a capital letter
    head = ("cls/seq_relationship/output_bias", "cls/seq_relationship/output_weights")
    assert imported.left_out == head


def test_google_without_its_configuration(google):
    (google / "bert_config.json").rename(google / "config.txt")
    with pytest.raises(UserError, match=r"bert_config\.json is missing: it says how many heads"):
        read(str(google))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"intermediate_size": 64},
            r"intermediate/kernel has shape \[16, 32\], its .* says \[16, 64\]",
        ),
        ({"num_hidden_layers": 1}, "has 2 layers, its configuration says 1"),
        ({"num_hidden_layers": 3}, "has 2 layers, its configuration says 3"),
        ({"hidden_act": "relu"}, "hidden_act is 'relu'; this encoder has 'gelu'"),
        ({"hidden_size": "16"}, "hidden_size is '16', not a whole number"),
        ({"model_type": "roberta"}, "model_type is 'roberta'; this encoder is a BERT"),
        ({"layer_norm_eps": 1e-5}, "layer_norm_eps is 1e-05; this encoder is a BERT"),
    ],
)
def test_google_of_another_configuration(google, change, message):
    (google / "bert_config.json").write_text(json.dumps({**GOOGLE_CONFIG, **change}))
    with pytest.raises(UserError, match=message):
        read(str(google))


def test_the_import_is_told(published, tmp_path, capsys):
    argv = ["--from", str(published.hf_dir / "encoder"), "--model_dir", str(tmp_path / "m")]
    for _ in range(2):  # again: nothing to do
        command.main(argv)
        output = capsys.readouterr().out
        assert "without an MLM head: a fresh one starts, with its pooler" in output
        assert "L=2 H=16 A=2, gelu, 1,500 pieces, uncased, sequences up to 64" in output
    assert [path.name for path in (tmp_path / "m").iterdir()] == ["initial"]
    with pytest.raises(UserError, match=r"m/initial holds other weights \(.*/hf/encoder/model"):
        command.main(["--from", str(published.hf_dir), "--model_dir", str(tmp_path / "m")])


def flags(data_dir, model_dir, *params) -> list[str]:
    settings = [flag for param in (*TINY, *params) for flag in ("--gin_param", param)]
    return [*settings, "--data_dir", str(data_dir), "--model_dir", str(model_dir)]


def held_out(capsys) -> str:
    return re.search("held-out: (.*)", capsys.readouterr().out)[1]


def test_a_run_starts_from_them(published, imported, small_build, capsys):
    """Its numbers before the first step are those of the model that was published."""
    run.main([*flags(small_build, published.model_dir, *ENCODER), "--mode", "eval"])
    expected = held_out(capsys)
    run.main([*flags(small_build, imported), "--mode", "eval"])  # EncoderConfig from the weights
    assert held_out(capsys) == expected
    run.main(flags(small_build, imported, "TrainConfig.train_steps = 3"))
    output = capsys.readouterr().out
    assert f"pretraining: from the weights of {published.hf_dir}" in output
    assert committed(imported)[-1].step == 3
    run.main([*flags(small_build, imported), "--mode", "eval"])  # now its own checkpoint counts
    output = capsys.readouterr().out
    assert "after 3 steps, held-out" in output
    assert "from the weights of" not in output
    (imported / "initial").rename(imported / "elsewhere")
    with pytest.raises(
        UserError, match="it started from other weights than initial/ or --encoder gives"
    ):
        run.main(flags(small_build, imported, *ENCODER))


class TestRunErrors:
    def fails(self, argv, message):
        with pytest.raises(UserError, match=message):
            run.main(argv)

    def test_another_architecture(self, imported, small_build):
        argv = flags(small_build, imported, "EncoderConfig.num_attention_heads = 4")
        self.fails(argv, r"num_attention_heads=4, but the weights in .*m/initial have 2; leave")
        self.fails([*argv, "--dry_run"], "num_attention_heads=4, but the weights in")
        argv = flags(small_build, imported, "EncoderConfig.hidden_activation = 'gelu_tanh'")
        self.fails(argv, r"hidden_activation='gelu_tanh', but the weights in .* have 'gelu'")

    def test_data_of_another_vocabulary(self, published, small_build, tmp_path):
        source = shutil.copytree(published.hf_dir, tmp_path / "hf")
        pieces = (source / "vocab.txt").read_text().splitlines()
        pieces[-1] = "another piece"
        (source / "vocab.txt").write_text("\n".join(pieces))
        command.main(["--from", str(source), "--model_dir", str(tmp_path / "m")])
        message = (
            r"another vocabulary \(1500 pieces, sha256 \w+\) than the weights in .* \(1500 pieces"
        )
        self.fails(flags(small_build, tmp_path / "m"), message)

    def test_data_of_another_case(self, imported, small_build):
        path = imported / "initial/source.json"
        path.write_text(path.read_text().replace('"lower_case": true', '"lower_case": false'))
        message = (
            "BuildConfig.lower_case=True in the data, but the weights in .* are of False there"
        )
        self.fails(flags(small_build, imported), message)

    def test_changed_weights(self, imported, small_build):
        path = imported / "initial/weights.safetensors"
        path.write_bytes(path.read_bytes()[:-1] + b"\1")
        self.fails(flags(small_build, imported), "weights.safetensors is not what was imported")

    def test_a_damaged_record(self, imported, small_build):
        (imported / "initial/source.json").write_text("{}")
        self.fails(flags(small_build, imported), r"source\.json cannot be read")
