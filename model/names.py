"""Names of a BERT's weights: ours, Google's, those of tf-models and of Hugging Face's format.

The columns of the tables are: our variable names, which are those of `BertPretrainerV2`; shapes; names in
Google's TensorFlow 1 checkpoints, from which Hugging Face's follow by rule; and attribute paths in a
tf-models checkpoint.

Legend of shapes: V pieces, S positions, K segment types, H hidden, F feed-forward. tf-models splits an H
of the attention into [A heads, H / A]; the order of the values is the same.
"""

from __future__ import annotations

import dataclasses

from model.config import EncoderConfig

POOLER = "encoder/pooler_transform/"
HEAD = "bert/cls/predictions/"

# `weights` adds a prefix to the names in each column.
_EMBEDDINGS = """
word_embeddings/embeddings     VH  word_embeddings        _embedding_layer/embeddings
position_embedding/embeddings  SH  position_embeddings    _position_embedding_layer/embeddings
type_embeddings/embeddings     KH  token_type_embeddings  _type_embedding_layer/embeddings
embeddings/layer_norm/gamma    H   LayerNorm/gamma        _embedding_norm_layer/gamma
embeddings/layer_norm/beta     H   LayerNorm/beta         _embedding_norm_layer/beta
"""
_ATTENTION = """
query/kernel             HH  self/query/kernel    _query_dense/kernel
query/bias               H   self/query/bias      _query_dense/bias
key/kernel               HH  self/key/kernel      _key_dense/kernel
key/bias                 H   self/key/bias        _key_dense/bias
value/kernel             HH  self/value/kernel    _value_dense/kernel
value/bias               H   self/value/bias      _value_dense/bias
attention_output/kernel  HH  output/dense/kernel  _output_dense/kernel
attention_output/bias    H   output/dense/bias    _output_dense/bias
"""
_BLOCK = """
self_attention_layer_norm/gamma  H   attention/output/LayerNorm/gamma  _attention_layer_norm/gamma
self_attention_layer_norm/beta   H   attention/output/LayerNorm/beta   _attention_layer_norm/beta
intermediate/kernel              HF  intermediate/dense/kernel         _intermediate_dense/kernel
intermediate/bias                F   intermediate/dense/bias           _intermediate_dense/bias
output/kernel                    FH  output/dense/kernel               _output_dense/kernel
output/bias                      H   output/dense/bias                 _output_dense/bias
output_layer_norm/gamma          H   output/LayerNorm/gamma            _output_layer_norm/gamma
output_layer_norm/beta           H   output/LayerNorm/beta             _output_layer_norm/beta
"""
_POOLER = """
kernel  HH  kernel  kernel
bias    H   bias    bias
"""
_HEAD = """
transform/dense/kernel     HH  transform/dense/kernel     dense/kernel
transform/dense/bias       H   transform/dense/bias       dense/bias
transform/LayerNorm/gamma  H   transform/LayerNorm/gamma  layer_norm/gamma
transform/LayerNorm/beta   H   transform/LayerNorm/beta   layer_norm/beta
output_bias/bias           V   output_bias                output_bias.Sbias
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Weight:
    """One weight of a model.

    Attributes:
      name: name of our variable.
      shape: shape of our variable.
      google: name in Google's TensorFlow 1 checkpoints, where the shape is the same.
      tf_models: attribute path in tf-models, starting at the encoder, or at `masked_lm` for weights of
        the head.
    """

    name: str
    shape: tuple[int, ...]
    google: str
    tf_models: str

    @property
    def part(self) -> str:
        """Part of the model: "encoder", "pooler" or "head"."""
        for prefix, part in ((POOLER, "pooler"), (HEAD, "head")):
            if self.name.startswith(prefix):
                return part
        return "encoder"

    @property
    def huggingface(self) -> str:
        """Name in Hugging Face's BertForMaskedLM."""
        name = self.google.replace("/layer_", "/layer.").replace("/", ".")
        if name.endswith("output_bias"):
            return name.replace("output_bias", "bias")
        if name.endswith("_embeddings"):
            return f"{name}.weight"
        stem, _, leaf = name.rpartition(".")
        return f"{stem}.{ {'kernel': 'weight', 'gamma': 'weight', 'beta': 'bias'}.get(leaf, leaf) }"

    @property
    def is_kernel(self) -> bool:
        """Whether this is the matrix of a dense layer, which PyTorch stores transposed."""
        return self.name.endswith("/kernel")


def weights(config: EncoderConfig, *parts: str) -> list[Weight]:
    """Return the weights of a model, or of some of its parts, in the order of computation.

    Args:
      config: architecture; vocab_size must be known.
      *parts: "encoder", "pooler", "head"; no parts means all.
    """
    sizes = {
        "V": config.vocab_size,
        "S": config.max_position_embeddings,
        "K": config.type_vocab_size,
        "H": config.hidden_size,
        "F": config.intermediate_size,
    }

    def read(table: str, *prefixes: str) -> list[Weight]:
        rows = []
        for row in table.strip().splitlines():
            name, letters, *others = row.split()
            name, google, tf_models = map("".join, zip(prefixes, (name, *others), strict=True))
            shape = tuple(sizes[letter] for letter in letters)
            rows.append(Weight(name=name, shape=shape, google=google, tf_models=tf_models))
        return rows

    rows = read(_EMBEDDINGS, "encoder/", "bert/embeddings/", "")
    for n in range(config.num_hidden_layers):
        ours, google = f"encoder/transformer/layer_{n}", f"bert/encoder/layer_{n}"
        tf_models = f"_transformer_layers/{n}"
        prefixes = (
            f"{ours}/self_attention/",
            f"{google}/attention/",
            f"{tf_models}/_attention_layer/",
        )
        rows += read(_ATTENTION, *prefixes)
        rows += read(_BLOCK, f"{ours}/", f"{google}/", f"{tf_models}/")
    rows += read(_POOLER, POOLER, "bert/pooler/dense/", "_pooler_layer/")
    rows += read(_HEAD, HEAD, "cls/predictions/", "")
    return [weight for weight in rows if not parts or weight.part in parts]
