"""Hugging Face's format: tensor names and configuration."""

import numpy as np
import pytest

from data.errors import UserError
from model import huggingface
from model.config import EncoderConfig
from model.names import weights

ONE_BLOCK = EncoderConfig(
    vocab_size=50,
    hidden_size=8,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=16,
    max_position_embeddings=12,
)
# What transformers 5.23 saves for BertForPreTraining of this architecture, without the NSP head.
SHAPES = {
    "bert.embeddings.LayerNorm.bias": [8],
    "bert.embeddings.LayerNorm.weight": [8],
    "bert.embeddings.position_embeddings.weight": [12, 8],
    "bert.embeddings.token_type_embeddings.weight": [2, 8],
    "bert.embeddings.word_embeddings.weight": [50, 8],
    "bert.encoder.layer.0.attention.output.LayerNorm.bias": [8],
    "bert.encoder.layer.0.attention.output.LayerNorm.weight": [8],
    "bert.encoder.layer.0.attention.output.dense.bias": [8],
    "bert.encoder.layer.0.attention.output.dense.weight": [8, 8],
    "bert.encoder.layer.0.attention.self.key.bias": [8],
    "bert.encoder.layer.0.attention.self.key.weight": [8, 8],
    "bert.encoder.layer.0.attention.self.query.bias": [8],
    "bert.encoder.layer.0.attention.self.query.weight": [8, 8],
    "bert.encoder.layer.0.attention.self.value.bias": [8],
    "bert.encoder.layer.0.attention.self.value.weight": [8, 8],
    "bert.encoder.layer.0.intermediate.dense.bias": [16],
    "bert.encoder.layer.0.intermediate.dense.weight": [16, 8],
    "bert.encoder.layer.0.output.LayerNorm.bias": [8],
    "bert.encoder.layer.0.output.LayerNorm.weight": [8],
    "bert.encoder.layer.0.output.dense.bias": [8],
    "bert.encoder.layer.0.output.dense.weight": [8, 16],
    "bert.pooler.dense.bias": [8],
    "bert.pooler.dense.weight": [8, 8],
    "cls.predictions.bias": [50],
    "cls.predictions.transform.LayerNorm.bias": [8],
    "cls.predictions.transform.LayerNorm.weight": [8],
    "cls.predictions.transform.dense.bias": [8],
    "cls.predictions.transform.dense.weight": [8, 8],
}


def values_of(config) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {w.name: rng.normal(size=w.shape).astype(np.float32) for w in weights(config)}


def test_tensors_have_the_names_and_shapes_of_transformers():
    values = values_of(ONE_BLOCK)
    tensors = huggingface.to_tensors(values, ONE_BLOCK, architecture="BertForMaskedLM")
    pooler = huggingface.to_tensors(values, ONE_BLOCK, architecture="BertModel")
    whole = tensors | {f"bert.{name}": value for name, value in pooler.items()}
    assert {name: list(value.shape) for name, value in whole.items()} == SHAPES
    assert not any("pooler" in name for name in tensors)
    assert not any("cls." in name for name in pooler)
    kernel = values["encoder/transformer/layer_0/intermediate/kernel"]
    name = "bert.encoder.layer.0.intermediate.dense.weight"
    np.testing.assert_array_equal(tensors[name], kernel.T)


@pytest.mark.parametrize("architecture", ["BertForMaskedLM", "BertModel"])
def test_tensors_survive_a_round_trip(architecture):
    values = values_of(ONE_BLOCK)
    tensors = huggingface.to_tensors(values, ONE_BLOCK, architecture=architecture)
    found, unused = huggingface.from_tensors(tensors, ONE_BLOCK, "file")
    assert unused == []
    missing = {"BertForMaskedLM": "pooler", "BertModel": "head"}[architecture]
    assert found.keys() == {w.name for w in weights(ONE_BLOCK) if w.part != missing}
    for name, value in found.items():
        np.testing.assert_array_equal(value, values[name])


def test_tensors_of_other_checkpoints_are_recognized():
    """Old names, a separate copy of the tied decoder, buffers, and heads that are not used."""
    values = values_of(ONE_BLOCK)
    tensors = huggingface.to_tensors(values, ONE_BLOCK, architecture="BertForMaskedLM")
    tensors = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("Norm.bias", "Norm.beta"): value
        for name, value in tensors.items()
    }
    tensors["cls.predictions.decoder.weight"] = tensors["bert.embeddings.word_embeddings.weight"]
    tensors["cls.predictions.decoder.bias"] = tensors.pop("cls.predictions.bias")
    tensors["bert.embeddings.position_ids"] = np.arange(12)[None]
    tensors["cls.seq_relationship.weight"] = np.zeros([2, 8])
    found, unused = huggingface.from_tensors(tensors, ONE_BLOCK, "file")
    assert unused == ["cls.seq_relationship.weight"]
    for weight in weights(ONE_BLOCK, "encoder", "head"):
        np.testing.assert_array_equal(found[weight.name], values[weight.name])
    tensors["cls.predictions.decoder.weight"] = np.zeros([50, 8], np.float32)
    with pytest.raises(UserError, match=r"decoder\.weight differs from the word embeddings"):
        huggingface.from_tensors(tensors, ONE_BLOCK, "file")


@pytest.mark.parametrize(
    ("theirs", "ours", "back"),
    [
        ("gelu", "gelu", "gelu"),
        ("gelu_new", "gelu_tanh", "gelu_new"),
        ("gelu_pytorch_tanh", "gelu_tanh", "gelu_new"),
    ],
)
def test_activations_are_mapped_in_both_directions(theirs, ours, back):
    """PyTorch's "gelu" is the exact one; that of tf-models is the approximation with tanh."""
    settings = dict(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2)
    content = {"model_type": "bert", "hidden_act": theirs, **settings}
    config = huggingface.config_from_json(content, "config.json")
    assert config.hidden_activation == ours
    written = huggingface.config_to_json(config, pad_token_id=0, architecture="BertModel")
    assert written["hidden_act"] == back
    assert huggingface.config_from_json(written, "config.json") == config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"model_type": "roberta"},
            "model_type is 'roberta'; this encoder is a BERT with .* 'bert'",
        ),
        ({"model_type": "deberta-v2"}, "model_type is 'deberta-v2'; "),
        ({"model_type": None}, "model_type is None; "),
        ({"hidden_act": "relu"}, "hidden_act is 'relu'; known are gelu, "),
        ({"layer_norm_eps": 1e-5}, "layer_norm_eps is 1e-05; .* 1e-12"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type is 'relative_key'"),
        ({"is_decoder": True}, "is_decoder is True; "),
    ],
)
def test_unsupported_settings_are_errors(change, message):
    settings = dict(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2)
    with pytest.raises(UserError, match=message):
        huggingface.config_from_json({"model_type": "bert", **settings, **change}, "config.json")
