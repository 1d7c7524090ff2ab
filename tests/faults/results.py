"""Results of cases, as JSON lines."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from tests.faults.case import Case, Row
from tests.faults.sandbox import Ran


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """Outcome of a case.

    Attributes:
      area: part of the table.
      file: what was damaged.
      damage: how.
      command: what ran.
      right: what is right.
      detail: what distinguishes the case from others of its row.
      is_process: whether the command ran in a process of its own.
      code: exit code.
      line: the error, or the end of the output.
      output: errors in full, if the case failed.
      seconds: duration.
      problems: what was wrong.
    """

    area: str
    file: str
    damage: str
    command: str
    right: str
    detail: str
    is_process: bool
    code: int | None = None
    line: str = ""
    output: str = ""
    seconds: float = 0.0
    problems: tuple[str, ...] = ()

    @property
    def row_key(self) -> tuple[str, ...]:
        """Identity of the row of the table."""
        return (self.area, self.file, self.damage, self.command, self.right)

    @property
    def key(self) -> tuple[str, ...]:
        """Identity of the case."""
        return (*self.row_key, self.detail)


def result_of(
    rows: Sequence[Row], case: Case, ran: Ran | None = None, problems: Sequence[str] = ()
) -> Result:
    """Return the result of a case, or what is known of it before it runs."""
    entry = rows[case.row]
    result = Result(
        area=entry.area,
        file=entry.file,
        damage=entry.damage,
        command=entry.command.name,
        right=entry.right.text,
        detail=case.detail,
        is_process=case.is_process,
    )
    if ran is None:
        return result
    return dataclasses.replace(
        result,
        code=ran.code,
        line=ran.last_line[:1000],
        output=ran.stderr[-3000:] if problems else "",
        seconds=round(ran.seconds, 2),
        problems=tuple(problems),
    )


def write_result(path: Path, result: Result) -> None:
    """Add a result to a file."""
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{json.dumps(dataclasses.asdict(result))}\n")


def read_results(path: Path) -> list[Result]:
    """Return the results in a file; none if it does not exist."""
    if not path.exists():
        return []
    rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return [Result(**row | {"problems": tuple(row["problems"])}) for row in rows]
