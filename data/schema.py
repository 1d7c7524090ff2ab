"""What one training example is and where it lies: the one place these facts are written down.

Writer, reader, models, exports and tests derive names, dtypes and shapes from here.
Standard library only, so that every package may import it.

Legend for shapes: S tokens in a sequence, P predictions in a sequence, N sequences.
"""

from __future__ import annotations

import dataclasses

SPLITS = ("train", "eval")

PAD, UNK, CLS, SEP, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
# In the order in which a learned vocabulary starts. Ids are always looked up by piece, never assumed.
SPECIAL_TOKENS = (PAD, UNK, CLS, SEP, MASK)

VOCAB_FILE = "vocab.txt"
MANIFEST_FILE = "manifest.json"
REJECTS_FILE = "rejects/rejects.jsonl"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Feature:
    """One feature of a `tf.train.Example`: `length` is "S" or "P", `dtype` as in the record."""

    name: str
    dtype: str
    length: str

    def size(self, *, max_seq_length: int, max_predictions: int) -> int:
        """Number of values in one example."""
        return max_seq_length if self.length == "S" else max_predictions


# The names and types that `official.nlp.data.pretrain_dataloader` reads with
# use_v2_feature_names=True and use_next_sentence_label=False.
FEATURES = (
    Feature(name="input_word_ids", dtype="int64", length="S"),
    Feature(name="input_mask", dtype="int64", length="S"),
    Feature(name="input_type_ids", dtype="int64", length="S"),
    Feature(name="masked_lm_positions", dtype="int64", length="P"),
    Feature(name="masked_lm_ids", dtype="int64", length="P"),
    Feature(name="masked_lm_weights", dtype="float32", length="P"),
)


def packed_path(split: str, shard: int) -> str:
    """Path, relative to the build directory, of the unmasked sequences of one shard."""
    return f"packed/{split}/shard-{shard:05d}.npy"


def sources_path(split: str, shard: int) -> str:
    """Path, relative to the build directory, of which sources the sequences of one shard are from."""
    return f"sources/{split}/shard-{shard:05d}.npy"


def masked_path(split: str, shard: int, copy: int) -> str:
    """Path, relative to the build directory, of one masked copy of one shard."""
    return f"masked/{split}/copy-{copy:03d}/shard-{shard:05d}.tfrecord"
