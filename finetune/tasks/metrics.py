"""The official scores, from well-kept libraries; all are fractions, 1 is perfect.

scikit-learn and scipy compute those of GLUE, seqeval those of labelled entities. The scorers of
SQuAD are those that tf-models ships (finetune/tasks/span.py).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np


def accuracy(labels_N: np.ndarray, predictions_N: np.ndarray) -> float:
    """Share of predictions that are right."""
    return float(np.mean(labels_N == predictions_N))


def f1(labels_N: np.ndarray, predictions_N: np.ndarray) -> float:
    """F1 of label 1, as for MRPC and QQP; 0 if it is neither there nor predicted."""
    from sklearn.metrics import f1_score

    return float(f1_score(labels_N, predictions_N, pos_label=1, zero_division=0))


def f1_macro(labels_N: np.ndarray, predictions_N: np.ndarray) -> float:
    """Mean of the F1 of each label that is there or predicted."""
    from sklearn.metrics import f1_score

    return float(f1_score(labels_N, predictions_N, average="macro", zero_division=0))


def matthews(labels_N: np.ndarray, predictions_N: np.ndarray) -> float:
    """Matthews correlation coefficient; 0 if all predictions are the same."""
    from sklearn.metrics import matthews_corrcoef

    return float(matthews_corrcoef(labels_N, predictions_N))


def pearson(values_N: np.ndarray, predictions_N: np.ndarray) -> float:
    """Pearson's correlation; 0 if all values are the same, where it is undefined."""
    return _correlation("pearsonr", values_N, predictions_N)


def spearman(values_N: np.ndarray, predictions_N: np.ndarray) -> float:
    """Spearman's correlation of ranks; 0 if all values are the same, where it is undefined."""
    return _correlation("spearmanr", values_N, predictions_N)


def mean_squared_error(values_N: np.ndarray, predictions_N: np.ndarray) -> float:
    """Mean squared error; the one score of which less is better."""
    return float(np.mean(np.square(values_N.astype(np.float64) - predictions_N)))


def _correlation(function: str, values_N: np.ndarray, predictions_N: np.ndarray) -> float:
    import scipy.stats

    if np.ptp(values_N) == 0 or np.ptp(predictions_N) == 0:  # a collapsed model says one number
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
    """Whether labels mark the beginnings and insides of entities, like B-PER, I-PER and O."""
    return "O" in labels and all(label == "O" or label[:2] in ("B-", "I-") for label in labels)


def entity_scores(labels: list[list[str]], predictions: list[list[str]]) -> dict[str, float]:
    """Precision, recall and F1 of whole entities, as the CoNLL shared tasks score.

    Args:
      labels: of every word of every sentence.
      predictions: of the same shape.
    """
    from seqeval.metrics import f1_score, precision_score, recall_score

    with warnings.catch_warnings():  # a model that predicts no entity yet is no news
        warnings.simplefilter("ignore")
        return {
            "f1": float(f1_score(labels, predictions, zero_division=0)),
            "precision": float(precision_score(labels, predictions, zero_division=0)),
            "recall": float(recall_score(labels, predictions, zero_division=0)),
        }
