"""A job on other machines: one description, from which every target renders its commands and files."""

from __future__ import annotations

import configparser
import dataclasses
import gzip
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from data import files
from data.errors import UserError
from launch.config import LaunchConfig

ROOT = Path(__file__).resolve().parents[2]
JOB_FILE = "job.json"
GIN_FILE = "run.gin"
SOURCE_FILE = "source.tar.gz"
# Beside the packages, what it takes to install them.
_INSTALL_FILES = ("LICENSE", "README.md", "pyproject.toml", "requirements.lock", "setup.cfg")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """A job, as it lies in its folder `config.job_dir`.

    Attributes:
      config: where and on what it runs.
      run_gin: all settings of the run, as one gin file.
    """

    config: LaunchConfig
    run_gin: str

    @property
    def model_dir(self) -> str:
        """Of the run."""
        return self.config.model_dir or f"{self.config.job_dir}/model"

    def files(self) -> dict[str, bytes]:
        """What machines read of it, by name."""
        settings = json.dumps(dataclasses.asdict(self.config), indent=1)
        return {
            JOB_FILE: f"{settings}\n".encode(),
            GIN_FILE: self.run_gin.encode(),
        }

    @classmethod
    def load(cls, job_dir: str) -> Job:
        """Reads a job on the machine that runs it.

        Raises:
          UserError: there is none, or it is of another version of this program.
        """
        path = files.join(job_dir, JOB_FILE)
        try:
            config = LaunchConfig(**json.loads(files.read_bytes(path)))
            return cls(
                config=config,
                run_gin=files.read_bytes(files.join(job_dir, GIN_FILE)).decode(),
            )
        except FileNotFoundError as error:
            raise UserError(f"{error.filename} is missing: {job_dir} is not a job") from None
        except (TypeError, ValueError) as error:
            raise UserError(f"{path} is of another version of this program: {error}") from None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Action:
    """What a verb does: commands, run one after the other, on files written before.

    Attributes:
      commands: program and arguments each.
      files: content by path.
      exists: a command that prints something while there is a job of this name. What would begin
        another one in its folder is then refused.
    """

    commands: Sequence[Sequence[str]]
    files: Mapping[str, bytes] = dataclasses.field(default_factory=dict)
    exists: Sequence[str] = ()


def upload(job: Job, work_dir: str, more_files: Mapping[str, bytes] | None = None) -> Action:
    """Puts a job into its folder, from where its machines take it."""
    folder, content = job.config.job_dir, job.files() | dict(more_files or {})
    local = {f"{work_dir}/{name}": data for name, data in content.items()}
    if files.is_remote(folder):
        commands = [("gcloud", "storage", "cp", *local, f"{folder}/")]
    else:
        commands = [("mkdir", "-p", folder), ("cp", *local, f"{folder}/")]
    return Action(files=local, commands=commands)


def source_archive(root: Path = ROOT) -> bytes:
    """The checkout as a tar file that pip installs: the same files, the same bytes.

    Raises:
      UserError: there is no checkout.
    """
    if not (root / "requirements.lock").is_file():
        raise UserError(
            f"{root} is not a checkout: requirements.lock is missing; machines are set up from"
            " one, so run this command there"
        )
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in _sources(root):
            member = archive.gettarinfo(path, path.relative_to(root).as_posix())
            member.uid = member.gid = member.mtime = 0
            member.uname = member.gname = ""
            with open(path, "rb") as file:
                archive.addfile(member, file)
    return gzip.compress(buffer.getvalue(), mtime=0)


def package_folders(root: Path = ROOT) -> list[str]:
    """The folders of the checkout that are installed, as setup.cfg lists them."""
    options = configparser.ConfigParser()
    options.read(root / "setup.cfg")
    packages = options["options"]["packages"].split()
    mapped = [line.partition("=") for line in options["options"]["package_dir"].split("\n") if line]
    return sorted(
        {name.partition(".")[0] for name in packages} | {to.strip() for _, _, to in mapped}
    )


def _sources(root: Path) -> list[Path]:
    found = [root / name for name in _INSTALL_FILES]
    for folder in package_folders(root):
        found += [
            path
            for path in (root / folder).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        ]
    return sorted(found)
