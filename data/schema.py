"""Features of a training example and the file names of a build.

Writer, reader, models, exports and tests take names, dtypes and shapes from here. Standard library
only, so that every package may import it.

Legend for shapes: S tokens in a sequence, P predictions in a sequence, N sequences.
"""

from __future__ import annotations

import dataclasses

SPLITS = ("train", "eval")

PAD, UNK, CLS, SEP, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
# The order at the start of a learned vocabulary. Code looks ids up by piece and assumes none.
SPECIAL_TOKENS = (PAD, UNK, CLS, SEP, MASK)

VOCAB_FILE = "vocab.txt"
MANIFEST_FILE = "manifest.json"
REJECTS_FILE = "rejects/rejects.jsonl"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Feature:
    """One feature of a `tf.train.Example`.

    Attributes:
      name: key in the example.
      dtype: type in the record.
      length: "S" or "P", see the legend.
    """

    name: str
    dtype: str
    length: str

    def size(self, *, max_seq_length: int, max_predictions: int) -> int:
        """Return the number of values in one example."""
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
    """Return the file of the packed sequences of a shard, relative to the build directory."""
    return f"packed/{split}/shard-{shard:05d}.npy"


def sources_path(split: str, shard: int) -> str:
    """Return the file of the sources of a shard's sequences, relative to the build directory."""
    return f"sources/{split}/shard-{shard:05d}.npy"


def masked_path(split: str, shard: int, copy: int) -> str:
    """Return the file of a masked copy of a shard, relative to the build directory."""
    return f"masked/{split}/copy-{copy:03d}/shard-{shard:05d}.tfrecord"
