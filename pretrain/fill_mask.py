"""Predict the pieces at [MASK] with an exported encoder.

    python -m pretrain.fill_mask --export E "Paris is the [MASK] of France."

With --untrained, the same architecture with random weights answers too, beside the trained encoder.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data import schema
from data.cli.main import run_main
from data.cli.parser import CommandParser
from data.errors import UserError
from data.vocab import Vocab
from pretrain.convert.common import read_record
from pretrain.export.atomic_directory import RECORD_FILE
from pretrain.export.load import LoadedExport, add_export_flag, local_copy

_BAR_WIDTH = 40  # characters of a bar at 100%


@dataclasses.dataclass(frozen=True, kw_only=True)
class Filling:
    """One candidate for one [MASK]."""

    piece: str
    probability: float


class MaskFiller:
    """Predicts masked pieces with an export; trained weights need TensorFlow only, not the model's code."""

    def __init__(self, export_dir: str, *, untrained: bool = False):
        """Load an export.

        Args:
          export_dir: export of `pretrain.export`.
          untrained: whether to replace the weights by random ones, as before the first step.

        Raises:
          UserError: `export_dir` is not an export or has no MLM head.
        """
        exported = LoadedExport.load(export_dir)
        encoder = exported.encoder
        if not hasattr(encoder, "mlm"):
            raise UserError(f"{export_dir}/encoder has no .mlm: it cannot fill masks")
        if untrained:
            _initialize(encoder.mlm, Path(export_dir))
        self._max_tokens = exported.max_tokens
        self._mlm = encoder.mlm
        self._tokenize = exported.preprocessor.tokenize
        special = self._tokenize.get_special_tokens_dict()
        self._cls = int(special["start_of_sequence_id"])
        self._sep = int(special["end_of_segment_id"])
        self._mask = int(special["mask_id"])
        self._vocab = Vocab.load(encoder.vocab_file.asset_path.numpy().decode())

    def fill(self, text: str, *, top_k: int) -> list[list[Filling]]:
        """Return the most likely pieces for each [MASK] of a text.

        Args:
          text: text with one or more [MASK], each in the place of one piece.
          top_k: number of candidates per mask.

        Returns:
          A list per mask, in order of the text, of `top_k` fillings, most likely first.

        Raises:
          UserError: the text is not UTF-8, has no [MASK] or is too long, or top_k is out of range.
        """
        import tensorflow as tf

        if not 1 <= top_k <= len(self._vocab):
            raise UserError(f"--top_k {top_k}: must be between 1 and {len(self._vocab)}")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise UserError(f"{text!a} is not UTF-8 text") from None
        if schema.MASK not in text:
            raise UserError(f"there is no {schema.MASK} (in capitals) in {text!r}")
        pieces = self._tokenize(tf.constant(text.split(schema.MASK))).merge_dims(1, 2).to_list()
        ids = [self._cls, *pieces[0]]
        for part in pieces[1:]:
            ids += [self._mask, *part]
        ids.append(self._sep)
        if len(ids) > self._max_tokens:
            raise UserError(
                f"the text is too long for the encoder: {len(ids)} pieces, at most {self._max_tokens}"
            )
        word_ids = np.array([ids], np.int32)
        positions = np.flatnonzero(word_ids[0] == self._mask).astype(np.int32)[None]
        features = {
            "input_word_ids": tf.constant(word_ids),
            "input_mask": tf.ones_like(word_ids),
            "input_type_ids": tf.zeros_like(word_ids),
            "masked_lm_positions": tf.constant(positions),
        }
        logits_BPV = self._mlm(features)["mlm_logits"]
        probabilities, best = tf.math.top_k(
            tf.nn.softmax(logits_BPV[0])[:, : len(self._vocab)],  # without padding rows
            k=top_k,
        )
        return [
            [
                Filling(piece=self._vocab.pieces[i], probability=float(p))
                for i, p in zip(row_best, row_probabilities, strict=True)
            ]
            for row_best, row_probabilities in zip(best.numpy(), probabilities.numpy(), strict=True)
        ]


def _initialize(mlm: Any, export_dir: Path) -> None:
    """Set the weights of a loaded encoder with MLM head to initial ones, drawn from seed 0."""
    from model.mlm import Pretrainer  # TensorFlow

    config, _ = read_record(export_dir / RECORD_FILE)
    initial = {variable.name: variable for variable in Pretrainer(config, seed=0).variables}
    for variable in mlm.trainable_variables:
        # Variables of a SavedModel keep the suffix ":0". The pooler, which is not among ours, has no part.
        if (value := initial.get(variable.name)) is not None:
            variable.assign(np.reshape(value.numpy(), variable.shape))


def render(
    text: str, fillings: list[list[Filling]], untrained: list[list[Filling]] | None = None
) -> str:
    """Format a text and its candidates, with a bar for each probability.

    Args:
      text: text with [MASK].
      fillings: candidates for each mask.
      untrained: those of the untrained encoder, as many, for a second column; None for one column.
    """
    lines = [text]
    for number, candidates in enumerate(fillings, start=1):
        if len(fillings) > 1:
            lines.append(f"  {schema.MASK} {number}")
        column = _column(candidates)
        if untrained:
            width = max(map(len, column))
            beside = ["untrained:", *itertools.repeat("", len(column) - 1)]
            rows = zip(column, beside, _column(untrained[number - 1]), strict=True)
            column = [f"{left:<{width}}    {label:<10} {right}" for left, label, right in rows]
        lines += [f"  {row}" for row in column]
    return "\n".join(lines)


def _column(candidates: list[Filling]) -> list[str]:
    width = max(len(filling.piece) for filling in candidates)
    return [
        f"{filling.piece:<{width}}  {filling.probability:6.1%}  "
        + ("█" * round(filling.probability * _BAR_WIDTH) or "▏")
        for filling in candidates
    ]


def main(argv: Sequence[str]) -> None:
    """Parse the command line and print the candidates."""
    parser = CommandParser(
        prog="python -m pretrain.fill_mask",
        description=__doc__,
    )
    add_export_flag(parser)
    parser.add_argument("--top_k", type=int, default=5, metavar="K", help="number of answers")
    parser.add_argument(
        "--untrained",
        action="store_true",
        help="show beside it what the same architecture with random weights predicts",
    )
    parser.add_argument("text", nargs="+", help="sentences with [MASK]")
    args = parser.parse_args(argv)
    with local_copy("--export", args.export) as export_dir:
        filler = MaskFiller(export_dir)
        untrained = MaskFiller(export_dir, untrained=True) if args.untrained else None
    for text in args.text:
        fillings = filler.fill(text, top_k=args.top_k)
        beside = untrained.fill(text, top_k=args.top_k) if untrained else None
        print(render(text, fillings, beside))
        print()


if __name__ == "__main__":
    run_main(main)
