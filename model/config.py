"""Settings of the architecture, with BERT's own names. Bound by gin in pretrain/gin_files.py."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar, TypeVar

from data.errors import UserError

T = TypeVar("T")

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
            least = 0 if field.name == "vocab_size" or field.type == "float" else 1
            if value < least:
                raise UserError(f"EncoderConfig.{field.name}={value}: must be at least {least}")
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
            if getattr(self, name) >= 1:
                raise UserError(f"EncoderConfig.{name}={getattr(self, name)}: must be below 1")
        if self.hidden_size % self.num_attention_heads:
            raise UserError(
                f"EncoderConfig.hidden_size={self.hidden_size} is not a multiple of"
                f" EncoderConfig.num_attention_heads={self.num_attention_heads}"
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
