"""The identity of a host: versions, build and settings, which are equal on all hosts of a slice."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
from collections.abc import Mapping
from pathlib import Path

from launch.jobs.job import ROOT, Job

# What is compared, in the order of messages, and how a message calls it.
_NAMES = {
    "hosts": "number of hosts",
    "package": "package",
    "python": "Python",
    "tensorflow": "TensorFlow",
    "libtpu": "libtpu",
    "build": "build sha256",
    "settings": "settings (run.gin) sha256",
}
_PACKAGES = ("data", "finetune", "launch", "model", "optim", "pretrain")
_NONE = "none"

Identity = Mapping[str, str]


def identity_of(job: Job, *, manifest_sha256: str, num_hosts: int) -> dict[str, str]:
    """Return what this host runs, by the names that `difference` compares.

    Args:
      job: job of this machine.
      manifest_sha256: digest of the build on this machine.
      num_hosts: number of hosts of the slice.
    """
    return {
        "hosts": str(num_hosts),
        "package": f"{_version('lambert-pretrain')} sha256 {package_sha256()[:12]}",
        "python": platform.python_version(),
        "tensorflow": _version("tensorflow-tpu", "tensorflow"),
        "libtpu": _version("libtpu"),
        "build": manifest_sha256[:12],
        "settings": hashlib.sha256(job.run_gin.encode()).hexdigest()[:12],
    }


def difference(other: Identity, own: Identity) -> str:
    """Return how another host differs from this one: "build sha256 1a2b, not 3c4d"; "" if it does not."""
    return ", ".join(
        f"{label} {other.get(name, _NONE)}, not {own[name]}"
        for name, label in _NAMES.items()
        if other.get(name, _NONE) != own[name]
    )


def package_sha256(root: Path = ROOT) -> str:
    """Return a digest of the installed packages, which changes with any of their modules."""
    digest = hashlib.sha256()
    for folder in _PACKAGES:
        for path in sorted((root / folder).rglob("*.py")):
            digest.update(f"{path.relative_to(root).as_posix()}\n".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _version(*distributions: str) -> str:
    """Return the version of the first of these distributions that is installed."""
    for name in distributions:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return _NONE
