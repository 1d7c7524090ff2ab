"""Reads BERTs from SavedModels: our exports, and encoders with the API of TensorFlow Hub.

https://www.tensorflow.org/hub/common_saved_model_apis/text#transformer-encoders

A SavedModel of another maker has no configuration. Its sizes are those of its variables. The activation
is no variable: it is the one with which our encoder computes what the SavedModel computes.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data import schema
from data.errors import UserError
from data.vocab import Vocab
from model.config import ACTIVATIONS, EncoderConfig
from model.names import POOLER, weights
from pretrain.convert.common import ImportedBert, checked, config_from_shapes, read_record
from pretrain.export.atomic_directory import RECORD_FILE
from pretrain.export.load import load_saved_model

if TYPE_CHECKING:
    import tensorflow as tf

# Relative norms of a difference. Float32 rounds in the first, over the layers of a large encoder; the
# two forms of gelu differ by more. Above the second it is another architecture.
_ROUNDING, _TOLERANCE = 1e-6, 1e-3


def read_export(path: Path) -> ImportedBert:
    """Reads an export of ours, with the configuration in its record.

    Raises:
      UserError: it is damaged or of another version.
    """
    from model.weights import values_of

    encoder, lower_case = read_record(path / RECORD_FILE)
    loaded = load_saved_model(path / "encoder")
    if not hasattr(loaded, "mlm"):
        raise UserError(
            f"{path}/encoder has no .mlm: the head of its masked language model is missing"
        )
    return checked(
        kind="export",
        files=_files_of(path / "encoder"),
        encoder=encoder,
        values=values_of(loaded.mlm, encoder),
        vocab=Vocab.load(path / "encoder/assets" / schema.VOCAB_FILE),
        lower_case=lower_case,
    )


def read_hub(path: Path, vocab_file: str | None) -> ImportedBert:
    """Reads an encoder with the API of TensorFlow Hub, with or without `.mlm`.

    Args:
      path: of the SavedModel.
      vocab_file: instead of its own.

    Raises:
      UserError: it has other variables than tf-models' BERT, or computes something else with them.
    """
    import tensorflow as tf

    # On the CPU: products of other devices can be too coarse to tell the activations apart.
    with tf.device("CPU:0"):
        loaded = load_saved_model(path)
        variables = _Variables(loaded, path)
        encoder = variables.config()
        imported = checked(
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
    """The variables of a SavedModel by our names.

    Above `word_embeddings` and `cls/predictions` Keras writes the names of the models around them, which
    depend on how the model was made: `encoder/`, `bert_encoder_v2_1/`, `bert/`, or nothing.
    """

    def __init__(self, loaded: Any, path: Path):
        parts = (loaded, getattr(loaded, "mlm", None))
        found = [v for part in parts for v in getattr(part, "variables", ())]
        self._found = {v.name.partition(":")[0]: v for v in found if v.dtype.is_floating}
        self._path = path

    def config(self) -> EncoderConfig:
        """The architecture, as far as shapes show it."""
        block = "encoder/transformer/layer_{}/"
        names = (
            "encoder/word_embeddings/embeddings",
            "encoder/position_embedding/embeddings",
            "encoder/type_embeddings/embeddings",
            f"{block.format(0)}self_attention/query/kernel",
            f"{block.format(0)}intermediate/kernel",
        )
        theirs = [self._name(name) for name in names]
        for name, one in zip(names, theirs, strict=True):
            if one is None:
                raise UserError(f"{self._path} has no variable {_stem(name)}: it is no BERT")
        shapes = [tuple(self._found[name].shape) for name in theirs]
        if [len(shape) for shape in shapes] != [2, 2, 2, 3, 2]:
            raise UserError(
                f"{self._path} is no BERT of tf-models: {theirs[3]} has shape {shapes[3]}"
            )
        count = itertools.count()
        layers = next(n for n in count if self._name(f"{block.format(n)}output/bias") is None)
        return config_from_shapes(*shapes, num_layers=layers)

    def values(self, encoder: EncoderConfig) -> dict[str, np.ndarray]:
        """What is there of encoder, pooler and head, in our shapes."""
        values = {}
        for weight in weights(encoder):
            if (name := self._name(weight.name)) is not None:
                array = self._found[name].numpy()
                # Heads have an axis of their own; another size is told by `checked`.
                same = array.size == np.prod(weight.shape)
                values[weight.name] = array.reshape(weight.shape) if same else array
        return values

    def left_out(self, encoder: EncoderConfig) -> tuple[str, ...]:
        """Names of the others."""
        known = {self._name(weight.name) for weight in weights(encoder)}
        return tuple(sorted(self._found.keys() - known))

    def _name(self, ours: str) -> str | None:
        stem = _stem(ours)
        found = [name for name in self._found if name == stem or name.endswith(f"/{stem}")]
        if len(found) > 1:
            raise UserError(f"{self._path} has several encoders: {', '.join(sorted(found))}")
        return found[0] if found else None


def _stem(name: str) -> str:
    """A name of ours without its first part, `encoder/` or `bert/`."""
    return name.partition("/")[2]


def _vocab(loaded: Any, path: Path, vocab_file: str | None) -> Vocab:
    if vocab_file is None and not hasattr(loaded, "vocab_file"):
        raise UserError(f"{path} has no vocab_file; give the vocabulary as --vocab_file")
    return Vocab.load(vocab_file or loaded.vocab_file.asset_path.numpy().decode())


def _lower_case(loaded: Any) -> bool | None:
    found = getattr(loaded, "do_lower_case", None)
    return None if found is None else bool(found.numpy())


def _with_activation(imported: ImportedBert, loaded: Any, path: Path) -> EncoderConfig:
    """The architecture with the activation that gives the outputs of the SavedModel.

    Raises:
      UserError: none does, or it cannot be called as an encoder.
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
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"{path} cannot be called with {', '.join(features)}, as encoders are: {reason}"
        ) from error
    errors = {}
    for activation in ACTIVATIONS:
        encoder = dataclasses.replace(imported.encoder, hidden_activation=activation)
        found = _compute(encoder, imported.values, features)
        pairs = zip(found, expected, strict=True)
        errors[activation] = max(np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in pairs)
    best = min(ACTIVATIONS, key=lambda name: max(errors[name], _ROUNDING))
    if not errors[best] <= _TOLERANCE:
        raise UserError(
            f"{path} has the variables of a BERT, but computes something else with them: its outputs"
            f" differ from a BERT's by {errors[best]:.1%}"
        )
    return dataclasses.replace(imported.encoder, hidden_activation=best)


