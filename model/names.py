"""What the weights of a BERT encoder are called here, at Google, in tf-models and in Hugging Face's format.

The first column are our variables, named as `BertPretrainerV2` names its own; the second the names in
Google's TensorFlow 1 checkpoints, from which Hugging Face's follow by rule; the third the attributes
that lead to a variable in a tf-models checkpoint. Legend of shapes: V pieces, S positions, K types,
H hidden, F feed-forward. tf-models cuts an H of the attention into [A heads, H / A]; the numbers lie
in the same order.
"""

from __future__ import annotations

import dataclasses

from model.config import EncoderConfig

POOLER = "encoder/pooler_transform/"
HEAD = "bert/cls/predictions/"

# Each table lies below three prefixes, which `weights` gives.
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
      name: ours.
      shape: ours.
      google: its name in Google's TensorFlow 1 checkpoints, of the same shape.
      tf_models: the attributes that lead to it in tf-models, from the encoder, or for weights of the
        head from `masked_lm`.
    """

    name: str
    shape: tuple[int, ...]
    google: str
    tf_models: str

    @property
    def part(self) -> str:
        """Which part of a model it belongs to: "encoder", "pooler" or "head"."""
        for prefix, part in ((POOLER, "pooler"), (HEAD, "head")):
            if self.name.startswith(prefix):
                return part
        return "encoder"

    @property
    def huggingface(self) -> str:
        """Its name in Hugging Face's BertForMaskedLM."""
        name = self.google.replace("/layer_", "/layer.").replace("/", ".")
        if name.endswith("output_bias"):
            return name.replace("output_bias", "bias")
        if name.endswith("_embeddings"):
            return f"{name}.weight"
        stem, _, leaf = name.rpartition(".")
        return f"{stem}.{ {'kernel': 'weight', 'gamma': 'weight', 'beta': 'bias'}.get(leaf, leaf) }"

    @property
    def is_kernel(self) -> bool:
        """Whether it is the matrix of a dense layer, which PyTorch stores transposed."""
        return self.name.endswith("/kernel")


def weights(config: EncoderConfig, *parts: str) -> list[Weight]:
    """The weights of a model, or of some of its parts, in the order of computation.

    Args:
      config: the architecture; vocab_size must be known.
      *parts: "encoder", "pooler", "head"; none means all.
    """
    sizes = {
        "V": config.vocab_size,
        "S": config.max_position_embeddings,
        "K": config.type_vocab_size,
        "H": config.hidden_size,
        "F": config.intermediate_size,
    }

    def rows(table: str, *prefixes: str) -> list[Weight]:
        found = []
        for row in table.strip().splitlines():
            name, shape, *others = row.split()
            name, google, tf_models = map("".join, zip(prefixes, (name, *others), strict=True))
            shape = tuple(sizes[letter] for letter in shape)
            found.append(Weight(name=name, shape=shape, google=google, tf_models=tf_models))
        return found

    found = rows(_EMBEDDINGS, "encoder/", "bert/embeddings/", "")
    for n in range(config.num_hidden_layers):
        ours, google = f"encoder/transformer/layer_{n}", f"bert/encoder/layer_{n}"
        theirs = f"_transformer_layers/{n}"
        prefixes = (
            f"{ours}/self_attention/",
            f"{google}/attention/",
            f"{theirs}/_attention_layer/",
        )
        found += rows(_ATTENTION, *prefixes)
        found += rows(_BLOCK, f"{ours}/", f"{google}/", f"{theirs}/")
    found += rows(_POOLER, POOLER, "bert/pooler/dense/", "_pooler_layer/")
    found += rows(_HEAD, HEAD, "cls/predictions/", "")
    return [weight for weight in found if not parts or weight.part in parts]
