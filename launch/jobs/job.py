"""A job on other machines: the description from which every target makes its commands and files."""

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
from data.checked_json import DamagedRecord, read_json
from data.errors import UserError
from launch.config import LaunchConfig
from pretrain.gin_files import settings_from_dict

ROOT = Path(__file__).resolve().parents[2]
JOB_FILE = "job.json"
GIN_FILE = "run.gin"
SOURCE_FILE = "source.tar.gz"
# Files that an installation needs besides the packages.
_INSTALL_FILES = ("LICENSE", "README.md", "pyproject.toml", "requirements.lock", "setup.cfg")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """A job, which is stored in the directory `config.job_dir`.

    Attributes:
      config: settings of the job.
      run_gin: all settings of the run, as the text of one gin file.
    """

    config: LaunchConfig
    run_gin: str

    @property
    def model_dir(self) -> str:
        """Directory of the run."""
        return self.config.model_dir or f"{self.config.job_dir}/model"

    def files(self) -> dict[str, bytes]:
        """Return the files that machines read, by name."""
        settings = json.dumps(dataclasses.asdict(self.config), indent=1)
        return {
            JOB_FILE: f"{settings}\n".encode(),
            GIN_FILE: self.run_gin.encode(),
        }

    @classmethod
    def load(cls, job_dir: str) -> Job:
        """Read a job on a machine that runs it.

        Raises:
          UserError: there is no job, or another version of this program wrote it.
        """
        path = files.join(job_dir, JOB_FILE)
        try:
            record = read_json(path, remedy="create the job again")
            # Their defaults would describe another job, on TPUs.
            record.require("name", "bucket", "accelerator")
            config = settings_from_dict(record.fields, LaunchConfig)
            path = files.join(job_dir, GIN_FILE)
            return cls(config=config, run_gin=files.read_bytes(path).decode())
        except FileNotFoundError as error:
            raise UserError(f"{error.filename} is missing: {job_dir} is not a job") from None
        except DamagedRecord:
            raise
        except UnicodeDecodeError:
            raise UserError(f"{path} is damaged: it is not UTF-8; create the job again") from None
        except UserError as error:
            raise UserError(
                f"{path} was written by another version of this program: {error}"
            ) from None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Action:
    """Files to write and commands to run for a verb of a target.

    Attributes:
      commands: commands in order, each with program and arguments.
      files: content of files by path.
      exists_command: command that prints something if a job of this name exists, in which case the action
        is refused; empty never refuses.
    """

    commands: Sequence[Sequence[str]]
    files: Mapping[str, bytes] = dataclasses.field(default_factory=dict)
    exists_command: Sequence[str] = ()


def upload(job: Job, work_dir: str, more_files: Mapping[str, bytes] | None = None) -> Action:
    """Return the action that copies the files of a job to its directory, where its machines read them."""
    folder, content = job.config.job_dir, job.files() | dict(more_files or {})
    local = {f"{work_dir}/{name}": data for name, data in content.items()}
    if files.is_remote(folder):
        commands = [("gcloud", "storage", "cp", *local, f"{folder}/")]
    else:
        commands = [("mkdir", "-p", folder), ("cp", *local, f"{folder}/")]
    return Action(files=local, commands=commands)


def source_archive(root: Path = ROOT) -> bytes:
    """Return the checkout as a tar.gz that pip installs; the same files give the same bytes.

    Raises:
      UserError: `root` is not a checkout.
    """
    if not (root / "requirements.lock").is_file():
        raise UserError(
            f"{root} is not a checkout: requirements.lock is missing; machines install a"
            " checkout, so run this command in one"
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
    """Return the folders of the checkout that setup.cfg installs."""
    options = configparser.ConfigParser()
    options.read(root / "setup.cfg")
    packages = options["options"]["packages"].split()
    mapped = [line.partition("=") for line in options["options"]["package_dir"].split("\n") if line]
    return sorted(
        {name.partition(".")[0] for name in packages} | {to.strip() for _, _, to in mapped}
    )


def _sources(root: Path) -> list[Path]:
    sources = [root / name for name in _INSTALL_FILES]
    for folder in package_folders(root):
        sources += [
            path
            for path in (root / folder).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        ]
    return sorted(sources)
