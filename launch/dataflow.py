r"""Run a data build on Dataflow.

    python -m launch.dataflow --gin_file gin/data_lambert.gin --gin_file job.gin -- \
        --wiki 'gs://B/dumps/*.bz2' --vocab_file vocab.txt --output_dir gs://B/D [--dry_run]

The arguments after -- are those of data.build. Settings of the build and of the job may be in the same gin
files. Needs the extra [gcp] and an image of launch/docker/beam_worker.Dockerfile.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from data.cli.main import run_main
from data.config import BuildConfig
from data.errors import UserError
from launch.config import LaunchConfig
from launch.jobs.commands import build_parser, execute
from launch.jobs.job import Action
from launch.jobs.settings import load_job_config

_GIN_FILE = "build.gin"


def build_action(
    config: LaunchConfig, build_gin: str, arguments: Sequence[str], work_dir: str
) -> Action:
    """Return the action that builds on Dataflow.

    Args:
      config: settings of the job.
      build_gin: settings of the build, as the text of a gin file.
      arguments: arguments of data.build, without settings.
      work_dir: local folder for the gin file.
    """
    config.require("project", "zone", "bucket", "worker_image", "service_account")
    config.require_reachable("bucket")
    path = f"{work_dir}/{_GIN_FILE}"
    options = {
        "project": config.project,
        "region": config.region,
        "job_name": config.name,
        "temp_location": f"{config.job_dir}/tmp",
        "staging_location": f"{config.job_dir}/staging",
        "sdk_container_image": config.worker_image,
        "max_num_workers": config.max_workers,
        "worker_machine_type": config.worker_machine_type,
        "service_account_email": config.service_account,
        "network": config.network,
        "subnetwork": config.subnetwork and _subnetwork(config),
    }
    command = [
        *(sys.executable, "-m", "data.build"),
        *("--strict_gin", "--gin_file", path),
        *arguments,
        "--runner=DataflowRunner",
        *(f"--{name}={value}" for name, value in options.items() if value),
        *(() if config.external_ips else ("--no_use_public_ips",)),
        # Otherwise Beam pickles the main module of this program, with TensorFlow in it.
        "--no_save_main_session",
    ]
    return Action(files={path: build_gin.encode()}, commands=[command])


def _subnetwork(config: LaunchConfig) -> str:
    return f"regions/{config.region}/subnetworks/{config.subnetwork}"


def main(argv: Sequence[str]) -> None:
    """Parse the command line and start the build."""
    parser = build_parser("python -m launch.dataflow", __doc__, [])
    parser.add_argument(
        "arguments", nargs="*", help="after --: arguments of data.build", metavar="ARGUMENT"
    )
    args = parser.parse_args(argv)
    if not args.arguments:
        raise UserError("no arguments: give those of data.build after --")
    if settings := [a for a in args.arguments if a.startswith(("--gin_file", "--gin_param"))]:
        raise UserError(f"{settings[0]} is after --; give settings before it")
    config, build_gin = load_job_config(args.gin_file, args.gin_param, BuildConfig)
    action = build_action(
        config, build_gin, args.arguments, args.work_dir or f".launch/{config.name}"
    )
    execute(action, print_only=args.print_only)


if __name__ == "__main__":
    run_main(main)
