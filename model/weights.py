"""tf-models' model with our weights, for export and for comparison.

Our variables have the names of `BertPretrainerV2`'s. Its shapes differ where heads have an axis of
their own; the numbers lie in the same order:

| name | ours | tf-models' |
|---|---|---|
| encoder/{word_embeddings, position_embedding, type_embeddings}/embeddings | [V or S or K, H] | same |
| encoder/embeddings/layer_norm/{gamma, beta} | [H] | same |
| encoder/transformer/layer_N/self_attention/{query, key, value}/kernel | [H, H] | [H, A, D] |
| encoder/transformer/layer_N/self_attention/{query, key, value}/bias | [H] | [A, D] |
| encoder/transformer/layer_N/self_attention/attention_output/kernel | [H, H] | [A, D, H] |
| encoder/transformer/layer_N/self_attention/attention_output/bias | [H] | same |
| encoder/transformer/layer_N/{intermediate, output}/{kernel, bias} | [I, O], [O] | same |
| encoder/transformer/layer_N/{self_attention, output}_layer_norm/{gamma, beta} | [H] | same |
| encoder/pooler_transform/{kernel, bias} | none | [H, H], [H] |
| bert/cls/predictions/transform/dense/{kernel, bias} | [H, H], [H] | same |
| bert/cls/predictions/transform/LayerNorm/{gamma, beta} | [H] | same |
| bert/cls/predictions/output_bias/bias | [V] | same |

Legend: V pieces, S positions, K types, H hidden, A heads, D = H / A, I inputs, O outputs.
"""

from __future__ import annotations

import tensorflow as tf
import tf_keras
from official.modeling import activations
from official.nlp.modeling import models, networks

from model.config import EncoderConfig
from model.mlm import Pretrainer

_POOLER = "encoder/pooler_transform/"
# By EncoderConfig.hidden_activation.
_ACTIVATIONS = {"gelu_tanh": activations.gelu, "gelu": tf_keras.activations.gelu}


def build_tf_models(config: EncoderConfig, *, seed: int) -> models.BertPretrainerV2:
    """tf-models' encoder and MLM head, built; it computes by the global policy of tf_keras.

    Args:
      config: the architecture; vocab_size must be known.
      seed: of the initial weights. After `to_tf_models`, of the pooler alone.
    """
    tf_keras.utils.set_random_seed(seed)

    def initializer():
        return tf_keras.initializers.TruncatedNormal(stddev=config.initializer_range)

    encoder = networks.BertEncoderV2(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        num_layers=config.num_hidden_layers,
        num_attention_heads=config.num_attention_heads,
        inner_dim=config.intermediate_size,
        inner_activation=_ACTIVATIONS[config.hidden_activation],
        output_dropout=config.hidden_dropout_prob,
        attention_dropout=config.attention_probs_dropout_prob,
        max_sequence_length=config.max_position_embeddings,
        type_vocab_size=config.type_vocab_size,
        initializer=initializer(),
        name="encoder",
    )
    pretrainer = models.BertPretrainerV2(
        encoder,
        mlm_activation=_ACTIVATIONS[config.hidden_activation],
        mlm_initializer=initializer(),
    )
    # A call with the smallest inputs creates the variables.
    pretrainer(
        {
            name: tf_keras.Input((min(8, config.max_position_embeddings),), dtype=tf.int32)
            for name in pretrainer.inputs
        }
    )
    return pretrainer


def to_tf_models(source: Pretrainer, target: models.BertPretrainerV2) -> None:
    """Copies all our weights; the pooler, which we do not have, stays as it is."""
    for ours, theirs in _pairs(source, target):
        theirs.assign(tf.reshape(ours, theirs.shape))


def from_tf_models(source: models.BertPretrainerV2, target: Pretrainer) -> None:
    """Copies all weights but the pooler's."""
    for ours, theirs in _pairs(target, source):
        ours.assign(tf.reshape(theirs, ours.shape))


def trained_variables(pretrainer: Pretrainer, model: models.BertPretrainerV2) -> list[tf.Variable]:
    """tf-models' variables that correspond to ours, in our order: all but the pooler's."""
    return [theirs for _, theirs in _pairs(pretrainer, model)]


def _pairs(
    pretrainer: Pretrainer, model: models.BertPretrainerV2
) -> list[tuple[tf.Variable, tf.Variable]]:
    """Variables of the same name; raises a ValueError if any has no partner."""
    ours = {variable.name: variable for variable in pretrainer.trainable_variables}
    theirs = {variable.name: variable for variable in model.trainable_variables}
    theirs = {name: v for name, v in theirs.items() if not name.startswith(_POOLER)}
    if alone := ours.keys() ^ theirs.keys():
        raise ValueError(f"variables of one model only: {sorted(alone)}")
    return [(variable, theirs[name]) for name, variable in ours.items()]
