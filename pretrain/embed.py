"""Embed lines of text with an exported encoder.

    python -m pretrain.embed --export E --input lines.txt --output F.npy

F.npy is float32 [lines, hidden size]; row i is the vector of line i.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from data.cli.main import run_main
from data.cli.parser import CommandParser
from data.errors import UserError
from data.files import atomic_path, read_lines, require_local
from pretrain.export.load import LoadedExport, add_export_flag

POOLINGS = ("mean", "cls")


class Embedder:
    """Embeds texts with an export."""

    def __init__(self, exported: LoadedExport, *, pooling: str = "mean"):
        """Select the tokenizer and the outputs to use.

        Args:
          exported: encoder and preprocessor.
          pooling: "mean" over all tokens of a text, [CLS] and [SEP] included, as in
            sentence-transformers; or "cls", the output at [CLS].
        """
        self._encoder, self._pooling = exported.encoder, pooling
        self._tokenize = exported.preprocessor.tokenize
        self._pack = exported.preprocessor.bert_pack_inputs
        self.max_tokens, self.hidden_size = exported.max_tokens, exported.hidden_size

    def embed(self, texts: Sequence[str]) -> tuple[np.ndarray, int]:
        """Embed texts.

        Args:
          texts: N texts. An empty text is encoded as [CLS] [SEP].

        Returns:
          (vectors, truncated): float32 [N, H], and the number of texts truncated to `max_tokens`.
        """
        import tensorflow as tf

        pieces = self._tokenize(tf.constant(texts)).merge_dims(1, 2)
        longest = int(tf.reduce_max(pieces.row_lengths())) + 2  # [CLS] and [SEP]
        truncated = int(
            tf.reduce_sum(tf.cast(pieces.row_lengths() + 2 > self.max_tokens, tf.int32))
        )
        features = self._pack([pieces], seq_length=tf.constant(min(longest, self.max_tokens)))
        hidden_NSH = self._encoder(features)["sequence_output"]
        if self._pooling == "cls":
            return hidden_NSH[:, 0].numpy(), truncated
        mask_NS1 = tf.cast(features["input_mask"], tf.float32)[..., None]
        sums_NH = tf.reduce_sum(hidden_NSH * mask_NS1, axis=1)
        return (sums_NH / tf.reduce_sum(mask_NS1, axis=1)).numpy(), truncated


def embed_lines(embedder: Embedder, lines: list[str], target: str, *, batch_size: int) -> str:
    """Embed lines into a .npy file, written atomically; return a summary of one line.

    Args:
      embedder: see Embedder.
      lines: N lines of text.
      target: file to write.
      batch_size: lines per batch.
    """
    empty, truncated = sum(not line.strip() for line in lines), 0
    # Batches of similar length, longest first: padding costs as much as text.
    order = np.argsort([len(line) for line in lines], kind="stable")[::-1]
    with atomic_path(target) as path, tqdm(total=len(lines), unit="line", disable=None) as bar:
        shape = (len(lines), embedder.hidden_size)
        vectors = np.lib.format.open_memmap(path, "w+", dtype="<f4", shape=shape)
        for start in range(0, len(lines), batch_size):
            rows = order[start : start + batch_size]
            vectors[rows], too_long = embedder.embed([lines[row] for row in rows])
            truncated += too_long
            bar.update(len(rows))
        vectors.flush()
    return (
        f"embed: {len(lines):,} lines in {target}, float32 [{shape[0]}, {shape[1]}]; {empty:,} empty"
        f" (the vector of [CLS] [SEP]), {truncated:,} truncated to {embedder.max_tokens} tokens"
    )


def main(argv: Sequence[str]) -> None:
    """Parse the command line and embed."""
    parser = CommandParser(
        prog="python -m pretrain.embed",
        description=__doc__,
    )
    add_export_flag(parser)
    parser.add_argument("--input", required=True, help="text file, one text per line")
    parser.add_argument("--output", required=True, help=".npy file to create")
    parser.add_argument(
        "--pooling", choices=POOLINGS, default="mean", help="how the vectors of a text become one"
    )
    parser.add_argument(
        "--batch_size", type=int, default=32, metavar="N", help="texts computed together"
    )
    args = parser.parse_args(argv)
    if args.batch_size < 1:
        raise UserError(f"--batch_size {args.batch_size}: must be at least 1")
    for name in ("input", "output"):
        require_local(f"--{name}", getattr(args, name))
    if os.path.exists(args.output):
        raise UserError(f"--output {args.output} exists; delete it or choose another name")
    lines = read_lines(args.input)  # fail before the models, which take longer to load
    embedder = Embedder(LoadedExport.load(args.export), pooling=args.pooling)
    print(embed_lines(embedder, lines, args.output, batch_size=args.batch_size))


if __name__ == "__main__":
    run_main(main)
