"""Weights as arrays by name, and tf-models' model with them, for export and for comparison.

Our variables have the names of `BertPretrainerV2`'s; the table is in model/names.py. Its shapes differ
in the attention, where heads have an axis of their own; the numbers lie in the same order. We have no
pooler.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
import tf_keras
from official.modeling import activations
from official.nlp.modeling import models, networks

from model.compute_weights import refresh_compute_weights
from model.config import EncoderConfig
from model.mlm import Pretrainer
from model.names import POOLER, weights


def _exact_gelu(x: tf.Tensor) -> tf.Tensor:
    # Keras computes it from erfc, which ONNX does not know.
    return 0.5 * x * (1 + tf.math.erf(x * math.sqrt(0.5)))


# By EncoderConfig.hidden_activation.
_ACTIVATIONS = {"gelu_tanh": activations.gelu, "gelu": _exact_gelu}


def build_tf_models(config: EncoderConfig, *, seed: int) -> models.BertPretrainerV2:
    """tf-models' encoder and MLM head, built; it computes by the global policy of tf_keras.

    Args:
      config: the architecture; vocab_size must be known.
      seed: of the initial weights. The pooler keeps its own: we have none.
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


def values_of(model: tf.Module, config: EncoderConfig) -> dict[str, np.ndarray]:
    """The weights of our model, of tf-models' or of a loaded SavedModel, by name, in our shapes."""
    found = _by_name(model)
    return {
        weight.name: found[weight.name].numpy().reshape(weight.shape)
        for weight in weights(config)
        if weight.name in found
    }


def assign(model: tf.Module, values: Mapping[str, np.ndarray]) -> None:
    """Sets the variables of our model or of tf-models' that have a value; the others stay.

    Raises:
      ValueError: a value belongs to no variable, or has another number of elements.
    """
    variables = _by_name(model)
    if strangers := values.keys() - variables.keys():
        raise ValueError(f"the model has no {sorted(strangers)}")
    for name, value in values.items():
        variables[name].assign(tf.reshape(value, variables[name].shape))
    refresh_compute_weights(model)


def to_tf_models(source: Pretrainer, target: models.BertPretrainerV2) -> None:
    """Copies all our weights; the pooler, which we do not have, stays as it is."""
    for ours, theirs in _pairs(source, target):
        theirs.assign(tf.reshape(ours, theirs.shape))


def from_tf_models(source: models.BertPretrainerV2, target: Pretrainer) -> None:
    """Copies all weights but the pooler's."""
    for ours, theirs in _pairs(target, source):
        ours.assign(tf.reshape(theirs, ours.shape))
    refresh_compute_weights(target)


def trained_variables(pretrainer: Pretrainer, model: models.BertPretrainerV2) -> list[tf.Variable]:
    """tf-models' variables that correspond to ours, in our order: all but the pooler's."""
    return [theirs for _, theirs in _pairs(pretrainer, model)]


def _by_name(model: tf.Module) -> dict[str, tf.Variable]:
    # A variable of a loaded SavedModel keeps the suffix that TensorFlow shows, ":0".
    return {variable.name.partition(":")[0]: variable for variable in model.trainable_variables}


def _pairs(
    pretrainer: Pretrainer, model: models.BertPretrainerV2
) -> list[tuple[tf.Variable, tf.Variable]]:
    """Variables of the same name; raises a ValueError if any has no partner."""
    ours, theirs = _by_name(pretrainer), _by_name(model)
    theirs = {name: v for name, v in theirs.items() if not name.startswith(POOLER)}
    if alone := ours.keys() ^ theirs.keys():
        raise ValueError(f"variables of one model only: {sorted(alone)}")
    return [(variable, theirs[name]) for name, variable in ours.items()]
