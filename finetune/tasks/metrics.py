"""Official metrics from established libraries; all are fractions, 1 is perfect.

scikit-learn and scipy compute GLUE's metrics, seqeval those of labelled entities. SQuAD is scored by
the official scripts in tf-models (finetune/tasks/span.py).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np


def accuracy(labels_N: np.ndarray, predictions_N: np.ndarray) -> float:
    """Return the fraction of correct predictions."""
    return float(np.mean(labels_N == predictions_N))


def f1(labels_N: np.ndarray, predictions_N: np.ndarray) -> float:
    """Return the F1 of label 1, as for MRPC and QQP; 0 if it neither occurs nor is predicted."""
    from sklearn.metrics import f1_score

    return float(f1_score(labels_N, predictions_N, pos_label=1, zero_division=0))


def f1_macro(labels_N: np.ndarray, predictions_N: np.ndarray) -> float:
    """Return the mean F1 of the labels that occur or are predicted."""
    from sklearn.metrics import f1_score

    return float(f1_score(labels_N, predictions_N, average="macro", zero_division=0))


def matthews(labels_N: np.ndarray, predictions_N: np.ndarray) -> float:
    """Return Matthews' correlation coefficient; 0 if all predictions are the same."""
    from sklearn.metrics import matthews_corrcoef

    return float(matthews_corrcoef(labels_N, predictions_N))


def pearson(values_N: np.ndarray, predictions_N: np.ndarray) -> float:
    """Return Pearson's correlation; 0 where it is undefined because all values are the same."""
    return _correlation("pearsonr", values_N, predictions_N)


def spearman(values_N: np.ndarray, predictions_N: np.ndarray) -> float:
    """Return Spearman's rank correlation; 0 where it is undefined, for values all the same."""
    return _correlation("spearmanr", values_N, predictions_N)


def mean_squared_error(values_N: np.ndarray, predictions_N: np.ndarray) -> float:
    """Return the mean squared error; the only metric of which lower is better."""
    return float(np.mean(np.square(values_N.astype(np.float64) - predictions_N)))


def _correlation(function: str, values_N: np.ndarray, predictions_N: np.ndarray) -> float:
    import scipy.stats

    if np.ptp(values_N) == 0 or np.ptp(predictions_N) == 0:
        return 0.0
    both = values_N.astype(np.float64), predictions_N.astype(np.float64)
    return float(getattr(scipy.stats, function)(*both).statistic)


METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    function.__name__: function
    for function in (
        *(accuracy, f1, f1_macro, matthews),
        *(pearson, spearman, mean_squared_error),
    )
}


def are_entities(labels: Sequence[str]) -> bool:
    """Return whether labels mark beginning and inside of entities, like B-PER, I-PER and O."""
    return "O" in labels and all(label == "O" or label[:2] in ("B-", "I-") for label in labels)


def entity_scores(labels: list[list[str]], predictions: list[list[str]]) -> dict[str, float]:
    """Return precision, recall and F1 of whole entities, as scored in the CoNLL shared tasks.

    Args:
      labels: labels of each word of each sentence.
      predictions: predicted labels, likewise.
    """
    from seqeval.metrics import f1_score, precision_score, recall_score

    with warnings.catch_warnings():  # seqeval warns when no entity is predicted
        warnings.simplefilter("ignore")
        return {
            "f1": float(f1_score(labels, predictions, zero_division=0)),
            "precision": float(precision_score(labels, predictions, zero_division=0)),
            "recall": float(recall_score(labels, predictions, zero_division=0)),
        }
