"""Run a job on Google Kubernetes Engine, as a JobSet: machines with GPUs, or the hosts of a TPU.

    python -m launch.gke create --gin_file gin/lambert_large.gin --gin_file job.gin

create uploads the job and creates the JobSet; status, logs and delete act on it. The cluster is that of
kubectl's context, with the JobSet controller, and Kueue if LaunchConfig.queue is set.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from data.cli.main import run_main
from data.errors import UserError
from launch.accelerators.tpu_types import hosts_of, request_of
from launch.config import RESTART_CODE, LaunchConfig
from launch.jobs.commands import run_target
from launch.jobs.job import Action, Job, upload
from launch.slice.membership import HOSTS_VARIABLE, INDEX_VARIABLE

_MANIFEST_FILE, _POLICY_FILE = "jobset.json", "network_policy.json"
_GET = ("kubectl", "get", "jobset")
_WORKER = "worker"  # name of the only replicated job
_PORT = 2222
_EXCLUSIVE = "alpha.jobset.sigs.k8s.io/exclusive-topology"
_NAME_LABEL = "jobset.sigs.k8s.io/jobset-name"
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
    path, policy_path = f"{work_dir}/{_MANIFEST_FILE}", f"{work_dir}/{_POLICY_FILE}"
    files, commands = {path: manifest.encode()}, [("kubectl", "create", f"--filename={path}")]
    if _is_slice(config):
        files[policy_path] = f"{json.dumps(network_policy(job), indent=1)}\n".encode()
        commands.insert(0, ("kubectl", "apply", f"--filename={policy_path}"))
    return Action(
        files={**uploaded.files, **files},
        commands=[*uploaded.commands, *commands],
        exists_command=(*_GET, config.name, "--ignore-not-found", "--output=name"),
    )


def jobset(job: Job) -> dict[str, Any]:
    """Return the JobSet as a Kubernetes object.

    A pod that ends because its machine stops fails its Job, which makes the JobSet restart, up to
    LaunchConfig.max_restarts times; any other failure is final.
    """
    config = job.config
    labels = {"kueue.x-k8s.io/queue-name": config.queue} if config.queue else {}
    metadata: dict[str, Any] = {"name": config.name, "labels": labels}
    if _is_slice(config):
        # All pods on one node pool, which is one slice.
        metadata["annotations"] = {_EXCLUSIVE: "cloud.google.com/gke-nodepool"}
    workers = _num_pods(config)
    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": metadata,
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


def network_policy(job: Job) -> dict[str, Any]:
    """Return the policy by which only pods of a slice reach each other.

    TensorFlow's servers run any program for whoever reaches them.
    """
    pods = {"matchLabels": {_NAME_LABEL: job.config.name}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": job.config.name},
        "spec": {
            "podSelector": pods,
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [{"podSelector": pods}]}],
        },
    }


def _num_pods(config: LaunchConfig) -> int:
    return config.nodes if config.is_gpu else hosts_of(config.accelerator)


def _is_slice(config: LaunchConfig) -> bool:
    return not config.is_gpu and _num_pods(config) > 1


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
    chip, topology, chips = request_of(config.accelerator)
    selector = {
        "cloud.google.com/gke-tpu-accelerator": chip.gke_accelerator,
        "cloud.google.com/gke-tpu-topology": topology,
    }
    return selector, "google.com/tpu", chips


def _environment(config: LaunchConfig) -> list[dict[str, Any]]:
    """Return the variables by which pods find each other; Kubernetes inserts the index of the pod."""
    name, num_pods = config.name, _num_pods(config)
    if num_pods == 1:
        return []
    index = {"fieldPath": "metadata.annotations['batch.kubernetes.io/job-completion-index']"}
    addresses = [f"{name}-{_WORKER}-0-{i}.{name}" for i in range(num_pods)]
    if _is_slice(config):
        return [
            {"name": INDEX_VARIABLE, "valueFrom": {"fieldRef": index}},
            {"name": HOSTS_VARIABLE, "value": ",".join(addresses)},
        ]
    cluster = json.dumps({"worker": [f"{address}:{_PORT}" for address in addresses]})
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
    commands = [("kubectl", "delete", "jobset", job.config.name)]
    if _is_slice(job.config):
        commands.append(("kubectl", "delete", "networkpolicy", job.config.name))
    return Action(commands=commands)


def _selector(name: str) -> str:
    return f"--selector={_NAME_LABEL}={name}"


VERBS = dict(create=create, status=status, logs=logs, delete=delete)


def main(argv: Sequence[str]) -> None:
    """Parse the command line and run the verb."""
    run_target("python -m launch.gke", __doc__, VERBS, argv)


if __name__ == "__main__":
    run_main(main)
