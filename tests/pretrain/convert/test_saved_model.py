"""Importing SavedModels with the API of TensorFlow Hub, as the export of tf-models writes them."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from official.legacy.bert.configs import BertConfig
from official.nlp.configs import encoders
from official.nlp.tools import export_tfhub_lib

from model.config import EncoderConfig
from model.names import weights
from pretrain import import_weights as command
from pretrain.convert.formats import read_bert
from tests.support.importing import assert_import_fails

SIZES = dict(
    vocab_size=1500,
    hidden_size=16,
    num_attention_heads=2,
    intermediate_size=32,
    max_position_embeddings=24,
    type_vocab_size=3,
)
EXPECTED = EncoderConfig(**SIZES, num_hidden_layers=2)
LEGACY = {"bert_config": BertConfig(**SIZES, num_hidden_layers=2)}


def version_2(kind: str = "bert_v2", **settings) -> dict:
    config = encoders.EncoderConfig(type=kind)
    config.override({kind: {**SIZES, "num_layers": 2, **settings}})
    return {"encoder_config": config}


def write(path, golden, *, with_mlm: bool, sentencepiece: bool = False, **config) -> dict:
    """Export a random model with tf-models; return its weights by its own names."""
    _, model = export_tfhub_lib._create_model(with_mlm=with_mlm, **config)
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:  # large enough that gelu is not linear
        variable.assign(rng.normal(scale=0.5, size=variable.shape))
    items = model.checkpoint_items if with_mlm else {"encoder": model}
    vocab_file = str(golden / "vocab.txt")
    export_tfhub_lib.export_model(
        str(path / "hub"),
        model_checkpoint_path=tf.train.Checkpoint(**items).save(str(path / "checkpoints/c")),
        with_mlm=with_mlm,
        vocab_file=None if sentencepiece else vocab_file,
        sp_model_file=vocab_file if sentencepiece else None,
        do_lower_case=False,
        **config,
    )
    return {v.name.removesuffix(":0"): v.numpy() for v in model.trainable_variables}


@pytest.mark.parametrize(
    ("config", "with_mlm", "model_name"),
    [
        pytest.param(LEGACY, True, "", id="legacy, with a head"),
        pytest.param(version_2(), False, "bert_encoder_v2", id="version 2, without a head"),
    ],
)
def test_weights_and_architecture_of_hub_encoders(
    golden, tmp_path, capsys, config, with_mlm, model_name
):
    source = write(tmp_path, golden, with_mlm=with_mlm, **config)
    imported = read_bert(str(tmp_path / "hub"))
    assert imported.encoder == EXPECTED
    parts = ["encoder", "head", "pooler"] if with_mlm else ["encoder", "pooler"]
    assert (imported.kind, imported.parts, imported.left_out) == ("SavedModel", parts, ())
    assert (len(imported.vocab), imported.lower_case) == (1500, False)
    # The names are ours without `encoder/`, prefixed with the name of the model if it has one.
    words = "word_embeddings/embeddings"
    prefix = next(name for name in source if name.endswith(words)).removesuffix(words)
    assert prefix.startswith(model_name)
    expected = weights(EXPECTED, *parts)
    assert len(expected) == len(source) == len(imported.values)
    for weight in expected:
        encoder_name = prefix + weight.name.removeprefix("encoder/")
        value = source[weight.name if weight.part == "head" else encoder_name]
        np.testing.assert_array_equal(imported.values[weight.name], value.reshape(weight.shape))
    command.main(["--from", str(tmp_path / "hub"), "--model_dir", str(tmp_path / "m")])
    head = "with its MLM head" if with_mlm else "without an MLM head (a new one is used)"
    assert f"{head}, with its pooler" in capsys.readouterr().out


def test_activation_is_inferred_from_the_outputs(published, imported_export):
    """As for an export without its record; dropout cannot be inferred."""
    imported = read_bert(str(published.export_dir / "encoder"))
    assert imported.encoder == dataclasses.replace(imported_export.encoder, hidden_dropout_prob=0.1)
    assert imported.encoder.hidden_activation == "gelu"
    assert imported.parts == imported_export.parts
    for name, value in imported_export.values.items():
        np.testing.assert_array_equal(imported.values[name], value)


class TestErrors:
    def test_unsupported_activation_and_missing_vocabulary(self, golden, tmp_path):
        config = version_2(hidden_activation="relu")
        write(tmp_path, golden, with_mlm=False, sentencepiece=True, **config)
        assert_import_fails(tmp_path / "hub", "hub has no vocab_file; .* --vocab_file")
        message = r"variables of a BERT, but its outputs differ .* by \d+\.\d%"
        assert_import_fails(tmp_path / "hub", message, "--vocab_file", str(golden / "vocab.txt"))

    def test_other_architecture(self, golden, tmp_path):
        config = version_2("albert", embedding_width=8)
        write(tmp_path, golden, with_mlm=False, **config)
        assert_import_fails(
            tmp_path / "hub", "hub has no variable transformer/layer_0/.*: it is not a BERT"
        )

    def save(self, tmp_path, *names):
        root = tf.train.Checkpoint()
        root.variables = [tf.Variable(tf.zeros([3, 4]), name=name) for name in names]
        tf.saved_model.save(root, str(tmp_path / "hub"))
        return tmp_path / "hub"

    def test_no_encoder(self, tmp_path):
        assert_import_fails(
            self.save(tmp_path, "table"), "has no variable word_embeddings/embeddings"
        )

    def test_two_encoders(self, tmp_path):
        source = self.save(tmp_path, "a/word_embeddings/embeddings", "b/word_embeddings/embeddings")
        assert_import_fails(source, "has several encoders: a/word_embeddings/embeddings, b/word_")