def _features(encoder: EncoderConfig) -> dict[str, tf.Tensor]:
    """Two sequences of pieces from all over the vocabulary, with padding, types and predictions."""
    import tensorflow as tf

    length = min(16, encoder.max_position_embeddings)
    ids = np.linspace(0, encoder.vocab_size - 1, 2 * length).astype(np.int32).reshape(2, length)
    place = np.arange(length)[None]
    arrays = {
        "input_word_ids": ids,
        "input_mask": place < [[length], [length - length // 4]],
        "input_type_ids": np.minimum(
            place >= [[length], [length // 2]], encoder.type_vocab_size - 1
        ),
        "masked_lm_positions": np.tile(place[:, : length // 2], [2, 1]),
    }
    return {name: tf.constant(array, tf.int32) for name, array in arrays.items()}


def _compute(
    encoder: EncoderConfig, values: Mapping[str, np.ndarray], features: Mapping[str, tf.Tensor]
) -> list[np.ndarray]:
    """`sequence_output` and, if there are `masked_lm_positions`, `mlm_logits` of our model."""
    from model.mlm import Pretrainer
    from model.weights import assign

    model = Pretrainer(encoder, seed=0)
    assign(model, {name: v for name, v in values.items() if not name.startswith(POOLER)})
    outputs = [model.encoder(features)["sequence_output"]]
    if "masked_lm_positions" in features:
        outputs.append(model.logits(features))
    return [output.numpy() for output in outputs]
