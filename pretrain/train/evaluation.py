"""What a model scores on held-out text: over all of it, by source, and by boundaries in a sequence.

The masks of held-out text never change, so two figures differ by the model alone. Every sequence is
in one group of each kind:

    by source     "wiki", "books", ...: all text of the sequence is of that source; "mixed": of several
    by boundary   "cross_boundary": the sequence holds a [SEP] that parts two documents, or two
                  chapters of a book; "same_document": it does not

All predictions of a sequence count for its groups, those before a boundary too.

Legend: N held-out sequences.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data import schema
from data.manifest import Manifest
from data.read.split_reader import SplitReader
from data.stages.packing import Layout, crosses_boundary
from data.storage.sequence_sources import read_sequence_sources
from data.vocab import Vocab

SAME_DOCUMENT, CROSS_BOUNDARY = "same_document", "cross_boundary"
_CHUNK = 256  # sequences read at once


@dataclasses.dataclass(frozen=True, kw_only=True)
class Baseline:
    """What always guessing one piece scores on the held-out predictions."""

    piece: str
    accuracy: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeldOut:
    """The held-out split as evaluation looks at it; `groups` are masks of sequences, bool [N]."""

    num_sequences: int
    baseline: Baseline
    groups: dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvalMetrics:
    """Means over predictions.

    Attributes:
      loss: cross-entropy in nats.
      hidden_accuracy: of the predictions whose piece the input does not show. One in ten is shown
        as it is (BERT, section 3.1), so a model scores on `mlm_accuracy` by repeating what it sees.
        0 where there are none.
    """

    loss: float
    mlm_accuracy: float
    hidden_accuracy: float
    predictions: int

    @property
    def perplexity(self) -> float:
        """The exponential of the loss; the largest float there is for a loss beyond 700."""
        return math.exp(min(self.loss, 700))


def read_held_out(data_dir: str, manifest: Manifest, reader: SplitReader) -> HeldOut:
    """Reads the held-out split once.

    Args:
      data_dir: the build.
      manifest: its manifest.
      reader: of its held-out split.

    Raises:
      UserError: a file is damaged.
    """
    vocab = Vocab.load(Path(data_dir, schema.VOCAB_FILE))
    layout = Layout.create(manifest.config, vocab)
    label_counts, crosses = np.zeros(len(vocab), np.int64), []
    for features in _batches(reader):
        labels = features["masked_lm_ids"][features["masked_lm_weights"] > 0]
        label_counts += np.bincount(labels, minlength=len(vocab))
        crosses.append(crosses_boundary(features["input_word_ids"], layout))
    crosses_N = np.concatenate(crosses)
    origin_N = read_sequence_sources(data_dir, manifest, "eval")
    best = int(label_counts.argmax())
    return HeldOut(
        num_sequences=reader.num_sequences,
        baseline=Baseline(
            piece=vocab.pieces[best], accuracy=label_counts[best] / label_counts.sum()
        ),
        groups={
            **{str(origin): origin_N == origin for origin in np.unique(origin_N)},
            SAME_DOCUMENT: ~crosses_N,
            CROSS_BOUNDARY: crosses_N,
        },
    )


def _batches(reader: SplitReader) -> Iterator[dict[str, np.ndarray]]:
    for start in range(0, reader.num_sequences, _CHUNK):
        index = np.arange(start, min(start + _CHUNK, reader.num_sequences))
        yield reader.read(index, np.zeros_like(index))


def metrics_of(sums_N23: np.ndarray) -> EvalMetrics | None:
    """Means over sequences.

    Args:
      sums_N23: of each, as `Trainer.evaluate` gives them; added up in float64.

    Returns:
      None if there are no predictions.
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
    """Metrics of a step as a row of metrics.jsonl and as lines for people.

    Args:
      sums_N23: as `Trainer.evaluate` gives them. What follows the last sequence of the split, to
        fill the last batch, is left out.
      held_out: the split.
    """
    sums_N23 = sums_N23[: held_out.num_sequences]
    metrics, baseline = metrics_of(sums_N23), held_out.baseline
    row = {**_keys(metrics), "eval_baseline_accuracy": baseline.accuracy}
    lines = [
        f"held-out: loss {metrics.loss:.3f}, MLM accuracy {metrics.mlm_accuracy:.2%}"
        f" on {metrics.predictions:,} predictions"
        f" (always guessing {baseline.piece!r}: {baseline.accuracy:.2%}), and"
        f" {metrics.hidden_accuracy:.2%} where the piece is hidden"
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
    found = {**dataclasses.asdict(metrics), "perplexity": metrics.perplexity}
    return {f"eval_{name}{suffix}": value for name, value in found.items()}
