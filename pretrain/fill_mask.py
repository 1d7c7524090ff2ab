"""Predict the pieces at [MASK] with an exported encoder.

python -m pretrain.fill_mask --model_dir E "Paris is the [MASK] of France."
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence

import numpy as np

from data import schema
from data.errors import CommandParser, UserError, run_main
from data.vocab import Vocab
from pretrain.export.load import LoadedExport


@dataclasses.dataclass(frozen=True, kw_only=True)
class Filling:
    """One candidate for one [MASK]."""

    piece: str
    probability: float


class MaskFiller:
    """Predicts masked pieces with an export; needs TensorFlow only, not the model's code."""

    def __init__(self, export_dir: str):
        """Load an export; raise a UserError if `export_dir` is not one or has no MLM head."""
        exported = LoadedExport.load(export_dir)
        encoder = exported.encoder
        if not hasattr(encoder, "mlm"):
            raise UserError(f"{export_dir}/encoder has no .mlm: it cannot fill masks")
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


def render(text: str, fillings: list[list[Filling]]) -> str:
    """Format a text and its candidates, with a bar for each probability."""
    lines = [text]
    for number, candidates in enumerate(fillings, start=1):
        if len(fillings) > 1:
            lines.append(f"  {schema.MASK} {number}")
        width = max(len(filling.piece) for filling in candidates)
        for filling in candidates:
            bar = "█" * round(filling.probability * 40) or "▏"
            lines.append(f"  {filling.piece:<{width}}  {filling.probability:6.1%}  {bar}")
    return "\n".join(lines)


def main(argv: Sequence[str]) -> None:
    """Parse the command line and print the candidates."""
    parser = CommandParser(
        prog="python -m pretrain.fill_mask",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--model_dir", required=True, help="export of pretrain.export")
    parser.add_argument("--top_k", type=int, default=5)
    parser.add_argument("text", nargs="+", help="sentences with [MASK]")
    args = parser.parse_args(argv)
    filler = MaskFiller(args.model_dir)
    for text in args.text:
        print(render(text, filler.fill(text, top_k=args.top_k)))
        print()


if __name__ == "__main__":
    run_main(main)
