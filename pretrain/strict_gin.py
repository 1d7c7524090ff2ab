"""Read gin files that are not trusted: check them and what they include, before gin is given anything.

gin imports the modules that a file names, searches packages for the files it includes, and calls functions.
With --strict_gin these files are read here instead, with `pretrain.gin_literals`, and gin gets the text of
their bindings, which has neither includes nor imports.

An included file must be in the folder of the file that includes it, below that folder, or in `gin/` of
this program, with symbolic links resolved.
"""

from __future__ import annotations

import difflib
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from data.errors import UserError
from pretrain.gin_literals import MAX_DEPTH, Binding, Include, Macro, parse, printable, render

# Limits of one command, with all files that are included.
MAX_BYTES, MAX_FILES = 2**20, 100
MAX_VALUES = 10_000  # of one setting, with its macros replaced
# gin's constant for a setting that a later file has to set.
REQUIRED = "gin.REQUIRED"


def read_bindings(
    files: Sequence[str],
    params: Sequence[str],
    *,
    settings: Mapping[str, Sequence[str]],
    home: Path,
) -> str:
    """Return the bindings of files and parameters as gin text without includes.

    Args:
      files: gin files, relative to the current directory or to `home`; later ones override earlier ones.
      params: bindings such as "TrainConfig.seed=7"; they override the files.
      settings: names of the settings of each class.
      home: folder that contains this program's `gin/`.

    Raises:
      UserError: a file is missing, malformed, too large, or outside the permitted folders; a class or a
        setting is unknown; a macro is not set, or macros refer to each other.
    """
    reader = _Reader(settings, home)
    for file in files:
        reader.read_file(_top_level(file, home), file, including=())
    for param in params:
        reader.read_text(param, f"--gin_param {printable(param)!r}", folder=None, including=())
    _check_macros(reader.bindings)
    return "".join(
        f"{owner}{'.' * bool(owner)}{name} = {render(binding.value)}\n"
        for (owner, name), binding in reader.bindings.items()
    )


def describe_missing_file(path: str, home: Path) -> str:
    """Return the message for a gin file that does not exist, with the most similar existing one.

    Args:
      path: file as it was given, relative to the current directory or to `home`.
      home: folder that contains this program's `gin/`.
    """
    existing = {
        found.stem: os.path.normpath(f"{folder}/{found.name}")
        for folder in (os.path.dirname(path) or ".", "gin")
        for root in (home, Path())
        for found in (root / folder).glob("*.gin")
        if found.is_file()
    }
    similar = difflib.get_close_matches(Path(path).stem, list(existing), n=1)
    hint = f"; did you mean {existing[similar[0]]}?" if similar else ""
    return f"gin file not found: {printable(path, 200)}{hint}"


def nearest(name: str, candidates: Sequence[str]) -> str:
    """Return a hint that names the most similar candidate, or all of them."""
    close = difflib.get_close_matches(name, candidates, n=1)
    return (
        f"did you mean {close[0]!r}?" if close else f"valid names: {', '.join(sorted(candidates))}"
    )


def _top_level(file: str, home: Path) -> str:
    candidates = [os.path.realpath(os.path.join(folder, file)) for folder in ("", home)]
    return next(filter(os.path.exists, candidates), candidates[0])


