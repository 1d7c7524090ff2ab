"""Read, set and copy weights by name, and build tf-models' model, for export and for comparison.

Our variables have the names of those of `BertPretrainerV2`, listed in model/names.py. Shapes differ in the
attention, where tf-models has a separate axis for heads; the order of the values is the same. Our model
has no pooler.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
import tf_keras
from official.modeling import activations
from official.nlp.modeling import models, networks

from data.errors import UserError
from model.compute_weights import refresh_compute_weights
from model.config import EncoderConfig
from model.mlm import Pretrainer
from model.names import POOLER, weights


def _exact_gelu(x: tf.Tensor) -> tf.Tensor:
    # Keras computes gelu from erfc, which ONNX does not have.
    return 0.5 * x * (1 + tf.math.erf(x * math.sqrt(0.5)))


# By EncoderConfig.hidden_activation.
_ACTIVATIONS = {"gelu_tanh": activations.gelu, "gelu": _exact_gelu}


def build_tf_models(config: EncoderConfig, *, seed: int) -> models.BertPretrainerV2:
    """Build tf-models' encoder and MLM head, with the global dtype policy of tf_keras.

    Args:
      config: architecture; vocab_size must be known.
      seed: seed of the initial weights. The pooler keeps its default initializer: we have no pooler.

    Raises:
      UserError: tf-models has no such encoder.
    """
    if config.position_encoding != "absolute":
        raise UserError(
            f"EncoderConfig.position_encoding={config.position_encoding!r}: BERT, and so tf-models and the"
            " exported formats, have 'absolute' only"
        )
    tf_keras.utils.set_random_seed(seed)

    def initializer() -> tf_keras.initializers.Initializer:
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
    # A call with short inputs creates the variables.
    pretrainer(
        {
            name: tf_keras.Input((min(8, config.max_position_embeddings),), dtype=tf.int32)
            for name in pretrainer.inputs
        }
    )
    return pretrainer


def values_of(model: tf.Module, config: EncoderConfig) -> dict[str, np.ndarray]:
    """Return the weights by name, in our shapes.

    Args:
      model: our model, tf-models' model, or a loaded SavedModel. A weight whose size is not that of
        the architecture keeps its shape.
      config: architecture of the model.
    """
    variables = _by_name(model)
    values = {}
    for weight in weights(config):
        if weight.name in variables:
            value = variables[weight.name].numpy()
            fits = value.size == math.prod(weight.shape)
            values[weight.name] = value.reshape(weight.shape) if fits else value
    return values


def assign(model: tf.Module, values: Mapping[str, np.ndarray]) -> None:
    """Set the variables that have a value, and leave the others as they are.

    Args:
      model: our model or tf-models' model.
      values: values by variable name.

    Raises:
      ValueError: a value belongs to no variable, or has a different number of elements.
    """
    variables = _by_name(model)
    if unknown := values.keys() - variables.keys():
        raise ValueError(f"the model has no {sorted(unknown)}")
    for name, value in values.items():
        variables[name].assign(tf.reshape(value, variables[name].shape))
    refresh_compute_weights(model)


def to_tf_models(source: Pretrainer, target: models.BertPretrainerV2) -> None:
    """Copy all weights of our model; tf-models' pooler is left as it is."""
    for ours, theirs in _pairs(source, target):
        theirs.assign(tf.reshape(ours, theirs.shape))


def from_tf_models(source: models.BertPretrainerV2, target: Pretrainer) -> None:
    """Copy all weights but those of the pooler."""
    for ours, theirs in _pairs(target, source):
        ours.assign(tf.reshape(theirs, ours.shape))
    refresh_compute_weights(target)


def trained_variables(pretrainer: Pretrainer, model: models.BertPretrainerV2) -> list[tf.Variable]:
    """Return tf-models' variables that correspond to ours, in our order: all but the pooler's."""
    return [theirs for _, theirs in _pairs(pretrainer, model)]


def _by_name(model: tf.Module) -> dict[str, tf.Variable]:
    # Variables of a loaded SavedModel keep the suffix ":0".
    return {variable.name.partition(":")[0]: variable for variable in model.trainable_variables}


def _pairs(
    pretrainer: Pretrainer, model: models.BertPretrainerV2
) -> list[tuple[tf.Variable, tf.Variable]]:
    """Return pairs of variables with the same name; raise a ValueError if one has no partner."""
    ours, theirs = _by_name(pretrainer), _by_name(model)
    theirs = {name: v for name, v in theirs.items() if not name.startswith(POOLER)}
    if unmatched := ours.keys() ^ theirs.keys():
        raise ValueError(f"variables of only one model: {sorted(unmatched)}")
    return [(variable, theirs[name]) for name, variable in ours.items()]
