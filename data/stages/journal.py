"""Record the finished tasks of a build, so that an interrupted build can resume.

A task writes its files under temporary names, renames them, and then writes a record of their sizes
and checksums, and the key of the task: a hash of all that its result depends on. A task whose key and
files match its record is not run again, also when settings or inputs have changed meanwhile: a corrected
glob reads only new files, and another number of masked copies leaves the packed shards alone.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from data import files
from data.build_files import DataFile
from data.checked_json import DamagedRecord, Record, read_json
from data.config import BuildConfig
from data.manifest import Manifest
from data.sources.formats import Unit

# Files that a build needs until it is finished.
WORK_DIRECTORY = "unfinished"
PLAN_FILE = "unfinished/plan.json"
WORKERS_LOG = "unfinished/workers.log"
NGRAM_FILE = "unfinished/ngrams.npy"  # of the evaluation files
_RECORDS, _BEGUN = "unfinished/done", "unfinished/begun"
_REPORT_SECONDS = 2.0
# Settings by the first stage whose result they change.
READING = (
    *("num_shards", "num_eval_shards", "eval_fraction", "max_document_bytes", "lower_case"),
    *("language", "drop_duplicates", "duplicate_min_words", "near_duplicate_threshold"),
)
PACKING = ("max_seq_length", "separators")
MASKING = (
    *("max_predictions", "masked_lm_rate", "mask_token_rate", "random_token_rate", "mask_unit"),
    *("max_ngram", "seed"),
)
# They choose tasks, or can stop a build, but change no result of a task.
NO_RESULT = ("copies", "max_reject_fraction", "max_unknown_fraction")


@dataclasses.dataclass(frozen=True)
class Journal:
    """Records of finished tasks, in a build directory."""

    directory: str

    def run_once(
        self,
        task: str,
        make: Callable[[], tuple[dict[str, Any], Sequence[str]]],
        *,
        key: str,
        paths: Sequence[str],
        fields: Collection[str] = (),
    ) -> tuple[dict[str, Any], list[DataFile]]:
        """Run a task unless it is finished. A task whose record is damaged runs again.

        Args:
          task: name of the task and of its record, like "pack/train-00003".
          make: function that writes files and returns a JSON result and the paths of the files.
          key: hash of all that the result depends on, see `unit_keys`.
          paths: paths that `make` returns, relative to the build directory; it may return none if
            the result has "records" = 0.
          fields: names of the fields of the result; with "records" = 0 they may be missing.

        Returns:
          The result of `make`, of this call or of the recorded one, and the files.
        """
        record_path = files.join(self.directory, _RECORDS, f"{task}.json")
        recorded = self._read(record_path, key, paths, fields)
        if recorded is not None and all(map(self._is_intact, recorded[1])):
            return recorded
        result, written_paths = make()
        written = [DataFile.describe(self.directory, path) for path in written_paths]
        described = [dataclasses.asdict(file) for file in written]
        record = {"key": key, "result": result, "files": described}
        files.write_atomically(record_path, json.dumps(record).encode())
        return result, written

    def finished(self, kind: str) -> list[str]:
        """Return the names of the finished tasks of a kind, without the kind: "train-00003"."""
        names = files.list_dir(files.join(self.directory, _RECORDS, kind))
        return [
            name.removesuffix(".json")
            for name in names
            if name.endswith(".json") and not files.TEMPORARY.fullmatch(name)
        ]

    def reporter(self, task: str) -> Callable[[int], None]:
        """Return a function that leaves the size of what is done of a task, for `sizes_begun`.

        It writes every few seconds, and nothing to remote storage, where writing takes long.
        """
        path = files.join(self.directory, _BEGUN, task)
        last = time.monotonic()

        def report(size: int) -> None:
            nonlocal last
            if time.monotonic() - last >= _REPORT_SECONDS and not files.is_remote(path):
                last = time.monotonic()
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "w") as file:
                    file.write(str(size))

        return report

    def sizes_begun(self, kind: str) -> dict[str, int]:
        """Return what is done of tasks that were begun, by name; 0 if it is just being written."""
        folder = files.join(self.directory, _BEGUN, kind)
        contents = {
            name: files.read_bytes(files.join(folder, name)) for name in files.list_dir(folder)
        }
        return {name: int(size) if size.isdigit() else 0 for name, size in contents.items()}

    def _read(
        self, path: str, key: str, paths: Sequence[str], fields: Collection[str]
    ) -> tuple[dict[str, Any], list[DataFile]] | None:
        """Return result and files of a record; None if there is none, of this key, or it is damaged."""
        try:
            record = read_json(path)
            if record.text("key") != key:
                return None
            result = _checked_result(record.mapping("result"), fields)
            recorded = [DataFile.from_record(file) for file in record.rows("files")]
        except (FileNotFoundError, DamagedRecord):
            return None
        expected = list(paths) if result.get("records", 1) else []
        return (result, recorded) if [file.path for file in recorded] == expected else None

    def _is_intact(self, file: DataFile) -> bool:
        path = files.join(self.directory, file.path)
        return files.size(path) == file.bytes and files.sha256_of(path) == file.sha256


def _checked_result(result: Record, fields: Collection[str]) -> dict[str, Any]:
    """Return the result of a task; raise a DamagedRecord if a field has another type."""
    is_empty = result.integer("records", minimum=0, default=1) == 0
    for name in fields:
        if is_empty and name not in result:
            continue
        match name:
            case "tally" | "prose":
                for counts in result.mappings(name).values():
                    for count in counts.fields:
                        counts.integer(count, minimum=0)
            case "rejects":
                result.rows(name)
            case "unknown_words":
                for word in result.mappings(name).values():
                    word.integer("count", minimum=1)
                    word.text("example")
            case "sentence_lengths" | "sequence_lengths":
                result.integers(name, minimum=0)
            case "source_names":
                result.texts(name)
            case _:
                result.integer(name, minimum=0)
    return result.fields


def key_of(*facts: Any) -> str:
    """Return the hash of facts: values of JSON."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def unit_keys(units: Iterable[Unit], *, requested: Manifest, contaminated: str) -> tuple[str, ...]:
    """Return the key of each unit of input.

    Args:
      units: units.
      requested: manifest of the build before it has begun, with the hashes of the input files.
      contaminated: hash of the n-grams of evaluation files.
    """
    files = {(entry["kind"], entry["name"]): entry for entry in requested.inputs}
    common = key_of(
        settings(requested.config, READING),
        requested.vocab_sha256,
        requested.made_by,
        contaminated,
    )
    return tuple(
        key_of(
            common,
            [[files[part.file.kind, part.file.name], part.start, part.stop] for part in unit],
        )
        for unit in units
    )


def packing_key(config: BuildConfig, units: Sequence[str]) -> str:
    """Return the key of a packed shard, whose documents come from all units."""
    return key_of(settings(config, PACKING), list(units))


def masking_key(config: BuildConfig, *, vocab: str, made_by: Mapping[str, str], packed: str) -> str:
    """Return the key of a masked copy.

    Args:
      config: settings of the build.
      vocab: hash of the vocabulary.
      made_by: versions of packages.
      packed: hash of the packed shard.
    """
    return key_of(settings(config, (*PACKING, *MASKING)), vocab, dict(made_by), packed)


def settings(config: BuildConfig, names: Iterable[str]) -> dict[str, Any]:
    """Return some settings by name."""
    return {name: getattr(config, name) for name in names}
