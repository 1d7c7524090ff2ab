"""Objects of Kubernetes for a data build on Flink, as pure functions of the settings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from data.errors import UserError
from launch.config import LaunchConfig

# The engine that `make test-engines` runs, and Beam's job server for it.
FLINK_VERSION = "1.19"
BEAM_VERSION = "2.77.0"
GIN_FILE = "build.gin"
_SETTINGS_DIR = "/etc/lambert"
_JOB_PORT, _WORKER_PORT, _REST_PORT = 8099, 50000, 8081
_LABEL = "lambert/build"
_DRIVER = "driver"
_USER_ID = 1000  # user of our image
_FLINK_USER_ID = 9999  # user of Flink's image


def objects(config: LaunchConfig, build_gin: str, arguments: Sequence[str]) -> list[dict[str, Any]]:
    """Return the objects of a build: a policy, its settings, a cluster, and the job that submits it.

    Args:
      config: settings of the job.
      build_gin: settings of the build, as the text of a gin file.
      arguments: arguments of data.build, without settings.
    """
    config.require("worker_image", "service_account")
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?", config.service_account):
        raise UserError(
            f"LaunchConfig.service_account={config.service_account!r}: on Kubernetes must be the"
            " name of a service account there, such as 'flink'"
        )
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "data": {GIN_FILE: build_gin}}
    found = [_network_policy(config), settings, _cluster(config), _job(config, arguments)]
    for made in found:
        made["metadata"] = {"name": config.name, "labels": _labels(config)}
    return found


def _labels(config: LaunchConfig) -> dict[str, str]:
    return {_LABEL: config.name}


def _network_policy(config: LaunchConfig) -> dict[str, Any]:
    """Return the policy by which only pods of the build, and Flink's operator, reach the cluster.

    Flink runs any program for whoever reaches it.
    """
    operator = {
        "namespaceSelector": {},
        "podSelector": {"matchLabels": {"app.kubernetes.io/name": "flink-kubernetes-operator"}},
    }
    pods = {"matchLabels": _labels(config)}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "spec": {
            "podSelector": pods,
            "policyTypes": ["Ingress"],
            "ingress": [
                {"from": [{"podSelector": pods}]},
                {"from": [operator], "ports": [{"port": _REST_PORT}]},
            ],
        },
    }


def _cluster(config: LaunchConfig) -> dict[str, Any]:
    """Return a session cluster; Flink requests task managers while the build has work for them."""
    return {
        "apiVersion": "flink.apache.org/v1beta1",
        "kind": "FlinkDeployment",
        "spec": {
            "image": f"flink:{FLINK_VERSION}-java17",
            "flinkVersion": f"v{FLINK_VERSION.replace('.', '_')}",
            "mode": "native",
            "serviceAccount": config.service_account,
            "flinkConfiguration": {
                "taskmanager.numberOfTaskSlots": str(config.task_slots),
                "slotmanager.number-of-slots.max": str(config.max_workers * config.task_slots),
                # A task repeats the work of one file; what is finished is not done again.
                "restart-strategy.type": "fixed-delay",
                "restart-strategy.fixed-delay.attempts": str(config.max_restarts),
                "restart-strategy.fixed-delay.delay": "10 s",
            },
            "podTemplate": {
                "metadata": {"labels": _labels(config)},
                "spec": {
                    "securityContext": _pod_security(_FLINK_USER_ID),
                    "containers": [
                        {"name": "flink-main-container", "securityContext": _security()}
                    ],
                },
            },
            "jobManager": {"resource": {"memory": "2048m", "cpu": 1}},
            "taskManager": {
                "resource": {"memory": "2048m", "cpu": 1},
                "podTemplate": {
                    "spec": {
                        "containers": [
                            {"name": "flink-main-container", "securityContext": _security()},
                            _workers(config),
                        ]
                    }
                },
            },
        },
    }


def _workers(config: LaunchConfig) -> dict[str, Any]:
    """Return the container that starts the Python workers of a task manager."""
    resources = {"cpu": str(config.task_slots), "memory": config.worker_memory}
    return {
        "name": "workers",
        "image": config.worker_image,
        "args": ["--worker_pool"],
        "resources": {"requests": resources, "limits": {"memory": config.worker_memory}},
        "securityContext": {**_security(), "runAsUser": _USER_ID, "runAsGroup": _USER_ID},
    }


def _job(config: LaunchConfig, arguments: Sequence[str]) -> dict[str, Any]:
    """Return the job that runs data.build, with Beam's job server beside it."""
    command = [
        *("python", "-m", "data.build", "--strict_gin"),
        *("--gin_file", f"{_SETTINGS_DIR}/{GIN_FILE}", *arguments),
        "--runner=PortableRunner",
        f"--job_endpoint=localhost:{_JOB_PORT}",
        "--environment_type=EXTERNAL",
        f"--environment_config=localhost:{_WORKER_PORT}",
        f"--parallelism={config.max_workers * config.task_slots}",
        f"--sdk_worker_parallelism={config.task_slots}",
        # Else every stage starts its Python processes anew.
        "--environment_cache_millis=600000",
        "--no_save_main_session",
    ]
    driver = {
        "name": _DRIVER,
        "image": config.worker_image,
        "command": command,
        "securityContext": _security(),
        "volumeMounts": [{"name": "settings", "mountPath": _SETTINGS_DIR, "readOnly": True}],
    }
    job_server = {
        "name": "job-server",
        "image": f"apache/beam_flink{FLINK_VERSION}_job_server:{BEAM_VERSION}",
        "args": [
            f"--flink-master={config.name}-rest:{_REST_PORT}",
            "--job-host=localhost",
            f"--job-port={_JOB_PORT}",
            "--artifacts-dir=/tmp/artifacts",
        ],
        # A container that starts before the others and ends after them.
        "restartPolicy": "Always",
        "startupProbe": {
            "exec": {"command": ["bash", "-c", f"</dev/tcp/localhost/{_JOB_PORT}"]},
            "failureThreshold": 60,
        },
        "securityContext": _security(),
        "volumeMounts": [{"name": "temporary", "mountPath": "/tmp"}],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "spec": {
            # A build that ends without a result resumes; wrong settings stay wrong.
            "backoffLimit": config.max_restarts,
            "podFailurePolicy": {
                "rules": [
                    {
                        "action": "FailJob",
                        "onExitCodes": {
                            "containerName": _DRIVER,
                            "operator": "In",
                            "values": [2],
                        },
                    }
                ]
            },
            "template": {
                "metadata": {"labels": _labels(config)},
                "spec": {
                    "restartPolicy": "Never",
                    "serviceAccountName": config.service_account,
                    "securityContext": _pod_security(_USER_ID),
                    "initContainers": [job_server],
                    "containers": [driver],
                    "volumes": [
                        {"name": "settings", "configMap": {"name": config.name}},
                        {"name": "temporary", "emptyDir": {}},
                    ],
                },
            },
        },
    }


def _pod_security(user_id: int) -> dict[str, Any]:
    return {
        "runAsNonRoot": True,
        "runAsUser": user_id,
        "runAsGroup": user_id,
        "fsGroup": user_id,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _security() -> dict[str, Any]:
    return {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
