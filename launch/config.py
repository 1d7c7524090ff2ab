"""Settings of the devices, and of a job on other machines. Bound by gin in pretrain/gin_files.py."""

from __future__ import annotations

import dataclasses
import re

from data.errors import UserError, check_maxima

# Exit code of a run that has saved its state and asks to be restarted.
RESTART_CODE = 42
# Flag of pretrain.run that is an error under launch.supervise.
DISCARD_FLAG = "--discard_checkpoints"
_MAXIMA = {
    **{"nodes": 10**5, "gpus_per_node": 1024, "processes": 1024, "max_workers": 10**5},
    "task_slots": 1024,
    **{"crashes": 10**6, "max_restarts": 10**6},
}
STRATEGIES = ("auto", "default", "mirrored", "multi_worker", "tpu", "stand_in")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClusterConfig:
    """Choice of the tf.distribute strategy.

    Attributes:
      strategy: "default" uses one device; "mirrored" all GPUs of one machine; "multi_worker" the
        cluster in TF_CONFIG; "tpu" a Cloud TPU; "auto" chooses by the devices that it finds.
        "stand_in" plays a TPU slice with the CPUs of TensorFlow servers, for rehearsals.
      tpu: name of the TPU, or the addresses of the servers on all hosts of a slice, in order:
        "grpc://10.0.0.2:8470,grpc://10.0.0.3:8470"; empty takes TPU_NAME from the environment, or
        else "local", the TPU of this machine.
      deterministic: make GPUs compute the same bits in every run, as CPUs and TPUs do anyway; without it,
        a run that was killed and resumed ends with other bits. XLA then chooses no kernels by timing
        them, and takes sums in a fixed order; what that costs a large model has not been measured.
    """

    strategy: str = "auto"
    tpu: str = ""
    deterministic: bool = False

    def __post_init__(self) -> None:
        if self.strategy not in STRATEGIES:
            raise UserError(
                f"ClusterConfig.strategy={self.strategy!r}: must be one of {', '.join(STRATEGIES)}"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class LaunchConfig:
    """A job on other machines: a pretraining run or a data build.

    `launch.tpu`, `launch.gke`, `launch.vertex`, `launch.slurm`, `launch.dataflow` and `launch.flink`
    turn it into commands and files; docs/launching.md has a table of the settings that each of them needs.

    Attributes:
      name: name of the job and of the resources that are created for it.
      bucket: "gs://BUCKET" or "gs://BUCKET/FOLDER", or a folder on a shared disk. The files of the job
        are in BUCKET/NAME.
      data_dir: directory of the build, in a bucket or on a shared disk.
      model_dir: directory of the run; empty is BUCKET/NAME/model.
      scratch_dir: directory on a local disk of each machine, to which the data are copied; empty reads
        them in place, which is not possible from a bucket.
      accelerator: TPU type ("v5e-8" or in Google's name "v5litepod-8", "v4-8", "v6e-256"), GPU type
        in GKE's name ("nvidia-h100-80gb"), or "cpu".
      nodes: number of machines with GPUs.
      gpus_per_node: GPUs of each machine.
      machine_type: machine type of Vertex ("a3-highgpu-8g").
      processes: processes on a single machine without GPUs, as a cluster (launch.local).
      project: Google Cloud project.
      zone: Google Cloud zone, which implies the region.
      network: VPC network; empty is the project's default. Vertex needs its full name, with the project's
        number: "projects/123/global/networks/NAME".
      subnetwork: subnetwork of the network.
      external_ips: whether machines have addresses on the internet. If not, they reach package indices
        only through Cloud NAT. Not for slices of several hosts.
      service_account: e-mail address of the service account; on GKE the Kubernetes service account.
      spot: whether to take cheaper machines that may be preempted.
      valid_until_duration: time until a request for a TPU expires ("6h"); empty never expires.
      runtime_version: system image of TPU VMs; empty takes the default of the accelerator.
      image: container image with this package (launch/docker/trainer.Dockerfile).
      worker_image: container image of Beam workers (launch/docker/beam_worker.Dockerfile).
      worker_machine_type: machine type of Dataflow workers ("n2-standard-4"); empty takes Dataflow's.
      max_workers: largest number of Dataflow workers, or of task managers of Flink.
      task_slots: tasks that a task manager of Flink runs at a time, each with a Python process.
      worker_memory: memory of the Python processes of a task manager of Flink ("8Gi").
      queue: LocalQueue of Kueue on GKE, partition of Slurm; empty uses none, or the default partition.
      crashes: consecutive crashes after which a machine restarts the run (launch.supervise); on a slice,
        consecutive failures of a host or of the run without a checkpoint between them.
      max_restarts: number of times a job that lost a machine is restarted.
    """

    name: str = "lambert"
    bucket: str = ""
    data_dir: str = ""
    model_dir: str = ""
    scratch_dir: str = "/var/tmp/lambert"
    accelerator: str = "v5litepod-8"
    nodes: int = 1
    gpus_per_node: int = 8
    machine_type: str = ""
    processes: int = 1
    project: str = ""
    zone: str = ""
    network: str = ""
    subnetwork: str = ""
    external_ips: bool = False
    service_account: str = ""
    spot: bool = False
    valid_until_duration: str = ""
    runtime_version: str = ""
    image: str = ""
    worker_image: str = ""
    worker_machine_type: str = ""
    max_workers: int = 100
    task_slots: int = 4
    worker_memory: str = "16Gi"
    queue: str = ""
    crashes: int = 3
    max_restarts: int = 100

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?", self.name):
            raise UserError(
                f"LaunchConfig.name={self.name!r}: must be up to 40 lower-case letters, digits and"
                " hyphens, with a letter first and no hyphen last"
            )
        for name, minimum in (
            *(("nodes", 1), ("gpus_per_node", 0), ("processes", 1)),
            *(("max_workers", 1), ("task_slots", 1), ("crashes", 0), ("max_restarts", 0)),
        ):
            if getattr(self, name) < minimum:
                raise UserError(
                    f"LaunchConfig.{name}={getattr(self, name)}: must be at least {minimum}"
                )
        check_maxima(self, _MAXIMA)
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            # The values become part of commands, JSON and metadata, where other characters are unsafe.
            if isinstance(value, str) and not re.fullmatch(r"[-\w./:@+~]*", value, re.ASCII):
                raise UserError(
                    f"LaunchConfig.{field.name}={value!r}: only letters, digits and -_./:@+~ are allowed"
                )
        if self.zone and not re.fullmatch(r"[-a-z0-9]+-[a-z]", self.zone):
            raise UserError(f"LaunchConfig.zone={self.zone!r}: must be a zone, like 'us-west4-a'")
        if not re.fullmatch(r"[1-9][0-9]*[MG]i", self.worker_memory):
            raise UserError(
                f"LaunchConfig.worker_memory={self.worker_memory!r}: must be a size, like '16Gi'"
            )
        if self.is_gpu and not self.gpus_per_node:
            raise UserError("LaunchConfig.gpus_per_node=0: must be at least 1 on nodes with GPUs")
        if self.processes > 1 and (self.is_gpu or self.nodes > 1):
            raise UserError(
                f"LaunchConfig.processes={self.processes}: must be 1 on several machines and with GPUs"
            )
        if not self.scratch_dir and "://" in self.data_dir:
            raise UserError(
                f"LaunchConfig.scratch_dir='': LaunchConfig.data_dir={self.data_dir!r} is not on a disk;"
                " set scratch_dir to a directory of the machines to which the data are copied"
            )

    @property
    def job_dir(self) -> str:
        """Directory with the files of the job."""
        return f"{self.bucket.rstrip('/')}/{self.name}"

    @property
    def region(self) -> str:
        """Region of the zone: "us-central1" for "us-central1-a"."""
        return self.zone.rpartition("-")[0]

    @property
    def is_gpu(self) -> bool:
        """Whether the accelerator is a GPU."""
        return self.accelerator.startswith("nvidia-")

    def require(self, *names: str) -> None:
        """Raise a UserError that names the first of these settings that is empty."""
        for name in names:
            if not getattr(self, name):
                raise UserError(
                    f"LaunchConfig.{name} is missing; set it in a gin file or with"
                    f" --gin_param \"LaunchConfig.{name}='...'\""
                )

    def require_reachable(self, *names: str, mounted: str = "") -> None:
        """Raise a UserError that names the first of these directories that the machines do not reach.

        Args:
          *names: settings with directories; empty ones are ignored.
          mounted: mount point of a disk that all machines share; empty if there is none.
        """
        for name in names:
            value = getattr(self, name)
            if value and "://" not in value and not (mounted and value.startswith(mounted)):
                disk = f" or below {mounted} on the disk that all machines share" if mounted else ""
                raise UserError(
                    f"LaunchConfig.{name}={value!r}: must be in a bucket (gs://...){disk},"
                    " where the machines reach it"
                )
