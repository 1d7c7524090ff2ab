"""Run a job on Vertex AI, as a custom job on machines with GPUs.

    python -m launch.vertex create --gin_file gin/lambert_large.gin --gin_file job.gin

create uploads the job and submits it; status, logs and delete act on it. Vertex sets TF_CONFIG on the
machines, with the first of them as the chief.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from data.cli.main import run_main
from data.errors import UserError
from launch.jobs.commands import run_target
from launch.jobs.job import Action, Job, upload

_SPEC_FILE = "custom_job.json"
_DISK_GB = 200
_ACTIVE_STATES = [
    f"JOB_STATE_{state}" for state in ("QUEUED", "PENDING", "RUNNING", "PAUSED", "CANCELLING")
]
_NETWORK_PATTERN = r"projects/\d+/global/networks/[-a-z0-9]+"


def create(job: Job, work_dir: str) -> Action:
    """Return the action that uploads the job and submits it."""
    config = job.config
    config.require(
        "project", "zone", "bucket", "data_dir", "image", "machine_type", "service_account"
    )
    config.require_reachable("bucket")
    # Vertex mounts buckets below /gcs/.
    config.require_reachable("data_dir", "model_dir", mounted="/gcs/")
    path = f"{work_dir}/{_SPEC_FILE}"
    uploaded = upload(job, work_dir)
    submit = (*_gcloud(job, "create"), f"--display-name={config.name}", f"--config={path}")
    spec = json.dumps(custom_job_spec(job), indent=1) + "\n"
    return Action(
        files={**uploaded.files, path: spec.encode()},
        commands=[*uploaded.commands, submit],
        exists_command=_list(job, f" AND state=({' '.join(_ACTIVE_STATES)})"),
    )


def custom_job_spec(job: Job) -> dict[str, Any]:
    """Return the CustomJobSpec of Vertex AI's API."""
    config = job.config
    if not config.is_gpu:
        raise UserError(
            f"LaunchConfig.accelerator={config.accelerator!r}: launch.vertex is for GPUs, such as"
            " 'nvidia-h100-80gb'"
        )
    if config.network and not re.fullmatch(_NETWORK_PATTERN, config.network):
        raise UserError(
            f"LaunchConfig.network={config.network!r}: on Vertex must be like"
            " 'projects/123/global/networks/NAME', with the project's number"
        )
    pool = {
        "machineSpec": {
            "machineType": config.machine_type,
            "acceleratorType": config.accelerator.upper().replace("-", "_"),
            "acceleratorCount": config.gpus_per_node,
        },
        "diskSpec": {"bootDiskType": "pd-ssd", "bootDiskSizeGb": _DISK_GB},
        "containerSpec": {"imageUri": config.image, "args": ["launch.node", config.job_dir]},
    }
    pools = [{**pool, "replicaCount": 1}]
    if config.nodes > 1:
        pools.append({**pool, "replicaCount": config.nodes - 1})
    spec = {
        "workerPoolSpecs": pools,
        "scheduling": {
            "strategy": "SPOT" if config.spot else "ON_DEMAND",
            "restartJobOnWorkerRestart": True,
        },
        "serviceAccount": config.service_account,
    }
    if config.network:
        spec["network"] = config.network
    return spec


def status(job: Job, _: str) -> Action:
    """Return the action that lists the jobs of this name, newest first."""
    return Action(commands=[_list(job)])


def logs(job: Job, _: str) -> Action:
    """Return the action that streams the logs of the newest job of this name."""
    return Action(commands=[_for_newest(job, "stream-logs")])


def delete(job: Job, _: str) -> Action:
    """Return the action that cancels the newest job of this name."""
    return Action(commands=[_for_newest(job, "cancel")])


def _gcloud(job: Job, verb: str, *arguments: str) -> tuple[str, ...]:
    config = job.config
    config.require("project", "zone")
    command = ("gcloud", "ai", "custom-jobs", verb, *arguments)
    return (*command, f"--project={config.project}", f"--region={config.region}")


def _list(job: Job, more: str = "") -> tuple[str, ...]:
    filters = (f"--filter=displayName={job.config.name}{more}", "--sort-by=~createTime")
    return (*_gcloud(job, "list"), *filters)


def _for_newest(job: Job, verb: str) -> tuple[str, ...]:
    """Return a command for the newest job; a listing gives the number by which Vertex knows it."""
    newest = " ".join([*_list(job), "--limit=1", "'--format=value(name)'"])
    return ("bash", "-c", " ".join(_gcloud(job, verb, f'"$({newest})"')))


VERBS = dict(create=create, status=status, logs=logs, delete=delete)


def main(argv: Sequence[str]) -> None:
    """Parse the command line and run the verb."""
    run_target("python -m launch.vertex", __doc__, VERBS, argv)


if __name__ == "__main__":
    run_main(main)
