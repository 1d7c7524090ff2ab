"""Console scripts: they run our programs wherever they are started."""

import configparser
import importlib.metadata
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pretrain.console import PROGRAMS
from tests.support.paths import ROOT

SCRIPT = (
    "import sys; sys.argv[0] = '/bin/' + sys.argv.pop(1); from pretrain.console import main; main()"
)


@pytest.fixture
def folder_with_other_packages(tmp_path) -> Path:
    """A working directory with folders of the names of our packages."""
    for name in ("data", "model", "optim"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "notes.txt").touch()
    return tmp_path


def test_every_script_is_declared_and_has_its_program():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    declared = setup["options.entry_points"]["console_scripts"].split("\n")
    assert [line for line in declared if line] == [
        f"{name} = pretrain.console:main" for name in PROGRAMS
    ]
    for module in PROGRAMS.values():
        assert importlib.util.find_spec(module), module


def test_script_ignores_packages_in_the_working_directory(folder_with_other_packages):
    done = subprocess.run(
        [sys.executable, "-P", "-c", SCRIPT, "lambert-plan", "--version"],
        cwd=folder_with_other_packages,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    version = importlib.metadata.version("lambert-pretrain")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"Lambert {version}\n", "")


# What an editable installation adds: a finder that is asked after the working directory.
FINDER = """
import importlib.machinery, importlib.util, pathlib, sys
class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        folder = pathlib.Path({root!r}, name)
        if "." not in name and (folder / "__init__.py").is_file():
            return importlib.util.spec_from_file_location(name, folder / "__init__.py")
sys.meta_path.insert(sys.meta_path.index(importlib.machinery.PathFinder) + 1, Finder)
"""


@pytest.mark.parametrize(
    ("module", "stranger"),
    [
        ("pretrain.run", "model.py"),
        ("pretrain.run", "data/"),
        ("finetune.run", "data/__init__.py"),
        ("launch.plan", "model.py"),
    ],
)
def test_package_of_the_same_name_in_the_working_directory_is_one_line(tmp_path, module, stranger):
    path = tmp_path / stranger
    if stranger.endswith("/"):
        path.mkdir()
        found = f"[{str(path)!r}]"
    else:
        path.parent.mkdir(exist_ok=True)
        path.touch()
        found = str(path)
    (tmp_path / "site").mkdir()
    (tmp_path / "site/sitecustomize.py").write_text(FINDER.format(root=str(ROOT)))
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
    )
    (line,) = done.stderr.splitlines()
    name = path.relative_to(tmp_path).parts[0].removesuffix(".py")
    assert done.returncode == 2
    assert line == (
        f"error: the package {name!r} of Lambert is in {ROOT}, but Python finds {found}; run from"
        " another directory, with `python -P -m`, or use the console scripts, such as lambert-pretrain"
    )
