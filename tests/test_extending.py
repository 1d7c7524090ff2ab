"""The recipes of docs/extending.md work: a copy of the checkout to which they are applied passes tests."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
from defusedxml import ElementTree

from tests.support import recipes
from tests.support.paths import SUPPORT

EXTENDED = SUPPORT / "extended.py"
CHECKS = [
    node.name
    for node in ast.parse(EXTENDED.read_text()).body
    if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
]
# Tests of tables, which cover new rows.
OF_TABLES = {
    "tests/optim/test_build.py": "test_properties_describe_the_built_optimizer[lion]",
    "tests/pretrain/train/test_bad_steps.py": (
        "test_closed_gate_changes_nothing_but_the_step_counter[lion]"
    ),
    "tests/model/test_layers.py": (
        "test_gradients_with_dropout_equal_automatic_differentiation[ops]"
    ),
    "tests/launch/accelerators/test_chips.py": "test_every_name_means_one_chip",
}


@pytest.fixture(scope="module")
def failures(tmp_path_factory) -> dict[str, str]:
    """The result of each test in the copy: its name, and its failure or ""."""
    folder = tmp_path_factory.mktemp("extended")
    copy = recipes.copy_checkout(folder / "checkout", recipes.edits())
    report = folder / "report.xml"
    options = ["-q", "-p", "no:cacheprovider", f"--junit-xml={report}", f"--basetemp={folder}/run"]
    named = [f"{path}::{test}" for path, test in OF_TABLES.items()]
    environment = {
        k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "PYTHONPATH"))
    }
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, EXTENDED.relative_to(recipes.ROOT), *named],
        cwd=copy,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert report.exists(), done.stdout[-5000:] + done.stderr[-5000:]
    return {
        case.get("name"): "".join(part.text or "" for part in case if "system" not in part.tag)
        for case in ElementTree.parse(report).iter("testcase")
    }


@pytest.mark.parametrize("check", [*CHECKS, *OF_TABLES.values()])
def test_recipes(check, failures):
    assert failures[check] == ""


@pytest.mark.parametrize(
    ("place", "message"),
    [("in OPTIMISERS", "not enough values to unpack"), ("new file", "exists already")],
)
def test_code_for_a_place_that_is_gone_is_an_error(tmp_path, place, message):
    (tmp_path / "config.py").write_text((Path(recipes.ROOT) / "optim/config.py").read_text())
    with pytest.raises((AssertionError, ValueError), match=message):
        recipes.apply(tmp_path, recipes.Edit("config.py", place, "1,"))
