"""Settings of the architecture, with BERT's own names. Bound by gin in pretrain/gin_files.py."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar, TypeVar

from data.errors import UserError, check_maxima

T = TypeVar("T")

# Sizes of several times the largest published encoders; more is a mistake that would fill the memory.
_MAXIMA = {
    "vocab_size": 2**24,
    "hidden_size": 2**16,
    "num_hidden_layers": 1024,
    "num_attention_heads": 2**16,
    "intermediate_size": 2**18,
    "max_position_embeddings": 2**16,
    "type_vocab_size": 2**16,
    "initializer_range": 1000,
}
_MAX_PARAMETERS = 10**11
ACTIVATIONS = ("gelu_tanh", "gelu")


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """A post-LN BERT encoder (https://arxiv.org/abs/1810.04805). The defaults are BERT-base.

    Attributes:
      vocab_size: rows of the embedding table; 0 takes the size of the data's vocabulary.
      hidden_size: H, width of the residual stream.
      num_hidden_layers: L, number of Transformer blocks.
      num_attention_heads: A, number of attention heads; divides hidden_size.
      intermediate_size: F, width of the feed-forward layer.
      hidden_activation: activation of the feed-forward layer and the MLM head: "gelu_tanh" is BERT's
        gelu, also used by tf-models; "gelu" is the exact one of checkpoints in Hugging Face's format.
      hidden_dropout_prob: dropout rate after embeddings, attention and feed-forward.
      attention_probs_dropout_prob: dropout rate of the attention weights.
      max_position_embeddings: length of the longest sequence, tokens.
      type_vocab_size: number of segment types.
      initializer_range: standard deviation of the truncated normal of initial weights.
      position_encoding: key of `model.encoder.POSITION_ENCODINGS`. Not a setting while there is one only;
        docs/extending.md makes it one. Exports accept "absolute" only, BERT's.
    """

    vocab_size: int = 0
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_activation: str = "gelu_tanh"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    position_encoding: ClassVar[str] = "absolute"

    def __post_init__(self) -> None:
        if self.hidden_activation not in ACTIVATIONS:
            raise UserError(
                f"EncoderConfig.hidden_activation={self.hidden_activation!r}: must be one of"
                f" {', '.join(ACTIVATIONS)}"
            )
        for field in dataclasses.fields(self):
            if field.type == "str":
                continue
            value = getattr(self, field.name)
            minimum = 0 if field.name == "vocab_size" or field.type == "float" else 1
            if value < minimum:
                raise UserError(f"EncoderConfig.{field.name}={value}: must be at least {minimum}")
        check_maxima(self, _MAXIMA)
        self._check_size()
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
            if getattr(self, name) >= 1:
                raise UserError(f"EncoderConfig.{name}={getattr(self, name)}: must be below 1")
        if self.hidden_size % self.num_attention_heads:
            raise UserError(
                f"EncoderConfig.hidden_size={self.hidden_size} is not a multiple of"
                f" EncoderConfig.num_attention_heads={self.num_attention_heads}"
            )

    def _check_size(self) -> None:
        """Raise a UserError if the weights are too many for any device."""
        h, f = self.hidden_size, self.intermediate_size
        tables = self.vocab_size + self.max_position_embeddings + self.type_vocab_size
        parameters = self.num_hidden_layers * (4 * h * h + 2 * h * f) + tables * h
        if parameters > _MAX_PARAMETERS:
            raise UserError(
                f"EncoderConfig.hidden_size={h}, intermediate_size={f} and"
                f" num_hidden_layers={self.num_hidden_layers} give {parameters / 1e9:,.0f} billion weights;"
                f" at most {_MAX_PARAMETERS / 1e9:,.0f} billion fit, in every device (launch.plan"
                " estimates the memory)"
            )


def lookup(table: Mapping[str, T], name: str, setting: str) -> T:
    """Return an entry of a table.

    Args:
      table: alternatives by name.
      name: name of the alternative.
      setting: setting or argument that has the name, for the error.

    Raises:
      ValueError: unknown name.
    """
    if name not in table:
        raise ValueError(f"{setting}={name!r}: must be one of {', '.join(table)}")
    return table[name]
