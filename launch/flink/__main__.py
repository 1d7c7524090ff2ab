r"""Run a data build on Flink, on Kubernetes with the operator of Flink.

    python -m launch.flink create --gin_file gin/data_lambert.gin --gin_file job.gin -- \
        --wiki 'gs://B/dumps/*.bz2' --vocab_file gs://B/vocab.txt --output_dir gs://B/D

create starts a cluster and the build; the arguments after -- are those of data.build. status, logs and
delete act on them; the cluster stays until it is deleted. Settings of the build and of the job may be in
the same gin files. Needs kubectl and an image of launch/docker/beam_worker.Dockerfile.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence

from data.cli.main import run_main
from data.config import BuildConfig
from data.errors import UserError
from launch.config import LaunchConfig
from launch.flink.objects import objects
from launch.jobs.commands import build_parser, execute
from launch.jobs.job import Action
from launch.jobs.settings import load_job_config

_OBJECTS_FILE = "flink.json"
_KINDS = ("job", "flinkdeployment", "configmap", "networkpolicy")
# Their files must be where every worker, and the driver in the cluster, reaches them.
_PATH_FLAGS = ("--vocab_file", "--output_dir")


def create_action(
    config: LaunchConfig, build_gin: str, arguments: Sequence[str], work_dir: str
) -> Action:
    """Return the action that starts the cluster and the build.

    Args:
      config: settings of the job.
      build_gin: settings of the build, as the text of a gin file.
      arguments: arguments of data.build, without settings.
      work_dir: local folder for the objects.
    """
    _check_reachable(arguments)
    items = objects(config, build_gin, arguments)
    made = {"apiVersion": "v1", "kind": "List", "items": items}
    path = f"{work_dir}/{_OBJECTS_FILE}"
    return Action(
        files={path: f"{json.dumps(made, indent=1)}\n".encode()},
        commands=[("kubectl", "create", f"--filename={path}")],
        exists_command=("kubectl", "get", *_names(config), "--ignore-not-found", "--output=name"),
    )


def _check_reachable(arguments: Sequence[str]) -> None:
    for flag, value in itertools.pairwise(arguments):
        if flag in _PATH_FLAGS and "://" not in value:
            raise UserError(
                f"{flag} {value}: must be in a bucket (gs://...), where all pods reach it"
            )


def _names(config: LaunchConfig) -> list[str]:
    return [f"{kind}/{config.name}" for kind in _KINDS]


def _other_action(verb: str, config: LaunchConfig) -> Action:
    commands = {
        "status": ("kubectl", "get", *_names(config), "--ignore-not-found"),
        "logs": ("kubectl", "logs", f"job/{config.name}", "--container=driver"),
        "delete": ("kubectl", "delete", *_names(config), "--ignore-not-found"),
    }
    return Action(commands=[commands[verb]])


def main(argv: Sequence[str]) -> None:
    """Parse the command line and run the verb."""
    parser = build_parser("python -m launch.flink", __doc__, ["create", "status", "logs", "delete"])
    # By hand: argparse would take the verb for all positional arguments that there are.
    split = argv.index("--") if "--" in argv else len(argv)
    args, arguments = parser.parse_args(argv[:split]), argv[split + 1 :]
    config, build_gin = load_job_config(args.gin_file, args.gin_param, BuildConfig)
    if args.verb != "create":
        execute(_other_action(args.verb, config), print_only=args.print_only)
        return
    if not arguments:
        raise UserError("no arguments: give those of data.build after --")
    if settings := [a for a in arguments if a.startswith(("--gin_file", "--gin_param"))]:
        raise UserError(f"{settings[0]} is after --; give settings before it")
    work_dir = args.work_dir or f".launch/{config.name}"
    action = create_action(config, build_gin, arguments, work_dir)
    execute(action, print_only=args.print_only)


if __name__ == "__main__":
    run_main(main)
