"""Run a job on Google Kubernetes Engine, as a JobSet: machines with GPUs, or a TPU of a single host.

    python -m launch.gke create --gin_file gin/lambert_large.gin --gin_file job.gin

create uploads the job and creates the JobSet; status, logs and delete act on it. The cluster is that of
kubectl's context, with the JobSet controller, and Kueue if LaunchConfig.queue is set.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from data.errors import UserError, run_main
from launch.accelerators.tpu_types import single_host
from launch.config import RESTART_CODE, LaunchConfig
from launch.jobs.commands import run_target
from launch.jobs.job import Action, Job, upload

_MANIFEST_FILE = "jobset.json"
_GET = ("kubectl", "get", "jobset")
_WORKER = "worker"  # name of the only replicated job
_PORT = 2222
_SPOT = "cloud.google.com/gke-spot"
_SCRATCH_DIR = "/var/tmp/lambert"
_USER_ID = 1000  # user of the image
_GRACE_SECONDS = 180
# Exit codes of a pod whose machine stops: state saved, killed, terminated.
_PREEMPTED_CODES = [RESTART_CODE, 137, 143]


def create(job: Job, work_dir: str) -> Action:
    """Return the action that uploads the job and creates the JobSet."""
    config = job.config
    config.require("bucket", "data_dir", "image", "service_account")
    config.require_reachable("bucket", "data_dir", "model_dir")
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?", config.service_account):
        raise UserError(
            f"LaunchConfig.service_account={config.service_account!r}: on GKE must be the name of a"
            " Kubernetes service account, such as 'lambert'"
        )
    manifest = json.dumps(jobset(job), indent=1) + "\n"
    uploaded = upload(job, work_dir)
    path = f"{work_dir}/{_MANIFEST_FILE}"
    return Action(
        files={**uploaded.files, path: manifest.encode()},
        commands=[*uploaded.commands, ("kubectl", "create", f"--filename={path}")],
        exists_command=(*_GET, config.name, "--ignore-not-found", "--output=name"),
    )


def jobset(job: Job) -> dict[str, Any]:
    """Return the JobSet as a Kubernetes object.

    A pod that ends because its machine stops fails its Job, which makes the JobSet restart, up to
    LaunchConfig.max_restarts times; any other failure is final.
    """
    config = job.config
    labels = {"kueue.x-k8s.io/queue-name": config.queue} if config.queue else {}
    workers = config.nodes if config.is_gpu else 1
    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": {"name": config.name, "labels": labels},
        "spec": {
            "network": {"enableDNSHostnames": True, "subdomain": config.name},
            "failurePolicy": {
                "maxRestarts": config.max_restarts,
                "rules": [{"action": "FailJobSet", "onJobFailureReasons": ["PodFailurePolicy"]}],
            },
            "replicatedJobs": [
                {
                    "name": _WORKER,
                    "replicas": 1,
                    "template": {
                        "spec": {
                            "parallelism": workers,
                            "completions": workers,
                            "completionMode": "Indexed",
                            "backoffLimit": 0,
                            "podFailurePolicy": {"rules": [_final_failure_rule()]},
                            "template": {"spec": _pod(job)},
                        }
                    },
                }
            ],
        },
    }


def _final_failure_rule() -> dict[str, Any]:
    codes = {"containerName": _WORKER, "operator": "NotIn", "values": _PREEMPTED_CODES}
    return {"action": "FailJob", "onExitCodes": codes}


def _pod(job: Job) -> dict[str, Any]:
    config = job.config
    selector, resource, count = _devices(config)
    if config.spot:
        selector[_SPOT] = "true"
    tainted = [resource, *([_SPOT] if config.spot else [])]
    return {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": _GRACE_SECONDS,
        "serviceAccountName": config.service_account,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER_ID,
            "runAsGroup": _USER_ID,
            "fsGroup": _USER_ID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "nodeSelector": selector,
        "tolerations": [
            {"key": key, "operator": "Exists", "effect": "NoSchedule"} for key in tainted
        ],
        "containers": [_container(config, {resource: count})],
        "volumes": [
            {"name": "scratch", "emptyDir": {}},
            {"name": "shared-memory", "emptyDir": {"medium": "Memory"}},  # for NCCL
        ],
    }


def _container(config: LaunchConfig, devices: dict[str, int]) -> dict[str, Any]:
    return {
        "name": _WORKER,
        "image": config.image,
        "args": ["launch.node", config.job_dir],
        "env": _environment(config),
        "resources": {"requests": devices, "limits": devices},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "scratch", "mountPath": config.scratch_dir or _SCRATCH_DIR},
            {"name": "shared-memory", "mountPath": "/dev/shm"},
        ],
    }


def _devices(config: LaunchConfig) -> tuple[dict[str, str], str, int]:
    """Return the labels of the nodes, and name and number of the resource that a pod requests."""
    if config.is_gpu:
        selector = {"cloud.google.com/gke-accelerator": config.accelerator}
        return selector, "nvidia.com/gpu", config.gpus_per_node
    chip, topology, chips = single_host(config.accelerator)
    selector = {
        "cloud.google.com/gke-tpu-accelerator": chip.gke_accelerator,
        "cloud.google.com/gke-tpu-topology": topology,
    }
    return selector, "google.com/tpu", chips


def _environment(config: LaunchConfig) -> list[dict[str, Any]]:
    """Return TF_CONFIG, in which Kubernetes inserts the index of the pod."""
    if not config.is_gpu or config.nodes == 1:
        return []
    name = config.name
    workers = [f"{name}-{_WORKER}-0-{i}.{name}:{_PORT}" for i in range(config.nodes)]
    cluster = json.dumps({"worker": workers})
    index = {"fieldPath": "metadata.annotations['batch.kubernetes.io/job-completion-index']"}
    task = '{"type": "worker", "index": $(WORKER_INDEX)}'
    return [
        {"name": "WORKER_INDEX", "valueFrom": {"fieldRef": index}},
        {"name": "TF_CONFIG", "value": f'{{"cluster": {cluster}, "task": {task}}}'},
    ]


def status(job: Job, _: str) -> Action:
    """Return the action that prints the JobSet and its pods."""
    name = job.config.name
    return Action(commands=[(*_GET, name), ("kubectl", "get", "pods", _selector(name))])


def logs(job: Job, _: str) -> Action:
    """Return the action that prints the logs of the pods."""
    command = ("kubectl", "logs", _selector(job.config.name), "--prefix", "--tail=-1")
    return Action(commands=[command])


def delete(job: Job, _: str) -> Action:
    """Return the action that deletes the JobSet; its pods receive SIGTERM, save and end."""
    return Action(commands=[("kubectl", "delete", "jobset", job.config.name)])


def _selector(name: str) -> str:
    return f"--selector=jobset.sigs.k8s.io/jobset-name={name}"


VERBS = dict(create=create, status=status, logs=logs, delete=delete)


def main(argv: Sequence[str]) -> None:
    """Parse the command line and run the verb."""
    run_target("python -m launch.gke", __doc__, VERBS, argv)


if __name__ == "__main__":
    run_main(main)
