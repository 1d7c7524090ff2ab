"""Check the corpus before the expensive stages: rejected documents, unknown tokens, empty splits."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from data import files, schema
from data.build_files import Shard
from data.config import BuildConfig
from data.errors import UserError
from data.manifest import Manifest
from data.stages import accounting

Tally = dict[str, dict[str, int]]

# Tokens. Sentences of prose have about 25, in languages with long words about 40.
_LONG_SENTENCE = 120
_SHORT_DOCUMENT = 25
_MANY_DOCUMENTS = 1000
# A file of which a smaller share is kept is doubtful, unless it is tiny.
_MIN_PROSE, _MIN_PROSE_BYTES = 0.5, 1000


def check_rejects(
    config: BuildConfig, *, rejects: Sequence[dict[str, Any]], tally: Tally, output_dir: str
) -> None:
    """Write the list of rejected documents; raise a UserError if there are too many.

    Args:
      config: settings of the build.
      rejects: rejected documents, see data.sources.documents.Reject.
      tally: counts by source of all units.
      output_dir: build directory.

    Raises:
      UserError: more than BuildConfig.max_reject_fraction of the documents were rejected.
    """
    lines = sorted(json.dumps(reject, sort_keys=True) for reject in rejects)
    path = files.join(output_dir, schema.REJECTS_FILE)
    files.write_atomically(path, "".join(f"{line}\n" for line in lines).encode())
    num_rejects = sum(counts.get(accounting.DOCUMENTS_REJECTED, 0) for counts in tally.values())
    num_documents = num_rejects + num_read(tally)
    if num_rejects > config.max_reject_fraction * num_documents:
        raise UserError(
            f"{num_rejects} of {num_documents} documents were rejected, more than"
            f" BuildConfig.max_reject_fraction={config.max_reject_fraction}; {path} lists the reasons"
        )


def check_corpus(config: BuildConfig, *, shards: Sequence[Shard], tally: Tally) -> None:
    """Reconcile the counts of the stages and check the packed shards.

    Args:
      config: settings of the build.
      shards: packed shards of all splits.
      tally: counts by source of all stages.

    Raises:
      UserError: too many tokens are unknown, or a split has no sequence.
      RuntimeError: the counts of the stages disagree.
    """
    accounting.check(tally)
    num_documents = num_read(tally)
    num_tokens = sum(shard.tokens for shard in shards)
    num_packed = sum(counts.get("tokens_packed", 0) for counts in tally.values())
    if num_tokens != num_packed:
        raise RuntimeError(f"{num_packed} tokens were packed, but the sequences hold {num_tokens}")
    num_unknown = sum(shard.unknown_tokens for shard in shards)
    if num_unknown > config.max_unknown_fraction * num_tokens:
        raise UserError(
            f"{num_unknown} of {num_tokens} tokens are [UNK], more than"
            f" BuildConfig.max_unknown_fraction={config.max_unknown_fraction}; is the vocabulary for"
            f" this language, and does BuildConfig.lower_case={config.lower_case} match it?"
        )
    by_split = {
        split: sum(s.documents for s in shards if s.split == split) for split in schema.SPLITS
    }
    check_splits(
        config,
        num_read=num_documents,
        num_documents=sum(by_split.values()),
        num_held_out=by_split["eval"],
    )


def check_splits(
    config: BuildConfig, *, num_read: int, num_documents: int, num_held_out: int
) -> None:
    """Raise a UserError if a split has no document.

    Args:
      config: settings of the build.
      num_read: documents that were read, for errors.
      num_documents: documents with text, of both splits.
      num_held_out: documents of the held-out split.
    """
    if num_documents == num_held_out:
        raise UserError(
            f"the training split of {num_read} documents has no sequence; give more text or a"
            f" smaller BuildConfig.eval_fraction (now {config.eval_fraction})"
        )
    if config.eval_fraction > 0 and not num_held_out:
        raise UserError(
            f"none of the {num_read} documents fell into the held-out split with"
            f" BuildConfig.eval_fraction={config.eval_fraction}; raise it, or set it to 0 for no"
            " held-out split"
        )


def warnings_about(manifest: Manifest) -> list[str]:
    """Return what is doubtful about a build: little prose, implausible lengths."""
    return [*_prose_warnings(manifest.prose), *implausible_lengths(manifest.accounts)]


def low_prose(prose: Tally) -> Tally:
    """Return the counts of the files of which less than half of the expected prose is kept.

    Args:
      prose: counts by file, see data.stages.accounting.PROSE_KEPT.
    """
    return {
        name: counts
        for name, counts in prose.items()
        if counts[accounting.PROSE_EXPECTED] >= _MIN_PROSE_BYTES
        and counts[accounting.PROSE_KEPT] < _MIN_PROSE * counts[accounting.PROSE_EXPECTED]
    }


def _prose_warnings(prose: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return a warning for each file of `low_prose`, with the share that is kept."""
    return [
        f"--{name.partition('/')[0]} {name.partition('/')[2]}: ONLY"
        f" {counts[accounting.PROSE_KEPT] / counts[accounting.PROSE_EXPECTED]:.1%} OF THE TEXT IS KEPT"
        f" ({counts[accounting.PROSE_KEPT]:,} of {counts[accounting.PROSE_EXPECTED]:,} bytes of"
        " paragraphs); the rest does not read like prose: short lines without punctuation at their end."
        " Are these articles, in a language with another kind of full stop?"
        for name, counts in prose.items()
    ]


def implausible_lengths(tally: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return a warning for each source whose sentences or documents have an implausible length.

    Builds of version 3 that do not count sentences have no such warnings about them.

    Args:
      tally: counts by source of a build.
    """
    warnings = []
    for source, counts in tally.items():
        tokens, documents = counts.get(accounting.TOKENS, 0), counts.get(accounting.READ, 0)
        sentences = counts.get(accounting.SENTENCES, 0)
        if sentences and tokens > _LONG_SENTENCE * sentences:
            warnings.append(
                f"--{source}: {sentences:,} sentences of {tokens / sentences:,.0f} tokens on average,"
                " which is implausibly long; if its files have one sentence per line, give them to"
                " --sentences (or --lines, with a blank line between documents); else, is"
                " BuildConfig.language right?"
            )
        if documents >= _MANY_DOCUMENTS and tokens < _SHORT_DOCUMENT * documents:
            warnings.append(
                f"--{source}: {documents:,} documents of {tokens / documents:,.0f} tokens on average,"
                " which is implausibly short: a separator follows each, and they are shuffled; if each"
                " is a sentence, give them in order, one per line, to --sentences"
            )
    return warnings


def num_read(tally: Tally) -> int:
    """Return the number of documents that were read."""
    return sum(counts.get(accounting.READ, 0) for counts in tally.values())
