"""What a build has finished, so that one that was interrupted goes on where it was.

Every task writes its files under temporary names, renames them, and last of all writes a record
of their sizes and checksums. A task whose record and files agree is not done again.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from data import files
from data.manifest import DataFile

# Everything a build needs only until it is finished.
WORK_DIRECTORY = "unfinished"
PLAN_FILE = "unfinished/plan.json"
WORKERS_LOG = "unfinished/workers.log"
NGRAM_FILE = "unfinished/ngrams.npy"  # of the evaluation files
# What the plan calls the division of the input into units, beside the versions of programs.
UNITS = "division of the input"
_RECORDS = "unfinished/done"


@dataclasses.dataclass(frozen=True)
class Journal:
    """The records of finished tasks below a build directory."""

    directory: str

    def once(
        self, task: str, make: Callable[[], tuple[dict, Sequence[str]]]
    ) -> tuple[dict, list[DataFile]]:
        """Runs a task unless it is done.

        Args:
          task: its name, like "pack/train-00003": names the record.
          make: writes files; returns what the record keeps (JSON), and the paths of the files,
            relative to the build directory.

        Returns:
          What `make` returned now or then, and the files as they lie on disk.
        """
        record_path = files.join(self.directory, _RECORDS, f"{task}.json")
        record = self._read(record_path)
        if record is not None:
            found = [DataFile(**file) for file in record["files"]]
            if all(map(self._is_whole, found)):
                return record["result"], found
        result, paths = make()
        written = [DataFile.describe(self.directory, path) for path in paths]
        record = {"result": result, "files": [dataclasses.asdict(file) for file in written]}
        files.write_atomically(record_path, json.dumps(record).encode())
        return result, written

    def finished(self) -> dict[str, int]:
        """How many tasks of each kind are done (for a local directory)."""
        root = Path(self.directory, _RECORDS)
        return {kind.name: len(list(kind.glob("*.json"))) for kind in root.glob("*")}

    def _read(self, path: str) -> dict | None:
        """A record; None if there is none, or a power cut left it empty."""
        try:
            return json.loads(files.read_bytes(path))
        except (FileNotFoundError, ValueError):
            return None

    def _is_whole(self, file: DataFile) -> bool:
        path = files.join(self.directory, file.path)
        return files.size(path) == file.bytes and files.sha256_of(path) == file.sha256
