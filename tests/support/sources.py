"""Our modules, and what each of them imports."""

import ast
import functools
from pathlib import Path

from tests.support.paths import ROOT

PACKAGES = ("data", "model", "optim", "launch", "pretrain", "finetune", "bench")


def modules() -> dict[str, Path]:
    """Return the file of each of our modules by name; a package is its `__init__.py`.

    Folders with a dot, such as bench/.work, hold what targets write, copies of modules among it.
    """
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if any(part.startswith(".") for part in parts):
                continue
            name = ".".join(parts)
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


def top_level_imports(module: str) -> set[str]:
    """Return the modules that one of ours imports when it is loaded, outside functions."""
    tree = ast.parse(MODULES[module].read_text())
    statements = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    return imports_of("\n".join(map(ast.unparse, statements)))


@functools.cache
def libraries(module: str) -> frozenset[str]:
    """Return the libraries that loading one of our modules loads, directly or through others."""
    found = set()
    for name in top_level_imports(module):
        found |= libraries(name) if name in MODULES else {name.partition(".")[0]}
    return frozenset(found)


def function_level_imports(module: str) -> set[str]:
    """Return those of our own modules that one of ours imports inside functions."""
    tree = ast.parse(MODULES[module].read_text())
    functions = [
        n for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]
    statements = [
        node
        for function in functions
        for node in ast.walk(function)
        if isinstance(node, (ast.Import, ast.ImportFrom))
    ]
    return imports_of("\n".join(map(ast.unparse, statements))) & MODULES.keys()
