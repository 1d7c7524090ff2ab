"""Hugging Face's format of a BERT: tensor names, configuration and tokenizer files.

The functions are pure: they convert values in memory and neither read nor write files.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from data import schema
from data.errors import UserError
from model.config import EncoderConfig
from model.names import weights

# In PyTorch "gelu" is the exact one; BERT's own has several names, and we write "gelu_new".
_TO_HIDDEN_ACT = {"gelu_tanh": "gelu_new", "gelu": "gelu"}
_FROM_HIDDEN_ACT = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
}
# Settings with the same names in EncoderConfig and config.json.
_COMMON = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "max_position_embeddings",
    "type_vocab_size",
    "initializer_range",
)
# Settings of config.json that our encoder has fixed values for; these are also their defaults.
_FIXED = {
    "model_type": "bert",
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "add_cross_attention": False,
    "tie_word_embeddings": True,
    "layer_norm_eps": 1e-12,
}
# Tensors of other or older checkpoints: aliases, the tied decoder, and a constant.
_ALIASES = {"cls.predictions.decoder.bias": "cls.predictions.bias"}
_DECODER, _TABLE = "cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight"
_CONSTANT = "embeddings.position_ids"
# What wrappers put before all names: DataParallel, Lightning, torch.compile.
_WRAPPERS = ("module.", "model.", "_orig_mod.")


# Parts of each architecture, and the dense layer that fine-tuning adds.
_PARTS = {
    "BertForMaskedLM": ("encoder", "head"),
    "BertModel": ("encoder", "pooler"),
    "BertForSequenceClassification": ("encoder", "pooler"),
    "BertForTokenClassification": ("encoder",),
    "BertForQuestionAnswering": ("encoder",),
}
_OUTPUTS = {
    "BertForSequenceClassification": "classifier",
    "BertForTokenClassification": "classifier",
    "BertForQuestionAnswering": "qa_outputs",
}


def config_to_json(
    config: EncoderConfig, *, pad_token_id: int, architecture: str
) -> dict[str, Any]:
    """Return the content of config.json.

    Args:
      config: architecture; vocab_size must be known.
      pad_token_id: id of [PAD].
      architecture: class of transformers, such as "BertForMaskedLM".
    """
    return {
        "architectures": [architecture],
        **_FIXED,
        **{name: getattr(config, name) for name in _COMMON},
        "hidden_act": _TO_HIDDEN_ACT[config.hidden_activation],
        "pad_token_id": pad_token_id,
        "dtype": "float32",
    }


def bert_config_to_json(config: EncoderConfig) -> dict[str, Any] | None:
    """Return the content of BERT's own bert_config.json; None if it cannot express the activation.

    There "gelu" is the approximation with tanh, and the exact gelu has no name.
    """
    if config.hidden_activation != "gelu_tanh":
        return None
    return {**{name: getattr(config, name) for name in _COMMON}, "hidden_act": "gelu"}


def config_from_json(content: Mapping[str, Any], source: str) -> EncoderConfig:
    """Return the architecture in a config.json.

    Args:
      content: content of config.json.
      source: name of the file, for errors.

    Raises:
      UserError: the model is not a BERT, or a BERT with settings that our encoder does not have.
    """
    if "model_type" not in content:
        raise UserError(f"{source} has no model_type: it is not the configuration of a BERT")
    activation = _look_up(_FROM_HIDDEN_ACT, "hidden_act", content, source)
    return build_config(common_settings(content, source), activation, source)


def build_config(settings: Mapping[str, Any], activation: str, source: str) -> EncoderConfig:
    """Return an architecture.

    Args:
      settings: the settings of `common_settings`.
      activation: hidden_activation.
      source: name of the file, for errors.

    Raises:
      UserError: a setting is out of range, or settings contradict each other.
    """
    try:
        return EncoderConfig(**settings, hidden_activation=activation)
    except UserError as error:
        raise UserError(f"{source}: {error}") from None


def common_settings(content: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Return the settings with the same names in EncoderConfig, bert_config.json and config.json.

    Args:
      content: content of either file.
      source: name of the file, for errors.

    Raises:
      UserError: a size is missing or not a number, or a setting has a value that our encoder does not
        support.
    """
    for name, ours in _FIXED.items():
        if (theirs := content.get(name, ours)) != ours:
            raise UserError(
                f"{source}: {name} is {theirs!r:.60}; this encoder is a BERT with {name} {ours!r}"
            )
    settings = {}
    for name in _COMMON:
        if name in content:
            is_rate = isinstance(getattr(EncoderConfig, name), float)
            settings[name] = _number(content[name], f"{source}: {name}", is_rate=is_rate)
        elif name in ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads"):
            raise UserError(f"{source} has no {name}: it is not the configuration of a BERT")
    return settings


