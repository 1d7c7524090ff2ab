"""The command line that all targets share; run or print the commands of an action."""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from data.cli.parser import CommandParser
from data.errors import UserError, name_file
from launch.accelerators.machines import of_job, replicas
from launch.jobs.job import Action, Job
from launch.jobs.settings import load_job_config
from pretrain.config import RunConfig
from pretrain.gin_files import add_gin_flags, load_run_config
from pretrain.train.recipe import check_device, check_settings

# Takes a job and the local folder for its files.
Verb = Callable[[Job, str], Action]
_STARTING_VERBS = ("create", "run")


def build_parser(prog: str, description: str, verbs: Sequence[str]) -> argparse.ArgumentParser:
    """Return a parser with the flags of every target."""
    parser = CommandParser(prog=prog, description=description)
    if verbs:
        parser.add_argument("verb", choices=verbs, help="what to do with the job")
    add_gin_flags(parser)
    parser.add_argument(
        "--print",
        action="store_true",
        dest="print_only",
        help="write the files, and print the commands instead of running them",
    )
    parser.add_argument(
        "--work_dir", help="folder for generated files; default: .launch/NAME", metavar="W"
    )
    return parser


def load_job(args: argparse.Namespace) -> Job:
    """Return the job that the gin files of a command line describe; set `args.work_dir` if it is missing.

    The settings of the run are checked only by verbs that start it, so a running job can always be deleted.

    Raises:
      UserError: a setting of the job or of its run is wrong; nothing has been changed yet.
    """
    config, run_gin = load_job_config(args.gin_file, args.gin_param)
    if args.verb in _STARTING_VERBS:
        run = load_run_config([], [run_gin] if run_gin else [], kind=RunConfig)
        check_settings(run.train, run.optimizer, replicas=replicas(config))
        if machines := of_job(config):
            check_device(run.train, machines.chip.device_kind)
    args.work_dir = args.work_dir or f".launch/{config.name}"
    return Job(config=config, run_gin=run_gin)


def run_target(prog: str, description: str, verbs: Mapping[str, Verb], argv: Sequence[str]) -> None:
    """Run the program of a target whose verbs are only commands."""
    args = build_parser(prog, description, list(verbs)).parse_args(argv)
    job = load_job(args)
    execute(verbs[args.verb](job, args.work_dir), print_only=args.print_only)


def execute(action: Action, *, print_only: bool = False) -> None:
    """Write the files of an action and run its commands, or print them for a shell.

    Raises:
      UserError: such a job exists, or a command is missing or fails.
    """
    exists = action.exists_command
    if exists and not print_only and (output := output_of(exists)):
        raise UserError(
            f"there is a job of this name already (`{shlex.join(exists)}` prints"
            f" {output.splitlines()[0].strip()!r}): delete it first, or set another LaunchConfig.name"
        )
    for path, content in action.files.items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with name_file(path):
            Path(path).write_bytes(content)
    for command in action.commands:
        if print_only:
            print(shlex.join(command))
            continue
        code = _run(command).returncode
        if code:
            raise UserError(
                f"`{shlex.join(command)}` failed with exit code {code}; its output is above"
            )


def output_of(command: Sequence[str]) -> str | None:
    """Return the stripped output of a command, or None if it fails."""
    done = _run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return done.stdout.strip() if done.returncode == 0 else None


def _run(command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
    sys.stdout.flush()
    try:
        return subprocess.run(command, check=False, **options)
    except FileNotFoundError:
        raise UserError(
            f"{command[0]} is not installed; install it, or print the commands with --print"
        ) from None
