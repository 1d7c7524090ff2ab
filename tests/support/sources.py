"""Our modules, and what each of them imports."""

import ast
import functools
from pathlib import Path

from tests.support.paths import ROOT

PACKAGES = ("data", "model", "optim", "launch", "pretrain", "finetune", "bench")


def modules() -> dict[str, Path]:
    """Return the file of each of our modules by name; a package is its `__init__.py`."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path
    return found


MODULES = modules()


def imports_of(source: str) -> set[str]:
    """Return the modules that a text imports, at the top or inside functions."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in names}
    return found


@functools.cache
def imports(module: str) -> frozenset[str]:
    """Return the modules that one of ours imports, at the top or inside functions."""
    return frozenset(imports_of(MODULES[module].read_text()))
