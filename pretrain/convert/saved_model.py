"""Read BERTs from SavedModels: exports of Lambert, and encoders with the API of TensorFlow Hub.

https://www.tensorflow.org/hub/common_saved_model_apis/text#transformer-encoders

Other SavedModels have no configuration. Their sizes come from the shapes of their variables. Their
activation is found by trial: it is the one with which our encoder reproduces their outputs.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data import schema
from data.errors import UserError, first_line
from data.vocab import Vocab
from model.config import ACTIVATIONS, EncoderConfig
from model.names import POOLER, weights
from pretrain.convert.common import (
    ImportedBert,
    config_from_shapes,
    merge_heads,
    read_record,
    validate,
)
from pretrain.export.atomic_directory import RECORD_FILE
from pretrain.export.load import load_saved_model

if TYPE_CHECKING:
    import tensorflow as tf

# Relative norms of the difference of two outputs. Rounding of float32 in a large encoder stays below
# the first; exact and approximate gelu differ by more. Above the second, the architecture is another.
_ROUNDING, _TOLERANCE = 1e-6, 1e-3


def read_export(path: Path) -> ImportedBert:
    """Read an export of `pretrain.export`, with the configuration in its record.

    Raises:
      UserError: the export is damaged or was written by another version.
    """
    from model.weights import values_of

    encoder, lower_case = read_record(path / RECORD_FILE)
    loaded = load_saved_model(path / "encoder")
    if not hasattr(loaded, "mlm"):
        raise UserError(f"{path}/encoder has no .mlm: its masked language model head is missing")
    return validate(
        kind="export",
        files=_files_of(path / "encoder"),
        encoder=encoder,
        values=values_of(loaded.mlm, encoder),
        vocab=Vocab.load(path / "encoder/assets" / schema.VOCAB_FILE),
        lower_case=lower_case,
    )


def read_hub(path: Path, vocab_file: str | None) -> ImportedBert:
    """Read an encoder with the API of TensorFlow Hub, with or without `.mlm`.

    Args:
      path: directory of the SavedModel.
      vocab_file: vocabulary to use instead of that in the SavedModel.

    Raises:
      UserError: the variables or the outputs differ from those of tf-models' BERT.
    """
    import tensorflow as tf

    # On the CPU: matrix products of other devices can be too imprecise to distinguish activations.
    with tf.device("CPU:0"):
        loaded = load_saved_model(path)
        variables = _Variables(loaded, path)
        encoder = variables.config()
        imported = validate(
            kind="SavedModel",
            files=_files_of(path),
            encoder=encoder,
            values=variables.values(encoder),
            vocab=_vocab(loaded, path, vocab_file),
            lower_case=_lower_case(loaded),
            left_out=variables.left_out(encoder),
        )
        encoder = _with_activation(imported, loaded, path)
    return dataclasses.replace(imported, encoder=encoder)


def _files_of(path: Path) -> tuple[Path, ...]:
    return tuple(sorted(path.glob("variables/variables.data-*")))


class _Variables:
    """The variables of a SavedModel, looked up by our names.

    Keras prefixes `word_embeddings` and `cls/predictions` with the names of the enclosing models, which
    depend on how the model was built: `encoder/`, `bert_encoder_v2_1/`, `bert/`, or nothing.
    """

    def __init__(self, loaded: Any, path: Path):
        parts = (loaded, getattr(loaded, "mlm", None))
        variables = [v for part in parts for v in getattr(part, "variables", ())]
        self._by_name = {v.name.partition(":")[0]: v for v in variables if v.dtype.is_floating}
        self._path = path

    def config(self) -> EncoderConfig:
        """Return the architecture, as far as shapes determine it."""
        block = "encoder/transformer/layer_{}/"
        names = (
            "encoder/word_embeddings/embeddings",
            "encoder/position_embedding/embeddings",
            "encoder/type_embeddings/embeddings",
            f"{block.format(0)}self_attention/query/kernel",
            f"{block.format(0)}intermediate/kernel",
        )
        saved_names = [self._saved_name(name) for name in names]
        for name, saved_name in zip(names, saved_names, strict=True):
            if saved_name is None:
                raise UserError(f"{self._path} has no variable {_stem(name)}: it is not a BERT")
        shapes = [tuple(self._by_name[name].shape) for name in saved_names]
        if [len(shape) for shape in shapes] != [2, 2, 2, 3, 2]:
            raise UserError(
                f"{self._path} is not a tf-models BERT: {saved_names[3]} has shape {shapes[3]}"
            )
        count = itertools.count()
        layers = next(n for n in count if self._saved_name(f"{block.format(n)}output/bias") is None)
        return config_from_shapes(*shapes, num_layers=layers)

    def values(self, encoder: EncoderConfig) -> dict[str, np.ndarray]:
        """Return the weights of encoder, pooler and head that are present, in our shapes."""
        values = {}
        for weight in weights(encoder):
            if (name := self._saved_name(weight.name)) is not None:
                values[weight.name] = merge_heads(self._by_name[name].numpy(), weight.shape)
        return values

    def left_out(self, encoder: EncoderConfig) -> tuple[str, ...]:
        """Return the names of variables without a counterpart here."""
        known = {self._saved_name(weight.name) for weight in weights(encoder)}
        return tuple(sorted(self._by_name.keys() - known))

    def _saved_name(self, name: str) -> str | None:
        stem = _stem(name)
        matches = [saved for saved in self._by_name if saved == stem or saved.endswith(f"/{stem}")]
        if len(matches) > 1:
            raise UserError(f"{self._path} has several encoders: {', '.join(sorted(matches))}")
        return matches[0] if matches else None


def _stem(name: str) -> str:
    """Return one of our names without its first part, `encoder/` or `bert/`."""
    return name.partition("/")[2]


def _vocab(loaded: Any, path: Path, vocab_file: str | None) -> Vocab:
    if vocab_file is None and not hasattr(loaded, "vocab_file"):
        raise UserError(f"{path} has no vocab_file; give the vocabulary as --vocab_file")
    return Vocab.load(vocab_file or loaded.vocab_file.asset_path.numpy().decode())


def _lower_case(loaded: Any) -> bool | None:
    variable = getattr(loaded, "do_lower_case", None)
    return None if variable is None else bool(variable.numpy())


def _with_activation(imported: ImportedBert, loaded: Any, path: Path) -> EncoderConfig:
    """Return the architecture with the activation that reproduces the outputs of the SavedModel.

    Raises:
      UserError: no activation does, or the SavedModel cannot be called as an encoder.
    """
    import tensorflow as tf

    features = _features(imported.encoder)
    call, names = loaded, ["sequence_output"]
    if "head" in imported.parts:
        call, names = loaded.mlm, ["sequence_output", "mlm_logits"]
    else:
        del features["masked_lm_positions"]
    try:
        outputs = call(features)
        expected = [outputs[name].numpy() for name in names]
    except (ValueError, TypeError, KeyError, tf.errors.OpError) as error:
        raise UserError(
            f"{path} cannot be called with the inputs of encoders, {', '.join(features)}: {first_line(error)}"
        ) from error
    errors = {}
    for activation in ACTIVATIONS:
        encoder = dataclasses.replace(imported.encoder, hidden_activation=activation)
        pairs = zip(_compute(encoder, imported.values, features), expected, strict=True)
        errors[activation] = max(np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in pairs)
    best = min(ACTIVATIONS, key=lambda name: max(errors[name], _ROUNDING))
    if not errors[best] <= _TOLERANCE:
        raise UserError(
            f"{path} has the variables of a BERT, but its outputs differ from those of a BERT by"
            f" {errors[best]:.1%}"
        )
    return dataclasses.replace(imported.encoder, hidden_activation=best)


def _features(encoder: EncoderConfig) -> dict[str, tf.Tensor]:
    """Return two sequences across the whole vocabulary, with padding, types and predictions."""
    import tensorflow as tf

    length = min(16, encoder.max_position_embeddings)
    ids = np.linspace(0, encoder.vocab_size - 1, 2 * length).astype(np.int32).reshape(2, length)
    positions = np.arange(length)[None]
    arrays = {
        "input_word_ids": ids,
        "input_mask": positions < [[length], [length - length // 4]],
        "input_type_ids": np.minimum(
            positions >= [[length], [length // 2]], encoder.type_vocab_size - 1
        ),
        "masked_lm_positions": np.tile(positions[:, : length // 2], [2, 1]),
    }
    return {name: tf.constant(array, tf.int32) for name, array in arrays.items()}


def _compute(
    encoder: EncoderConfig, values: Mapping[str, np.ndarray], features: dict[str, tf.Tensor]
) -> list[np.ndarray]:
    """Return `sequence_output` of our model, and `mlm_logits` if `masked_lm_positions` are given."""
    from model.mlm import Pretrainer
    from model.weights import assign

    model = Pretrainer(encoder, seed=0)
    assign(model, {name: v for name, v in values.items() if not name.startswith(POOLER)})
    outputs = [model.encoder(features)["sequence_output"]]
    if "masked_lm_positions" in features:
        outputs.append(model.logits(features))
    return [output.numpy() for output in outputs]
