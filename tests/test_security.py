"""What docs/security.md promises of the code."""

import ast

import pytest

from tests.test_layers import ROOT, files, imports

# Formats that run code when they are read.
_CODE_FORMATS = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve", "torch", "yaml"}


def calls(file: str) -> list[ast.Call]:
    tree = ast.parse((ROOT / file).read_text())
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


def name(call: ast.Call) -> str:
    return getattr(call.func, "id", None) or getattr(call.func, "attr", "")


@pytest.mark.parametrize("file", [file for file in files() if not file.startswith("bench/")])
def test_nothing_that_is_read_is_run(file):
    assert not {module.partition(".")[0] for module in imports(ROOT / file)} & _CODE_FORMATS
    for call in calls(file):
        keywords = {keyword.arg: keyword.value for keyword in call.keywords}
        assert not (isinstance(call.func, ast.Name) and name(call) in ("eval", "exec"))
        for argument in ("allow_pickle", "shell"):
            if argument in keywords:
                assert ast.literal_eval(keywords[argument]) is False
        if name(call) in ("extractall", "extract"):
            assert ast.literal_eval(keywords["filter"]) == "data"


def test_what_it_looks_for_is_seen(tmp_path):
    """The walk above finds calls and imports, wherever they stand."""
    (tmp_path / "a.py").write_text("def f():\n  import pickle\n  return pickle.loads(b'')")
    assert "pickle" in imports(tmp_path / "a.py")
    tree = ast.parse("np.load(x, allow_pickle=True); eval('1')")
    assert [name(node) for node in ast.walk(tree) if isinstance(node, ast.Call)] == ["load", "eval"]