def _number(value: Any, name: str, *, is_rate: bool) -> float:
    types, expected = ((int, float), "number") if is_rate else ((int,), "whole number")
    if type(value) not in types or not abs(value) <= sys.float_info.max:
        raise UserError(f"{name} is {value!r:.60}, not a {expected}")
    return value


def _look_up(table: Mapping[str, str], name: str, content: Mapping[str, Any], source: str) -> str:
    value = content.get(name, "gelu")
    if not isinstance(value, str) or value not in table:
        raise UserError(f"{source}: {name} is {value!r:.60}; known are {', '.join(table)}")
    return table[value]


def to_tensors(
    values: Mapping[str, np.ndarray],
    config: EncoderConfig,
    *,
    architecture: str,
    output: tuple[np.ndarray, np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """Return the content of model.safetensors, float32.

    Args:
      values: values of all weights of the architecture, by our names and in our shapes.
      config: sizes of the model.
      architecture: class of transformers. "BertForMaskedLM" has the head and no pooler, "BertModel" the
        pooler and no head.
      output: kernel [H, C] and bias [C] of the dense layer that fine-tuning adds; None if the
        architecture has none.
    """
    tensors: dict[str, np.ndarray] = {}
    if output is not None:
        name, (kernel_HC, bias_C) = _OUTPUTS[architecture], output
        tensors |= {f"{name}.weight": np.ascontiguousarray(kernel_HC.T), f"{name}.bias": bias_C}
    for weight in weights(config, *_PARTS[architecture]):
        value, name = values[weight.name], weight.huggingface
        if architecture == "BertModel":
            name = name.removeprefix("bert.")
        tensors[name] = np.ascontiguousarray(value.T if weight.is_kernel else value)
    return tensors


def from_tensors(
    tensors: Mapping[str, np.ndarray], config: EncoderConfig, source: str
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Convert tensors to our names and shapes.

    Args:
      tensors: tensors of a BertModel, BertForMaskedLM, BertForPreTraining or another model with a BERT
        inside.
      config: sizes of the model.
      source: name of the file, for errors.

    Returns:
      (values, unused): weights of encoder, pooler and head as far as they are present, in our shapes,
      and the sorted names of all other tensors, such as a classifier's.

    Raises:
      UserError: the decoder is not tied to the word embeddings.
    """
    remaining = {_canonical(name): value for name, value in tensors.items()}
    decoder, table = remaining.pop(_DECODER, None), remaining.get(_TABLE)
    if decoder is not None and (table is None or not np.array_equal(decoder, table)):
        raise UserError(
            f"{source}: {_DECODER} differs from the word embeddings; this encoder has one table for both"
        )
    values = {}
    for weight in weights(config):
        if (value := remaining.pop(weight.huggingface, None)) is not None:
            values[weight.name] = value.T if weight.is_kernel else value
    return values, sorted(name for name in remaining if not name.endswith(_CONSTANT))


def unwrapped(name: str) -> str:
    """Return a tensor's name without what wrappers of the model put before it, such as "module."."""
    while name.startswith(_WRAPPERS):
        name = name.partition(".")[2]
    return name


def _canonical(name: str) -> str:
    """Return a tensor's name in today's BertForMaskedLM."""
    if name.startswith(("embeddings.", "encoder.", "pooler.")):
        name = f"bert.{name}"  # BertModel has no prefix
    stem, _, leaf = name.rpartition(".")
    if stem.endswith("LayerNorm"):
        name = f"{stem}.{ {'gamma': 'weight', 'beta': 'bias'}.get(leaf, leaf) }"  # old checkpoints
    return _ALIASES.get(name, name)


def tokenizer_files(
    pieces: tuple[str, ...], *, lower_case: bool, max_length: int
) -> dict[str, str]:
    """Return the files of a fast BertTokenizer by name: vocab.txt and the two JSON files.

    Args:
      pieces: vocabulary.
      lower_case: whether to lower-case text, as in the data build.
      max_length: longest input of the encoder, tokens.
    """
    from tokenizers import BertWordPieceTokenizer

    special = {
        "unk_token": schema.UNK,
        "sep_token": schema.SEP,
        "pad_token": schema.PAD,
        "cls_token": schema.CLS,
        "mask_token": schema.MASK,
    }
    tokenizer = BertWordPieceTokenizer(
        {piece: i for i, piece in enumerate(pieces)}, lowercase=lower_case, **special
    )
    # The same content as from `BertTokenizer.save_pretrained`.
    settings = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": lower_case,
        "strip_accents": None,
        "tokenize_chinese_chars": True,
        "model_max_length": max_length,
        **special,
    }
    return {
        schema.VOCAB_FILE: "".join(f"{piece}\n" for piece in pieces),
        "tokenizer.json": tokenizer.to_str(pretty=True),
        "tokenizer_config.json": json.dumps(settings, indent=1) + "\n",
    }
