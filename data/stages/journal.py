"""Record the finished tasks of a build, so that an interrupted build can resume.

A task writes its files under temporary names, renames them, and then writes a record of their sizes
and checksums. A task whose files match its record is not run again.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from data import files
from data.manifest import DataFile

# Files that a build needs until it is finished.
WORK_DIRECTORY = "unfinished"
PLAN_FILE = "unfinished/plan.json"
WORKERS_LOG = "unfinished/workers.log"
NGRAM_FILE = "unfinished/ngrams.npy"  # of the evaluation files
# Key, among the program versions of the plan, of the hash of the division into units.
UNITS = "division of the input"
_RECORDS = "unfinished/done"


@dataclasses.dataclass(frozen=True)
class Journal:
    """Records of finished tasks, in a build directory."""

    directory: str

    def run_once(
        self, task: str, make: Callable[[], tuple[dict[str, Any], Sequence[str]]]
    ) -> tuple[dict[str, Any], list[DataFile]]:
        """Run a task unless it is finished.

        Args:
          task: name of the task and of its record, like "pack/train-00003".
          make: function that writes files and returns a JSON result and the paths of the files,
            relative to the build directory.

        Returns:
          The result of `make`, of this call or of the recorded one, and the files.
        """
        record_path = files.join(self.directory, _RECORDS, f"{task}.json")
        record = self._read(record_path)
        if record is not None:
            recorded = [DataFile(**file) for file in record["files"]]
            if all(map(self._is_intact, recorded)):
                return record["result"], recorded
        result, paths = make()
        written = [DataFile.describe(self.directory, path) for path in paths]
        record = {"result": result, "files": [dataclasses.asdict(file) for file in written]}
        files.write_atomically(record_path, json.dumps(record).encode())
        return result, written

    def count_finished(self) -> dict[str, int]:
        """Return the number of finished tasks by kind; for local directories only."""
        root = Path(self.directory, _RECORDS)
        return {kind.name: len(list(kind.glob("*.json"))) for kind in root.glob("*")}

    def _read(self, path: str) -> dict[str, Any] | None:
        """Return a record; None if there is none, or if a power cut left it empty."""
        try:
            return json.loads(files.read_bytes(path))
        except (FileNotFoundError, ValueError):
            return None

    def _is_intact(self, file: DataFile) -> bool:
        path = files.join(self.directory, file.path)
        return files.size(path) == file.bytes and files.sha256_of(path) == file.sha256
