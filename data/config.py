"""Settings of the data build and of the reader. pretrain/config.py binds them to gin."""

from __future__ import annotations

import dataclasses
import re

from data.errors import UserError, check_maxima


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise UserError(message)


_SHARE = (0.0, 1.0)
_LARGE = 2**31 - 1
# Minimum and maximum of the numbers in BuildConfig; where the maximum is an int, the value must be.
_RANGES: dict[str, tuple[float, float]] = {
    "copies": (0, 1000),
    "num_shards": (1, 10**5),
    "num_eval_shards": (1, 10**5),
    "max_seq_length": (8, 2**16),
    "max_predictions": (1, 2**16),
    "masked_lm_rate": _SHARE,
    "mask_token_rate": _SHARE,
    "random_token_rate": _SHARE,
    "max_ngram": (1, 16),
    "eval_fraction": _SHARE,
    "max_reject_fraction": _SHARE,
    "max_unknown_fraction": _SHARE,
    "max_document_bytes": (1, _LARGE),
    "duplicate_min_words": (1, _LARGE),
    "near_duplicate_threshold": _SHARE,
    "seed": (0, 2**63 - 1),
}
MASK_UNITS = ("token", "whole_word")
_CHOICES = {
    "mask_unit": MASK_UNITS,
    "separators": ("document", "sentence"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class BuildConfig:
    """Settings of `data.build`. All of them are recorded in the manifest.

    Attributes:
      copies: differently masked copies of every training sequence, written as TFRecords; 0 writes
        none, then training needs InputConfig.masks = "online".
      num_shards: shards of the training split. Documents are packed within their shard.
      num_eval_shards: shards of the held-out split.
      max_seq_length: tokens in a sequence, with [CLS] and [SEP].
      max_predictions: maximum number of masked positions in a sequence.
      masked_lm_rate: share of a sequence's tokens to predict.
      mask_token_rate: share of the predicted positions that show [MASK].
      random_token_rate: share of the predicted positions that show a random piece; the rest show
        the original piece.
      mask_unit: unit of prediction: "token", or "whole_word", a piece with the "##" pieces after it.
      max_ngram: maximum number of consecutive units predicted together; n units have a probability
        proportional to 1/n.
      eval_fraction: share of the documents held out, selected by a hash of their id.
      max_reject_fraction: maximum share of rejected documents; the build stops above it.
      max_unknown_fraction: maximum share of [UNK] tokens; the build stops above it.
      max_document_bytes: maximum size of an article, book or line of JSON; larger ones are rejected.
      lower_case: whether to lower-case text and strip accents before splitting it into pieces.
      language: ISO 639 code of the text's language, which selects the rules of the sentence splitter.
      separators: "document" puts one [SEP] between documents, as in the RoBERTa paper; "sentence"
        puts one after every sentence and one more between documents, as fairseq does.
      drop_duplicates: whether to drop repeated documents and paragraphs with identical text.
      duplicate_min_words: minimum length of a duplicate paragraph; short ones like "He said nothing."
        may recur.
      near_duplicate_threshold: estimated Jaccard similarity, of the sets of 5-word shingles, from
        which a document is dropped as a near duplicate of one that is kept; 0 drops none.
      seed: mask seed.
    """

    copies: int = 100
    num_shards: int = 64
    num_eval_shards: int = 1
    max_seq_length: int = 512
    max_predictions: int = 76
    masked_lm_rate: float = 0.15
    mask_token_rate: float = 0.8
    random_token_rate: float = 0.1
    mask_unit: str = "token"
    max_ngram: int = 1
    eval_fraction: float = 0.01
    max_reject_fraction: float = 0.01
    max_unknown_fraction: float = 0.05
    max_document_bytes: int = 32 * 2**20
    lower_case: bool = True
    language: str = "en"
    separators: str = "document"
    drop_duplicates: bool = True
    duplicate_min_words: int = 8
    near_duplicate_threshold: float = 0.0
    seed: int = 12345

    def __post_init__(self) -> None:
        for name, (minimum, maximum) in _RANGES.items():
            value = getattr(self, name)
            has_type = isinstance(value, int) or isinstance(maximum, float)
            _require(
                has_type and minimum <= value <= maximum,
                f"BuildConfig.{name}={value!r}: must be between {minimum:n} and"
                f" {maximum:,}".removesuffix(".0"),
            )
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            _require(
                value in choices,
                f"BuildConfig.{name}={value!r}: must be {' or '.join(map(repr, choices))}",
            )
        _require(
            re.fullmatch(r"[a-z]{2,3}", self.language) is not None,
            f"BuildConfig.language={self.language!r}: must be an ISO 639 code such as 'en'",
        )
        _require(
            self.max_predictions <= self.max_seq_length - 2,
            f"BuildConfig.max_predictions={self.max_predictions} does not fit into"
            f" BuildConfig.max_seq_length={self.max_seq_length} with [CLS] and [SEP]",
        )
        _require(
            self.mask_token_rate + self.random_token_rate <= 1,
            f"BuildConfig.mask_token_rate={self.mask_token_rate} and"
            f" BuildConfig.random_token_rate={self.random_token_rate} together exceed 1",
        )
        _require(
            self.drop_duplicates or not self.near_duplicate_threshold,
            f"BuildConfig.near_duplicate_threshold={self.near_duplicate_threshold} has no effect"
            " with BuildConfig.drop_duplicates=False",
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class InputConfig:
    """Settings of the input of training.

    Attributes:
      masks: "materialised" reads the masked TFRecords, "online" masks the packed sequences while
        reading. Both give the same examples.
      reader: "python" reads with numpy in this process. "graph" reads with TensorFlow operations
        only, on the host that a batch is for; it is slower. "auto" is "graph" on the hosts of a TPU slice,
        where "python" cannot read, else "python". Both give the same batches.
      prefetch: batches prepared ahead of the device; -1 lets tf.data choose; at most 10,000.
    """

    masks: str = "materialised"
    reader: str = "auto"
    prefetch: int = -1

    def __post_init__(self) -> None:
        _require(
            self.masks in ("materialised", "online"),
            f"InputConfig.masks={self.masks!r}: must be 'materialised' or 'online'",
        )
        _require(
            self.reader in ("auto", "python", "graph"),
            f"InputConfig.reader={self.reader!r}: must be 'auto', 'python' or 'graph'",
        )
        _require(self.prefetch >= -1, f"InputConfig.prefetch={self.prefetch}: must be -1 or more")
        check_maxima(self, {"prefetch": 10_000})
