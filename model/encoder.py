"""The BERT encoder and its MLM head, from tf-models."""

from __future__ import annotations

import dataclasses

import tensorflow as tf
import tf_keras
from official.modeling import tf_utils
from official.nlp.modeling import models, networks

from model.config import EncoderConfig


def build_pretrainer(config: EncoderConfig) -> models.BertPretrainerV2:
    """An encoder with an MLM head whose output table is the word embedding.

    Called with a dict of int32 `input_word_ids`, `input_mask`, `input_type_ids` [B, S] and
    `masked_lm_positions` [B, P], it returns `mlm_logits` [B, P, V] beside the encoder's outputs.
    The compute type is that of the global Keras policy; weights are float32.

    Args:
      config: the architecture; vocab_size must be known.
    """
    encoder = networks.BertEncoderV2(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        num_layers=config.num_hidden_layers,
        num_attention_heads=config.num_attention_heads,
        inner_dim=config.intermediate_size,
        inner_activation=tf_utils.get_activation("gelu"),
        output_dropout=config.hidden_dropout_prob,
        attention_dropout=config.attention_probs_dropout_prob,
        max_sequence_length=config.max_position_embeddings,
        type_vocab_size=config.type_vocab_size,
        initializer=_initializer(config),
        name="encoder",
    )
    return models.BertPretrainerV2(
        encoder,
        mlm_activation=tf_utils.get_activation("gelu"),
        mlm_initializer=_initializer(config),
    )


def build_variables(pretrainer: models.BertPretrainerV2) -> None:
    """Creates all variables, by tracing a call with the smallest inputs."""
    inputs = {name: tf_keras.Input((8,), dtype=tf.int32, name=name) for name in pretrainer.inputs}
    pretrainer(inputs)


def trained_variables(pretrainer: models.BertPretrainerV2) -> list[tf.Variable]:
    """The variables that the MLM loss trains: all but the pooler's.

    The pooler is left out by name, not by its missing gradient: with a gradient of zero, LAMB's
    weight decay would shrink it by the learning rate at every step.
    """
    untrained = {id(v) for v in pretrainer.encoder_network.pooler_layer.trainable_variables}
    return [v for v in pretrainer.trainable_variables if id(v) not in untrained]


def variable_names(config: EncoderConfig) -> tuple[list[str], list[str]]:
    """Names of the trained and of the untrained variables, without the memory for their values.

    Names depend on the number of layers only, so a model one unit wide a head has the same.
    """
    thin = dataclasses.replace(
        config, vocab_size=8, hidden_size=config.num_attention_heads, intermediate_size=1
    )
    pretrainer = build_pretrainer(thin)
    build_variables(pretrainer)
    return names_of(pretrainer)


def names_of(pretrainer: models.BertPretrainerV2) -> tuple[list[str], list[str]]:
    """Names of the trained and of the untrained variables."""
    trained = [variable.name for variable in trained_variables(pretrainer)]
    known = set(trained)
    return trained, [v.name for v in pretrainer.variables if v.name not in known]


def _initializer(config: EncoderConfig) -> tf_keras.initializers.Initializer:
    return tf_keras.initializers.TruncatedNormal(stddev=config.initializer_range)
