"""Export of the preprocessor SavedModel, which turns text into the encoder's inputs."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data import files, schema
from data.vocab.graph_tokenizer import MAX_WORD_BYTES
from data.vocab.normalization import compose_cased

if TYPE_CHECKING:
    import tensorflow as tf
    import tf_keras


def export_preprocessor(
    path: str | os.PathLike[str],
    *,
    vocab_file: str | os.PathLike[str],
    lower_case: bool,
    seq_length: int,
) -> None:
    """Write a preprocessor with the interface of the published bert_en_uncased_preprocess.

    The root function turns strings [B] into a dict of int32 [B, seq_length]. `.tokenize`,
    `.bert_pack_inputs` (with `seq_length=`) and `.tokenize.get_special_tokens_dict()` are its parts. The
    signatures `serving_default` and `seq_length` name all outputs; the latter takes the length, too.

    Args:
      path: directory to write.
      vocab_file: vocabulary, local or remote; it becomes an asset of the SavedModel.
      lower_case: whether to lower-case text, as in the data build.
      seq_length: default length of the packed inputs, tokens.
    """
    with tempfile.TemporaryDirectory() as directory:
        # A copy, because the SavedModel would tell the directory of the vocabulary.
        asset = os.path.join(directory, schema.VOCAB_FILE)
        Path(asset).write_bytes(files.read_bytes(vocab_file))
        model = _build_model(_build_tokenizer(asset, lower_case), seq_length)
        model.save(
            os.fspath(path),
            include_optimizer=False,
            save_format="tf",
            signatures=_signatures(model, seq_length),
        )


def _build_tokenizer(vocab_file: str, lower_case: bool) -> Any:
    from official.nlp.modeling import layers

    class BertTokenizer(layers.BertTokenizer):
        """tf-models' layer, after the data build's normalisation of cased text."""

        def call(self, inputs: tf.Tensor) -> tf.RaggedTensor:
            return super().call(inputs if lower_case else compose_cased(inputs))

    return BertTokenizer(
        vocab_file=vocab_file,
        lower_case=lower_case,
        tokenizer_kwargs={"max_bytes_per_word": MAX_WORD_BYTES},
    )


def _build_model(tokenizer: Any, seq_length: int) -> tf_keras.Model:
    """Return the model that `export_tfhub_lib.create_preprocessing` of tf-models builds."""
    import tensorflow as tf
    import tf_keras
    from official.nlp.modeling import layers
    from official.nlp.tools import export_tfhub_lib

    sentences = tf_keras.layers.Input(shape=(), dtype=tf.string, name="sentences")
    tokens = tokenizer(sentences)
    special_tokens = tokenizer.get_special_tokens_dict()
    pack = layers.BertPackInputs(seq_length=seq_length, special_tokens_dict=special_tokens)
    model = tf_keras.Model(sentences, pack(tokens))
    model.tokenize = tf_keras.Model(sentences, tokens)
    model.tokenize.get_special_tokens_dict = tf.train.Checkpoint()
    model.tokenize.get_special_tokens_dict.__call__ = tf.function(
        lambda: special_tokens, input_signature=[]
    )
    model.bert_pack_inputs = export_tfhub_lib.BertPackInputsSavedModelWrapper(pack)
    return model


def _signatures(model: tf_keras.Model, seq_length: int) -> dict[str, Any]:
    """Return the signatures for servers, whose arguments cannot be optional."""
    import tensorflow as tf

    sentences_spec = tf.TensorSpec([None], tf.string, name="sentences")

    @tf.function(input_signature=[sentences_spec])
    def serving_default(sentences: tf.Tensor) -> dict[str, tf.Tensor]:
        return with_length(sentences, tf.constant(seq_length))

    @tf.function(input_signature=[sentences_spec, tf.TensorSpec([], tf.int32, name="seq_length")])
    def with_length(sentences: tf.Tensor, seq_length: tf.Tensor) -> dict[str, tf.Tensor]:
        call = model.bert_pack_inputs.__call__  # an attribute of the instance
        return call([model.tokenize(sentences)], seq_length=seq_length)

    return {"serving_default": serving_default, "seq_length": with_length}
