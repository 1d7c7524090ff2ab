"""Save the encoder as a SavedModel with the interface of the published BERT encoders.

https://www.tensorflow.org/hub/common_saved_model_apis/text#transformer-encoders
"""

from __future__ import annotations

import os
from typing import Any

import tensorflow as tf
import tf_keras
from official.nlp.modeling import models

from model.config import EncoderConfig

_ENCODER_INPUTS = ("input_word_ids", "input_mask", "input_type_ids")
_IDS = tf.TensorSpec([None, None], tf.int32)


def save_encoder(
    path: str | os.PathLike[str],
    pretrainer: models.BertPretrainerV2,
    config: EncoderConfig,
    *,
    vocab_file: str | os.PathLike[str],
    lower_case: bool,
) -> None:
    """Write tf-models' model as a SavedModel that loads without custom code.

    The root is the encoder and `.mlm` is the encoder with the MLM head; both take int32 [B, S] and
    return float32. The signatures `serving_default` and `mlm` are for servers and name all outputs
    except the list of block outputs.

    Args:
      path: directory to write.
      pretrainer: model built under a float32 policy.
      config: architecture of the model.
      vocab_file: vocabulary, saved as the asset `.vocab_file`.
      lower_case: whether the tokenizer lower-cases, saved as `.do_lower_case`.
    """
    core = encoder_with_mlm(pretrainer, max_length=config.max_position_embeddings)
    core.vocab_file = tf.saved_model.Asset(os.fspath(vocab_file))
    core.do_lower_case = tf.Variable(lower_case, trainable=False)
    core.save(
        os.fspath(path), include_optimizer=False, save_format="tf", signatures=_signatures(core)
    )


def encoder_with_mlm(pretrainer: models.BertPretrainerV2, *, max_length: int) -> tf_keras.Model:
    """Return the model to save: the encoder at the root, the whole pretrainer as `.mlm`.

    As in the export of tf-models, `default` is an alias of `pooled_output`, and the head's variables
    belong to `.mlm` only, so the root's trainable variables are those of the encoder.

    Args:
      pretrainer: model built under a float32 policy.
      max_length: longest input in tokens.
    """

    def fresh_inputs(inputs: dict[str, Any]) -> dict[str, Any]:
        return {
            name: tf_keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=name)
            for name, tensor in inputs.items()
        }

    encoder = pretrainer.encoder_network
    encoder_inputs = fresh_inputs(encoder.inputs)
    outputs = encoder(_LengthCheck(max_length, name="length_check")(encoder_inputs))
    outputs["default"] = outputs["pooled_output"]
    core = tf_keras.Model(encoder_inputs, outputs, name="core_model")

    mlm_inputs = fresh_inputs(pretrainer.inputs)
    mlm = tf_keras.Model(
        mlm_inputs,
        pretrainer(_LengthCheck(max_length, name="length_check")(mlm_inputs)),
        name="mlm_model",
    )
    core._auto_track_sub_layers = False  # before attaching: keeps the head out of the root
    core.mlm = mlm
    return core


class _LengthCheck(tf_keras.layers.Layer):
    """Identity layer that rejects inputs that are too long.

    Without it the addition of position embeddings fails with a shape error that does not name the
    limit. The assertion reports lengths known only at run time. For static lengths, and on TPUs, which
    ignore assertions, the reshape fails and the name of its operation states the limit.
    """

    def __init__(self, max_length: int, **settings: Any):
        super().__init__(**settings)
        self._max_length = max_length

    def call(self, inputs: dict[str, Any]) -> dict[str, Any]:
        limit = self._max_length
        length = tf.shape(inputs["input_word_ids"])[1]
        assertion = tf.debugging.assert_less_equal(
            length, limit, message=f"the encoder takes at most {limit} tokens, the input has more"
        )
        with tf.control_dependencies([assertion]):
            check = tf.reshape(
                tf.range(limit)[:length], [length], name=f"input_has_more_than_{limit}_tokens"
            )
        with tf.control_dependencies([check]):
            return {name: tf.identity(tensor) for name, tensor in inputs.items()}

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "max_length": self._max_length}


def _signatures(core: tf_keras.Model) -> dict[str, Any]:
    def named(outputs: dict[str, Any]) -> dict[str, Any]:
        return {name: tensor for name, tensor in outputs.items() if name != "encoder_outputs"}

    @tf.function(input_signature=[_IDS] * 3)
    def serving_default(
        input_word_ids: tf.Tensor, input_mask: tf.Tensor, input_type_ids: tf.Tensor
    ) -> dict[str, Any]:
        values = (input_word_ids, input_mask, input_type_ids)
        return named(core(dict(zip(_ENCODER_INPUTS, values, strict=True)), training=False))

    @tf.function(input_signature=[_IDS] * 4)
    def mlm(
        input_word_ids: tf.Tensor,
        input_mask: tf.Tensor,
        input_type_ids: tf.Tensor,
        masked_lm_positions: tf.Tensor,
    ) -> dict[str, Any]:
        values = (input_word_ids, input_mask, input_type_ids)
        features = dict(zip(_ENCODER_INPUTS, values, strict=True))
        features["masked_lm_positions"] = masked_lm_positions
        return named(core.mlm(features, training=False))

    return {"serving_default": serving_default, "mlm": mlm}
