"""No code that reads files runs what it reads (docs/security.md)."""

import ast
from collections.abc import Iterator

import pytest

from tests.support.sources import MODULES, imports_of

# Formats that run code when they are read.
CODE_FORMATS = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve", "torch", "yaml"}


def is_constant(node: ast.expr | None, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def violations(source: str) -> Iterator[str]:
    """Yield each import and call in a module that could run what a file contains."""
    for module in sorted(imports_of(source)):
        if module.partition(".")[0] in CODE_FORMATS:
            yield f"imports {module}"
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "id", None) or getattr(node.func, "attr", "")
        keywords = {keyword.arg: keyword.value for keyword in node.keywords}
        if isinstance(node.func, ast.Name) and name in ("eval", "exec"):
            yield f"line {node.lineno}: {name}()"
        for argument in ("allow_pickle", "shell"):
            if argument in keywords and not is_constant(keywords[argument], False):
                yield f"line {node.lineno}: {argument}"
        if name in ("extractall", "extract"):
            archive_filter = keywords.get("filter")
            if not (isinstance(archive_filter, ast.Constant) and archive_filter.value == "data"):
                yield f"line {node.lineno}: {name}() without filter='data'"


def test_no_module_runs_what_it_reads():
    # Benchmarks load peers that need torch.
    checked = {name: path for name, path in MODULES.items() if name.partition(".")[0] != "bench"}
    assert len(checked) > 100
    found = [
        f"{name}: {violation}"
        for name, path in checked.items()
        for violation in violations(path.read_text())
    ]
    assert found == []


@pytest.mark.parametrize(
    ("source", "violation"),
    [
        ("def f():\n  import pickle\n  return pickle.loads(b'')", "imports pickle"),
        ("from torch.nn import Module", "imports torch.nn"),
        ("eval('1')", "line 1: eval()"),
        ("np.load(x, allow_pickle=True)", "line 1: allow_pickle"),
        ("run(c, shell=flag)", "line 1: shell"),
        ("archive.extractall(d)", "line 1: extractall() without filter='data'"),
    ],
)
def test_violations_are_found(source, violation):
    assert list(violations(source)) == [violation]


def test_safe_calls_are_accepted():
    source = "np.load(x, allow_pickle=False); run(c, shell=False); a.extractall(d, filter='data')"
    assert list(violations(source)) == []
