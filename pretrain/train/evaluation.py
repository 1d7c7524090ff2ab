"""Metrics on held-out text: over all of it, by source, and by document boundary.

The masks of held-out text never change, so the metrics of two models are comparable. Every sequence
is in one group of each kind:

    by source     "wiki", "books", ...: all text of the sequence has that source; "mixed": several
    by boundary   "cross_boundary": a [SEP] in the sequence separates two documents, or two chapters
                  of a book; "same_document": there is none

All predictions of a sequence count for its groups, also those before the boundary.

An encoder first learns how frequent the pieces are, whatever surrounds them. On this unigram plateau its
accuracy on hidden tokens is hardly above the share of the most frequent piece, and short or timid runs
end there: they have learned nothing from context. Evaluations say so.

Legend: N held-out sequences.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data import schema
from data.errors import UserError
from data.manifest import Manifest
from data.read.split_reader import SplitReader
from data.stages.packing import Layout, crosses_boundary
from data.storage.sequence_sources import read_sequence_sources
from data.vocab import Vocab
from pretrain.train.metrics_log import PLATEAU_NOTE, is_on_plateau

SAME_DOCUMENT, CROSS_BOUNDARY = "same_document", "cross_boundary"
_CHUNK = 256  # sequences per read


@dataclasses.dataclass(frozen=True, kw_only=True)
class Baseline:
    """Accuracy of always predicting the most frequent of some held-out labels."""

    piece: str
    accuracy: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Facts about the held-out split that evaluation needs.

    Attributes:
      num_sequences: N.
      baseline: accuracy of a constant prediction.
      hidden_baseline: the same over the predictions whose piece is hidden.
      groups: sequences of each group, bool [N].
    """

    num_sequences: int
    baseline: Baseline
    hidden_baseline: Baseline
    groups: dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvalMetrics:
    """Means over predictions.

    Attributes:
      loss: cross-entropy in nats.
      mlm_accuracy: fraction of correct predictions.
      hidden_accuracy: the same over the predictions whose piece is hidden; 0 if there are none. One in
        ten is shown unchanged (BERT, section 3.1), so copying the input raises `mlm_accuracy`.
      predictions: number of predictions.
    """

    loss: float
    mlm_accuracy: float
    hidden_accuracy: float
    predictions: int

    @property
    def perplexity(self) -> float:
        """Exponential of the loss, which is capped at 700 nats to stay finite."""
        return math.exp(min(self.loss, 700))


def read_held_out(data_dir: str, manifest: Manifest, reader: SplitReader) -> HeldOut:
    """Read the held-out split once.

    Args:
      data_dir: build directory.
      manifest: manifest of the build.
      reader: reader of the held-out split.

    Raises:
      UserError: a file is damaged.
    """
    vocab = Vocab.load(Path(data_dir, schema.VOCAB_FILE))
    layout = Layout.create(manifest.config, vocab)
    counts_2V, crosses = np.zeros((2, len(vocab)), np.int64), []
    for features in _batches(reader):
        is_label_NP, labels_NP = features["masked_lm_weights"] > 0, features["masked_lm_ids"]
        shown_NP = np.take_along_axis(
            features["input_word_ids"], features["masked_lm_positions"], axis=1
        )
        for counts_V, chosen_NP in zip(
            counts_2V, (is_label_NP, is_label_NP & (shown_NP != labels_NP)), strict=True
        ):
            counts_V += np.bincount(labels_NP[chosen_NP], minlength=len(vocab))
        crosses.append(crosses_boundary(features["input_word_ids"], layout))
    crosses_N = np.concatenate(crosses)
    origin_N = read_sequence_sources(data_dir, manifest, "eval")
    baseline, hidden_baseline = (_most_frequent(counts_V, vocab) for counts_V in counts_2V)
    return HeldOut(
        num_sequences=reader.num_sequences,
        baseline=baseline,
        hidden_baseline=hidden_baseline,
        groups={
            **{str(origin): origin_N == origin for origin in np.unique(origin_N)},
            SAME_DOCUMENT: ~crosses_N,
            CROSS_BOUNDARY: crosses_N,
        },
    )


def _most_frequent(counts_V: np.ndarray, vocab: Vocab) -> Baseline:
    best = int(counts_V.argmax())
    return Baseline(
        piece=vocab.pieces[best], accuracy=float(counts_V[best] / max(counts_V.sum(), 1))
    )


def _batches(reader: SplitReader) -> Iterator[dict[str, np.ndarray]]:
    for start in range(0, reader.num_sequences, _CHUNK):
        index = np.arange(start, min(start + _CHUNK, reader.num_sequences))
        yield reader.read(index, np.zeros_like(index))


def metrics_of(sums_N23: np.ndarray) -> EvalMetrics | None:
    """Return means over sequences, or None if there are no predictions.

    Args:
      sums_N23: what `Trainer.evaluate` returns: for all and for hidden predictions, the sums of loss,
        correct predictions and predictions of each sequence. Added up in float64.
    """
    (loss, correct, predictions), (_, hidden_correct, hidden) = sums_N23.sum(0, np.float64).tolist()
    if not predictions:
        return None
    return EvalMetrics(
        loss=loss / predictions,
        mlm_accuracy=correct / predictions,
        hidden_accuracy=hidden_correct / max(hidden, 1.0),
        predictions=round(predictions),
    )


def evaluation_row(sums_N23: np.ndarray, held_out: HeldOut) -> tuple[dict[str, float], str]:
    """Return metrics as a row of metrics.jsonl and as lines of text.

    Args:
      sums_N23: see `metrics_of`; rows that pad the last batch are ignored.
      held_out: the held-out split.
    """
    sums_N23 = sums_N23[: held_out.num_sequences]
    metrics, baseline, hidden = metrics_of(sums_N23), held_out.baseline, held_out.hidden_baseline
    if metrics is None:
        raise UserError(
            "no token of the held-out split is predicted: build the data with more held-out text"
            " (BuildConfig.eval_fraction)"
        )
    row = {
        **_keys(metrics),
        "eval_baseline_accuracy": baseline.accuracy,
        "eval_hidden_baseline_accuracy": hidden.accuracy,
    }
    lines = [
        f"held-out: loss {metrics.loss:.3f}, MLM accuracy {metrics.mlm_accuracy:.2%}"
        f" on {metrics.predictions:,} predictions"
        f" (always guessing {baseline.piece!r}: {baseline.accuracy:.2%}), and"
        f" {metrics.hidden_accuracy:.2%} where the token is hidden"
        f" ({hidden.piece!r}: {hidden.accuracy:.2%})"
        + (f": {PLATEAU_NOTE}" if is_on_plateau(row) else "")
    ]
    for name, chosen_N in held_out.groups.items():
        if group := metrics_of(sums_N23[chosen_N]):
            row |= _keys(group, f"/{name}")
            lines.append(
                f"  {name.replace('_', ' ')}: loss {group.loss:.3f}, {group.mlm_accuracy:.2%}"
                f" on {group.predictions:,}"
            )
    return row, "\n".join(lines)


def _keys(metrics: EvalMetrics, suffix: str = "") -> dict[str, float]:
    values = {**dataclasses.asdict(metrics), "perplexity": metrics.perplexity}
    return {f"eval_{name}{suffix}": value for name, value in values.items()}
