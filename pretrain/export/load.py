"""Load an export of `pretrain.export`; needs TensorFlow only, not the model's code."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from data.errors import UserError, first_line
from pretrain.export.atomic_directory import SUMS_FILE

_POSITIONS = "encoder/position_embedding/embeddings"


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoadedExport:
    """The two SavedModels of an export.

    Attributes:
      encoder: SavedModel from token ids to hidden states.
      preprocessor: SavedModel from text to token ids.
      max_tokens: longest input of the encoder, [CLS] and [SEP] included.
      hidden_size: width of the encoder's outputs.
    """

    encoder: Any
    preprocessor: Any
    max_tokens: int
    hidden_size: int

    @classmethod
    def load(cls, export_dir: str) -> LoadedExport:
        """Load an export; raise a UserError if `export_dir` is not one."""
        import tensorflow_text  # noqa: F401  registers the ops of the preprocessor

        for part in ("encoder", "preprocessor"):
            if not Path(export_dir, part, "saved_model.pb").is_file():
                raise UserError(
                    f"{export_dir} is not an export: {part}/saved_model.pb is missing; make one with"
                    " `python -m pretrain.export`"
                )
        encoder, preprocessor = (
            load_saved_model(Path(export_dir, part)) for part in ("encoder", "preprocessor")
        )
        variables = getattr(encoder, "variables", ())
        positions = [v for v in variables if v.name.partition(":")[0] == _POSITIONS]
        if not positions:
            raise UserError(
                f"{export_dir}/encoder has no {_POSITIONS}: it was not exported by Lambert"
            )
        max_tokens, hidden_size = positions[0].shape
        return cls(
            encoder=encoder,
            preprocessor=preprocessor,
            max_tokens=max_tokens,
            hidden_size=hidden_size,
        )


def load_saved_model(path: Path) -> Any:
    """Load a SavedModel; raise a UserError if its files are truncated or damaged."""
    import tensorflow as tf

    try:
        return tf.saved_model.load(str(path))
    except (tf.errors.OpError, OSError, ValueError, IndexError, RuntimeError) as error:
        hint = (
            f"; `sha256sum --check {SUMS_FILE}` in {path.parent} shows which files have changed since"
            " the export"
        )
        has_sums = (path.parent / SUMS_FILE).is_file()
        reason = first_line(error) + (hint if has_sums else "")
        raise UserError(f"{path} cannot be loaded: {reason}") from error
