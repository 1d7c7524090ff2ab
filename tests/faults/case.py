"""A case: a file, a damage, a command, and what is right.

A row of the table stands for one case, or for several that differ in one detail only, such as the field
of a record. All paths are relative to the folder of a case, which is the current directory of its command.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

# Takes the folder of a case, and damages a file in it.
Apply = Callable[[Path], None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """A command, and what it may write.

    Attributes:
      module: module with the entry point `main`.
      args: arguments.
      needs: artefacts of tests.faults.artefacts that the command reads.
      writes: glob patterns of the paths that it may create, change or remove.
      leaves: glob patterns of the paths that it may create or change although it refuses.
      result: returns what the command has achieved, to compare with the same command on undamaged files.
      title: name for people; "" for the module and its flag.
    """

    module: str
    args: tuple[str, ...]
    needs: tuple[str, ...]
    writes: tuple[str, ...] = ()
    leaves: tuple[str, ...] = ()
    result: Callable[[Path, str], object] = lambda folder, output: output
    title: str = ""

    @property
    def name(self) -> str:
        """Program, and the flag that decides what it does, if there is one."""
        if self.title:
            return self.title
        modes = ("--verify=data", "--mode=eval", "--dry_run", "--print", "--strict_gin")
        shown = [arg.removesuffix("=data") for arg in self.args if arg in modes]
        return " ".join([self.module.removesuffix(".__main__"), *shown])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Right:
    """The right behaviour after a damage.

    Attributes:
      code: exit code if the command refuses; None if it must not refuse.
      may_succeed: whether exit code 0 is right, with the result of undamaged files.
      names: texts that the error must contain if the command refuses.
      says: texts that the output must contain if it succeeds.
      changes_result: the result may differ from that of undamaged files.
    """

    code: int | None = 2
    may_succeed: bool = False
    names: tuple[str, ...] = ()
    says: tuple[str, ...] = ()
    changes_result: bool = False

    @property
    def text(self) -> str:
        """The right behaviour, for the page."""
        parts = []
        if self.code is not None:
            named = ", ".join(f"`{name}`" for name in self.names)
            parts.append(f"exit code {self.code}, one line" + (f" with {named}" if named else ""))
        if self.may_succeed:
            said = ", ".join(f"`{text}`" for text in self.says)
            result = "goes on" if self.changes_result else "the same result"
            parts.append(result + (f", says {said}" if said else ""))
        return "; or ".join(parts)


def refused(*names: str, code: int = 2) -> Right:
    """Expect one line that contains these texts, and no change."""
    return Right(code=code, names=names)


def same(*says: str) -> Right:
    """Expect the result of undamaged files, and output that contains these texts."""
    return Right(code=None, may_succeed=True, says=says)


def refused_or_same(*names: str) -> Right:
    """Expect one of both, where it depends on the detail which is right."""
    return Right(may_succeed=True, names=names)


def refused_or_goes_on(*names: str) -> Right:
    """Expect one of both, where the detail is shown in the result."""
    return Right(may_succeed=True, names=names, changes_result=True)


def goes_on(*says: str) -> Right:
    """Expect exit code 0 with a result of its own, and output that contains these texts."""
    return Right(code=None, may_succeed=True, says=says, changes_result=True)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """One damage of one file, one command.

    Attributes:
      row: number of the row of the table.
      detail: what distinguishes the case from others of its row; "" if it is the only one.
      apply: damages the folder of the case.
      command: what is run then.
      right: what is right.
      is_process: whether the command runs in a process of its own, as a user starts it.
    """

    row: int
    detail: str
    apply: Apply
    command: Command
    right: Right
    is_process: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """A row of the table.

    Attributes:
      area: heading of the part of the table.
      file: what is damaged, for people.
      damage: how, for people.
      variants: returns (detail, damage) for each case; takes the folder of the artefacts.
      command: what is run.
      right: what is right.
      is_process: whether the first case runs in a process of its own.
    """

    area: str
    file: str
    damage: str
    variants: Callable[[Path], Iterator[tuple[str, Apply]]]
    command: Command
    right: Right
    is_process: bool = False

    @property
    def title(self) -> str:
        """Name of the row."""
        return f"{self.file}: {self.damage}: {self.command.name}"


def row(
    area: str,
    file: str,
    damage: str,
    apply: Apply | Callable[[Path], Iterator[tuple[str, Apply]]],
    command: Command,
    right: Right,
    *,
    each: bool = False,
    is_process: bool = False,
) -> Row:
    """Return a row of one case, or with `each` one whose `apply` yields its cases."""

    def one(_: Path) -> Iterator[tuple[str, Apply]]:
        yield "", apply

    return Row(
        area=area,
        file=file,
        damage=damage,
        variants=apply if each else one,
        command=command,
        right=right,
        is_process=is_process,
    )


def expand(rows: list[Row], artefacts: Path) -> list[Case]:
    """Return the cases of a table; records in `artefacts` decide how many there are."""
    return [
        Case(
            row=number,
            detail=detail,
            apply=apply,
            command=entry.command,
            right=entry.right,
            is_process=entry.is_process and not count,
        )
        for number, entry in enumerate(rows)
        for count, (detail, apply) in enumerate(entry.variants(artefacts))
    ]
