"""Importing TensorFlow checkpoints of tf-models and of Google's BERT."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from official.nlp.modeling import networks

from data.errors import UserError
from model.config import EncoderConfig
from model.names import weights
from model.weights import assign, build_tf_models, values_of
from pretrain.convert.formats import read_bert
from tests.support.published import assert_same_weights, random_values


@pytest.fixture(scope="module")
def values(published):
    return random_values(published.config)


@pytest.fixture(scope="module")
def tf_models(published, values):
    """The model of tf-models, whose gelu is the tanh approximation."""
    model = build_tf_models(published.config.encoder, seed=0)
    assign(model, values)
    return model


class TestTfModels:
    """The architecture comes from the shapes; activation and dropout are BERT's defaults."""

    def write(self, directory, vocab, **items) -> str:
        (directory / "vocab.txt").write_text(vocab.text)
        return tf.train.Checkpoint(**items).write(str(directory / "ckpt-6"))

    def check(self, source, published, values, *parts):
        imported = read_bert(str(source))
        config = published.config.encoder
        assert_same_weights(imported.values, subset(values, config, *parts))
        sizes = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
        for name in (*sizes, "vocab_size", "max_position_embeddings", "type_vocab_size"):
            assert getattr(imported.encoder, name) == getattr(config, name), name
        assert imported.encoder.hidden_activation == "gelu_tanh"

    def test_pretrainer(self, published, values, tf_models, vocab, tmp_path):
        prefix = self.write(tmp_path, vocab, **tf_models.checkpoint_items)
        self.check(tmp_path, published, values)
        self.check(prefix, published, values)

    def test_checkpoint_of_a_task(self, published, values, tf_models, vocab, tmp_path):
        self.write(tmp_path, vocab, model=tf_models, global_step=tf.Variable(6))
        self.check(tmp_path, published, values)

    @pytest.mark.parametrize("name", ["encoder", "model"])
    def test_encoder_alone(self, published, values, tf_models, vocab, tmp_path, name):
        self.write(tmp_path, vocab, **{name: tf_models.encoder_network})
        self.check(tmp_path, published, values, "encoder", "pooler")

    def test_legacy_encoder(self, published, values, vocab, tmp_path):
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
        expected = subset(values, config, "encoder", "pooler")
        assert len(encoder.trainable_variables) == len(expected)
        for variable in encoder.trainable_variables:  # named without the `encoder/` of newer ones
            value = expected[f"encoder/{variable.name.removesuffix(':0')}"]
            variable.assign(value.reshape(variable.shape))
        self.write(tmp_path, vocab, encoder=encoder)
        self.check(tmp_path, published, values, "encoder", "pooler")

    def test_imported_weights_go_back_to_tf_models(
        self, published, values, tf_models, vocab, tmp_path
    ):
        prefix = self.write(tmp_path, vocab, **tf_models.checkpoint_items)
        other = build_tf_models(published.config.encoder, seed=1)
        assign(other, read_bert(prefix).values)
        assert_same_weights(values_of(other, published.config.encoder), values)

    def test_configuration_with_fewer_layers(self, tf_models, vocab, tmp_path):
        self.write(tmp_path, vocab, **tf_models.checkpoint_items)
        config = {**GOOGLE_CONFIG, "num_hidden_layers": 1}
        (tmp_path / "bert_config.json").write_text(json.dumps(config))
        with pytest.raises(UserError, match="has 2 layers, its configuration has 1"):
            read_bert(str(tmp_path))


def subset(values, config, *parts) -> dict:
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
    """A checkpoint with the variable names of the published bert_model.ckpt files."""
    path = tmp_path / "google"
    path.mkdir()
    (path / "bert_config.json").write_text(json.dumps(GOOGLE_CONFIG))
    (path / "vocab.txt").write_text(vocab.text)
    blocks = {
        f"bert/encoder/layer_{n}/{google}": values[f"encoder/transformer/layer_{n}/{ours}"]
        for n in range(2)
        for google, ours in {
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


def test_google_checkpoint(google, values):
    """Its gelu is the tanh approximation, which Hugging Face calls gelu_new."""
    imported = read_bert(str(google))
    assert_same_weights(imported.values, values)
    assert imported.encoder == EncoderConfig(
        vocab_size=1500,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        hidden_activation="gelu_tanh",
    )
    assert imported.lower_case is True  # inferred: no piece has a capital letter
    head = ("cls/seq_relationship/output_bias", "cls/seq_relationship/output_weights")
    assert imported.left_out == head


def test_half_of_the_data_of_a_checkpoint(google):
    (data,) = google.glob("*.data-*")
    data.write_bytes(data.read_bytes()[: data.stat().st_size // 2])
    with pytest.raises(UserError, match=r"checkpoint .* cannot be read: "):
        read_bert(str(google))


def test_google_checkpoint_without_its_configuration(google):
    (google / "bert_config.json").rename(google / "config.txt")
    with pytest.raises(UserError, match=r"bert_config\.json is missing: .* heads"):
        read_bert(str(google))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"intermediate_size": 64},
            r"intermediate/kernel has shape \[16, 32\], .* \[16, 64\]",
        ),
        ({"num_hidden_layers": 1}, "has 2 layers, its configuration has 1"),
        ({"num_hidden_layers": 3}, "has 2 layers, its configuration has 3"),
        ({"hidden_act": "relu"}, "hidden_act is 'relu'; .* 'gelu'"),
        ({"hidden_size": "16"}, "hidden_size is '16', not a whole number"),
        ({"model_type": "roberta"}, "model_type is 'roberta'"),
        ({"layer_norm_eps": 1e-5}, "layer_norm_eps is 1e-05"),
    ],
)
def test_google_checkpoint_with_another_configuration(google, change, message):
    (google / "bert_config.json").write_text(json.dumps({**GOOGLE_CONFIG, **change}))
    with pytest.raises(UserError, match=message):
        read_bert(str(google))
