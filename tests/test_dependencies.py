"""The environment is the one of the lock file, and nothing of ours unpickles."""

import re
from importlib import metadata

import pytest

from tests.support.paths import ROOT

PACKAGES = ("bench", "data", "docs", "finetune", "launch", "model", "optim", "pretrain")
# What ruff's rules (S301, S403) do not know.
UNPICKLES = (
    r"allow_pickle\s*=\s*True|weights_only\s*=\s*False|\b(?:torch|joblib|dill|cloudpickle)\.load\("
)


def pinned() -> dict[str, tuple[str, int]]:
    """Version and number of hashes of every package in the lock file."""
    found = {}
    for block in re.split(r"^(?=\w)", (ROOT / "requirements.lock").read_text(), flags=re.MULTILINE):
        if pin := re.match(r"([\w.-]+)==(\S+)", block):
            found[pin[1]] = (pin[2], block.count("--hash=sha256:"))
    return found


def installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "none"


def test_everything_is_pinned_by_hash():
    packages = pinned()
    assert {"tensorflow", "apache-beam", "numpy", "setuptools"} <= set(packages)
    assert all(hashes for _, hashes in packages.values())


def test_the_environment_is_the_one_of_the_lock_file():
    differing = [
        f"{name}: {installed(name)} is installed, {version} pinned"
        for name, (version, _) in pinned().items()
        if installed(name) != version
    ]
    assert not differing, "run `make setup`"


@pytest.mark.parametrize(
    "line",
    ["np.load(f, allow_pickle=True)", "torch.load(f)", "torch.load(f, weights_only = False)"],
)
def test_code_that_unpickles_is_recognised(line):
    assert re.search(UNPICKLES, line)


def test_no_module_unpickles():
    files = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    assert len(files) > 100
    found = [
        f"{file.relative_to(ROOT)}: {line.strip()}"
        for file in files
        for line in file.read_text(encoding="utf-8").splitlines()
        if re.search(UNPICKLES, line)
    ]
    assert not found