class _Reader:
    """Bindings by class and name, in the order of their first statement; later values replace earlier."""

    def __init__(self, settings: Mapping[str, Sequence[str]], home: Path):
        self._settings = settings
        self._home = os.path.realpath(home)
        self._num_files = self._num_bytes = 0
        self.bindings: dict[tuple[str, str], Binding] = {}

    def read_file(self, path: str, name: str, *, including: tuple[str, ...]) -> None:
        """Read a file and those it includes.

        Args:
          path: file to read, an absolute path without symbolic links.
          name: the file as the user wrote it, for errors.
          including: files that are being read, from the outermost to the one that includes this one.
        """
        if path in including:
            chain = [os.path.basename(file) for file in (*including[including.index(path) :], path)]
            raise UserError(f"{name} includes itself: {' > '.join(map(printable, chain))}")
        self._num_files += 1
        if self._num_files > MAX_FILES or len(including) >= MAX_DEPTH:
            raise UserError(
                f"{name}: --strict_gin reads at most {MAX_FILES} files, included at most {MAX_DEPTH} deep"
            )
        content = _read(path, name, home=self._home)
        self._num_bytes += len(content)
        if self._num_bytes > MAX_BYTES:
            raise UserError(f"{name}: --strict_gin reads at most {MAX_BYTES:,} bytes of gin files")
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise UserError(f"{name}: must be UTF-8 text, but byte {error.start} is not") from None
        self.read_text(text, name, folder=os.path.dirname(path), including=(*including, path))

    def read_text(
        self, text: str, origin: str, *, folder: str | None, including: tuple[str, ...]
    ) -> None:
        """Read statements.

        Args:
          text: statements.
          origin: the file or parameter, for errors.
          folder: folder whose files may be included, besides `gin/`; None for a parameter.
          including: files that are being read.
        """
        for statement in parse(text, origin):
            if isinstance(statement, Include):
                path = self._resolve(statement, folder)
                self.read_file(path, self._shown(path), including=including)
                continue
            self._check_name(statement, origin)
            self.bindings[statement.owner, statement.name] = statement

    def _shown(self, path: str) -> str:
        return printable(path.removeprefix(os.path.join(self._home, "")), 4096)

    def _resolve(self, include: Include, folder: str | None) -> str:
        """Return the path of an included file, without symbolic links."""
        if any(not c.isprintable() for c in include.name):
            raise UserError(f"{include.location}: {include.name!r} is not the name of a file")
        # Each base, with the folder that the file must be in.
        bases = [(folder, folder)] if folder is not None else []
        bases.append((self._home, os.path.join(self._home, "gin")))
        is_outside = False
        for base, root in bases:
            path = os.path.realpath(os.path.join(base, include.name))
            is_inside = os.path.commonpath([path, root]) == root
            if is_inside and os.path.isfile(path):
                return path
            is_outside |= not is_inside and os.path.exists(path)
        where = f"{printable(folder, 4096)} and gin/" if folder is not None else "gin/"
        problem = "is outside of" if is_outside else "is not a file in"
        raise UserError(
            f"{include.location}: the included file {include.name!r} {problem} {where}, the folders that"
            " --strict_gin reads"
        )

    def _check_name(self, binding: Binding, origin: str) -> None:
        owner, name = binding.owner, binding.name
        if not owner:
            if name == REQUIRED.rpartition(".")[2]:
                raise UserError(
                    f"{binding.location}: {name!r} is a name of gin; choose another one"
                )
        elif owner not in self._settings:
            raise UserError(
                f"{origin} sets {printable(f'{owner}.{name}')}, which --strict_gin refuses; the settings"
                f" are {', '.join(sorted(self._settings))}"
            )
        elif name not in self._settings[owner]:
            raise UserError(
                f"{binding.location}: {owner} has no parameter {printable(name)!r};"
                f" {nearest(name, self._settings[owner])}"
            )


def _read(path: str, name: str, *, home: str) -> bytes:
    descriptor = None
    try:
        # Without O_NONBLOCK, opening a FIFO waits for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise UserError(f"{name} is not a file that can be read as gin")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise UserError(describe_missing_file(name, Path(home))) from None
    except OSError as error:
        raise UserError(f"gin file {name} cannot be read: {error.strerror}") from None
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _check_macros(bindings: Mapping[tuple[str, str], Binding]) -> None:
    """Raise a UserError unless every macro has a value of bounded size and depth."""
    # Number of values and depth of each macro that has been followed to its end.
    measured: dict[str, tuple[int, int]] = {REQUIRED: (1, 0)}

    def measure(value: object, location: str, path: tuple[str, ...]) -> tuple[int, int]:
        if isinstance(value, (list, tuple)):
            parts = [measure(item, location, path) for item in value]
            return 1 + sum(size for size, _ in parts), max((d for _, d in parts), default=0)
        if not isinstance(value, Macro):
            return 1, 0
        name = value.name
        if name in path:
            chain = (*path[path.index(name) :], name)
            raise UserError(
                f"{location}: macros refer to each other:"
                f" {' > '.join(f'%{printable(part)}' for part in chain)}"
            )
        if name not in measured:
            macro = bindings.get(("", name))
            if macro is None:
                raise UserError(f"{location} refers to %{printable(name)}, which is not set")
            if len(path) < MAX_DEPTH:
                size, depth = measure(macro.value, macro.location, (*path, name))
                measured[name] = size, depth + 1
            else:
                measured[name] = 1, MAX_DEPTH + 1
        size, depth = measured[name]
        if size > MAX_VALUES or depth > MAX_DEPTH:
            raise UserError(
                f"{location}: %{printable(name)} refers to too many macros: at most {MAX_VALUES:,} values,"
                f" {MAX_DEPTH} deep"
            )
        return size, depth

    for binding in bindings.values():
        path = () if binding.owner else (binding.name,)
        size, _ = measure(binding.value, binding.location, path)
        if size > MAX_VALUES:
            raise UserError(
                f"{binding.location}: has {size:,} values; at most {MAX_VALUES:,} are read"
            )
