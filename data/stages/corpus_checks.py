"""Whether a corpus is worth masking: the checks between packing and the masked copies."""

from __future__ import annotations

import json
from collections.abc import Sequence

from data import files, schema
from data.config import BuildConfig
from data.errors import UserError
from data.manifest import Shard
from data.stages import accounting

Tally = dict[str, dict[str, int]]


def check_rejects(
    config: BuildConfig, *, rejects: Sequence[dict], tally: Tally, output_dir: str
) -> None:
    """Writes what was refused, and stops a build that refuses too much.

    Raises:
      UserError: more than BuildConfig.max_reject_fraction of the documents were refused.
    """
    lines = sorted(json.dumps(reject, sort_keys=True) for reject in rejects)
    path = files.join(output_dir, schema.REJECTS_FILE)
    files.write_atomically(path, "".join(f"{line}\n" for line in lines).encode())
    num_rejects = sum(counts.get(accounting.DOCUMENTS_REJECTED, 0) for counts in tally.values())
    num_documents = num_rejects + _num_read(tally)
    if num_rejects > config.max_reject_fraction * num_documents:
        raise UserError(
            f"{num_rejects} of {num_documents} documents were refused, more than"
            f" BuildConfig.max_reject_fraction={config.max_reject_fraction}; {path} says why"
        )


def check_corpus(config: BuildConfig, *, shards: Sequence[Shard], tally: Tally) -> None:
    """Stops a build that would be unsound.

    Raises:
      UserError: too many tokens are unknown, or a split has no sequence.
    """
    accounting.check(tally)
    num_documents = _num_read(tally)
    num_tokens = sum(shard.tokens for shard in shards)
    num_packed = sum(counts.get("tokens_packed", 0) for counts in tally.values())
    if num_tokens != num_packed:
        raise RuntimeError(
            f"{num_packed} tokens were to be packed, the sequences hold {num_tokens}"
        )
    num_unknown = sum(shard.unknown_tokens for shard in shards)
    if num_unknown > config.max_unknown_fraction * num_tokens:
        raise UserError(
            f"{num_unknown} of {num_tokens} tokens are [UNK], more than"
            f" BuildConfig.max_unknown_fraction={config.max_unknown_fraction}; is the vocabulary of"
            f" this language, and BuildConfig.lower_case={config.lower_case} right for it?"
        )
    splits = {shard.split for shard in shards}
    if "train" not in splits:
        raise UserError(
            f"no training sequence was made of {num_documents} documents with text; give more text"
            " or a smaller BuildConfig.eval_fraction"
        )
    if config.eval_fraction > 0 and "eval" not in splits:
        raise UserError(
            f"none of the {num_documents} documents fell into the held-out split with"
            f" BuildConfig.eval_fraction={config.eval_fraction}; raise it, or set it to 0 for none"
        )


def _num_read(tally: Tally) -> int:
    return sum(counts.get(accounting.READ, 0) for counts in tally.values())
