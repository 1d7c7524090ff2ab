"""Checkpoints for tf-models, restored by its export and fine-tuning, and imported again."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from official.legacy.bert.configs import BertConfig
from official.nlp.configs import encoders
from official.nlp.tools import export_tfhub_lib

from model.huggingface import bert_config_to_json
from model.names import weights
from pretrain.convert.formats import read_bert
from pretrain.export import __main__ as export
from tests.support.published import random_values

SIZES = dict(
    vocab_size=1500,
    hidden_size=16,
    num_attention_heads=2,
    intermediate_size=32,
    max_position_embeddings=64,
    type_vocab_size=2,
)


def models_of(kind: str):
    """Return (encoder with the names of the Hub, pretrainer), as the export of tf-models builds them."""
    if kind == "legacy":
        config = {"bert_config": BertConfig(**SIZES, num_hidden_layers=2)}
    else:
        config = {"encoder_config": encoders.EncoderConfig(type=kind)}
        config["encoder_config"].override({kind: {**SIZES, "num_layers": 2}})
    return export_tfhub_lib._create_model(with_mlm=True, **config)


@pytest.mark.parametrize("kind", ["legacy", "bert_v2"])
def test_tf_models_export_and_fine_tuning_restore_it(published, kind):
    path = tf.train.latest_checkpoint(str(published.tf_models_dir))
    assert path.endswith("ckpt-6")
    _, pretrainer = models_of(kind)
    # As in `export_model`: every object must be in the checkpoint.
    checkpoint = tf.train.Checkpoint(**pretrainer.checkpoint_items)
    checkpoint.restore(path).assert_existing_objects_matched()
    expected = random_values(published.config)
    config = published.config.encoder
    variables = {v.name.removesuffix(":0"): v.numpy() for v in pretrainer.trainable_variables}
    assert len(variables) == len(expected)
    prefix = next(name for name in variables if "word_emb" in name).partition("word_emb")[0]
    for weight in weights(config, "encoder", "head"):
        name = prefix + weight.name.removeprefix("encoder/")
        found = variables[weight.name if weight.part == "head" else name]
        np.testing.assert_array_equal(found.reshape(weight.shape), expected[weight.name])
    # As in `initialize` of the tasks.
    other = models_of(kind)[1].encoder_network
    status = tf.train.Checkpoint(encoder=other).read(path)
    status.expect_partial().assert_existing_objects_matched()
    restored = zip(other.variables, pretrainer.encoder_network.variables, strict=True)
    assert all(np.array_equal(a, b) for a, b in restored)


def test_checkpoint_is_imported_again(published, imported_export):
    """Activation, dropout and lower-casing come from export.json."""
    imported, ours = read_bert(str(published.tf_models_dir)), imported_export
    assert (imported.kind, imported.left_out) == ("tf-models checkpoint", ())
    assert (imported.encoder, imported.lower_case) == (ours.encoder, ours.lower_case)
    assert imported.vocab == ours.vocab
    assert imported.values.keys() == ours.values.keys()
    for name, value in ours.values.items():
        np.testing.assert_array_equal(imported.values[name], value)


def test_bert_config_json_exists_for_the_tanh_gelu_only(published):
    """BERT's "gelu" is the tanh approximation; the exact one has no name there."""
    exact = published.config.encoder
    assert bert_config_to_json(exact) is None
    assert not (published.tf_models_dir / "bert_config.json").exists()
    assert "have no name for the exact gelu" in (published.tf_models_dir / "README.md").read_text()
    content = bert_config_to_json(dataclasses.replace(exact, hidden_activation="gelu_tanh"))
    bert_config = BertConfig.from_dict(content)
    assert bert_config.hidden_act == "gelu"
    for name, value in SIZES.items():
        assert getattr(bert_config, name) == value
    assert bert_config.num_hidden_layers == 2


@pytest.mark.slow
def test_round_trip_through_the_export_of_tf_models(published, tmp_path):
    """Run, checkpoint, export of tf-models, import: the same weights and architecture."""
    model_dir = shutil.copytree(published.model_dir, tmp_path / "model")
    record = (model_dir / "run.json").read_text()
    assert json.loads(record)["config"]["encoder"]["hidden_activation"] == "gelu"
    (model_dir / "run.json").write_text(record.replace('"gelu"', '"gelu_tanh"'))
    flags = {"model_dir": model_dir, "output_dir": tmp_path / "e", "tf_models_dir": tmp_path / "t"}
    export.main([f"--{name}={value}" for name, value in flags.items()])
    export_tfhub_lib.export_model(
        str(tmp_path / "hub"),
        bert_config=BertConfig.from_json_file(str(tmp_path / "t/bert_config.json")),
        model_checkpoint_path=str(tmp_path / "t/ckpt-6"),
        with_mlm=True,
        vocab_file=str(tmp_path / "t/vocab.txt"),
        do_lower_case=True,
    )
    ours, theirs = read_bert(str(tmp_path / "e")), read_bert(str(tmp_path / "hub"))
    assert theirs.encoder == ours.encoder
    assert theirs.values.keys() == ours.values.keys()
    for name, value in ours.values.items():
        np.testing.assert_array_equal(theirs.values[name], value)
