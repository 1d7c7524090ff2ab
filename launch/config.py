"""The machines to train on, and the job that takes a run there. Bound by gin in pretrain/config.py."""

from __future__ import annotations

import dataclasses
import re

from data.errors import UserError

# Exit code of a run that has saved its state and wants to be started again.
RESTART_CODE = 42
# Has no place in a command that is started again and again.
DISCARD_FLAG = "--discard_checkpoints"
STRATEGIES = ("auto", "default", "mirrored", "multi_worker", "tpu")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClusterConfig:
    """Which tf.distribute strategy runs the training step.

    Attributes:
      strategy: "default" uses one device; "mirrored" all GPUs of one machine; "multi_worker" the
        cluster in TF_CONFIG; "tpu" a Cloud TPU; "auto" chooses by what is there.
      tpu: name or address of the TPU; empty takes TPU_NAME from the environment, or else "local",
        the TPU of this machine.
    """

    strategy: str = "auto"
    tpu: str = ""

    def __post_init__(self):
        if self.strategy not in STRATEGIES:
            raise UserError(
                f"ClusterConfig.strategy={self.strategy!r}: must be one of {', '.join(STRATEGIES)}"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class LaunchConfig:
    """A run as a job on other machines: where, on what, with which data.

    `launch.tpu`, `launch.gke`, `launch.vertex`, `launch.slurm` and `launch.dataflow` turn it into
    commands and files, each of what it needs; docs/launching.md has a table.

    Attributes:
      name: of the job and of all that is made for it.
      bucket: "gs://BUCKET" or "gs://BUCKET/FOLDER", or a folder on a shared disk. What belongs to the
        job lies in BUCKET/NAME.
      data_dir: the build, in a bucket or on a shared disk.
      model_dir: of the run; empty is BUCKET/NAME/model.
      scratch_dir: on a local disk of each machine, where the data are copied to and compared with the
        manifest; empty reads them where they lie, which a bucket does not allow.
      accelerator: a TPU type ("v5e-8" or as Google names it "v5litepod-8", "v4-8", "v6e-8"), a GPU type
        as GKE names it ("nvidia-h100-80gb"), or "cpu".
      nodes: machines with GPUs.
      gpus_per_node: see there.
      machine_type: of Vertex ("a3-highgpu-8g").
      processes: on each machine, as a cluster of its own (launch.local); for machines without GPUs.
      project: of Google Cloud.
      zone: of Google Cloud; its region is used where a region is asked for.
      network: a VPC; empty is the project's default. Vertex wants its full name, with the project's
        number: "projects/123/global/networks/NAME".
      subnetwork: of it.
      external_ips: machines have addresses on the internet. Without, they reach package indices
        through Cloud NAT only.
      service_account: its e-mail address; on GKE the Kubernetes service account.
      spot: machines that are cheaper and may be taken away.
      valid_until_duration: after which a request for a TPU expires ("6h"); empty waits for ever.
      runtime_version: system image of TPU VMs; empty chooses one by the accelerator.
      image: container with this package (launch/docker/trainer.Dockerfile).
      worker_image: container of Beam's workers (launch/docker/beam_worker.Dockerfile).
      worker_machine_type: of Dataflow ("n2-standard-4"); empty leaves the choice to it.
      max_workers: of Dataflow.
      queue: LocalQueue of Kueue on GKE, partition of Slurm; empty uses none, or the default one.
      crashes: in a row that are forgiven on a machine (launch.supervise).
      max_restarts: how often a job that lost a machine is begun again.
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
    queue: str = ""
    crashes: int = 3
    max_restarts: int = 100

    def __post_init__(self):
        if not re.fullmatch(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?", self.name):
            raise UserError(
                f"LaunchConfig.name={self.name!r}: must be up to 40 small letters, digits and hyphens,"
                " with a letter first and no hyphen last"
            )
        for name, least in (
            *(("nodes", 1), ("gpus_per_node", 0), ("processes", 1)),
            *(("max_workers", 1), ("crashes", 0), ("max_restarts", 0)),
        ):
            if getattr(self, name) < least:
                raise UserError(
                    f"LaunchConfig.{name}={getattr(self, name)}: must be at least {least}"
                )
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            # These go into commands, YAML and metadata. Nothing that has a place there has such characters.
            if isinstance(value, str) and not re.fullmatch(r"[-\w./:@+~]*", value, re.ASCII):
                raise UserError(
                    f"LaunchConfig.{field.name}={value!r}: only letters, digits and -_./:@+~ are allowed"
                )
        if self.zone and not re.fullmatch(r"[-a-z0-9]+-[a-z]", self.zone):
            raise UserError(f"LaunchConfig.zone={self.zone!r}: must be a zone, like 'us-west4-a'")
        if self.is_gpu and not self.gpus_per_node:
            raise UserError("LaunchConfig.gpus_per_node=0: must be at least 1 on nodes with GPUs")
        if self.processes > 1 and (self.is_gpu or self.nodes > 1):
            raise UserError(
                f"LaunchConfig.processes={self.processes}: is for one machine without GPUs; leave it at 1"
            )
        if not self.scratch_dir and "://" in self.data_dir:
            raise UserError(
                f"LaunchConfig.scratch_dir='': the data are read where they lie, and {self.data_dir} is"
                " not on a disk; name a folder on the machines to copy them to"
            )

    @property
    def job_dir(self) -> str:
        """Where everything of the job lies."""
        return f"{self.bucket.rstrip('/')}/{self.name}"

    @property
    def region(self) -> str:
        """The region of the zone: "us-central1" of "us-central1-a"."""
        return self.zone.rpartition("-")[0]

    @property
    def is_gpu(self) -> bool:
        """Whether the accelerator is a GPU."""
        return self.accelerator.startswith("nvidia-")

    def require(self, *names: str) -> None:
        """Raises a UserError that names the first of these settings that is empty."""
        for name in names:
            if not getattr(self, name):
                raise UserError(
                    f"LaunchConfig.{name} is missing; set it in a gin file or with"
                    f" --gin_param \"LaunchConfig.{name}='...'\""
                )

    def require_reachable(self, *names: str, mounted: str = "") -> None:
        """Raises a UserError that names the first of these places that machines of a target do not reach.

        Args:
          *names: of settings; empty ones do not count.
          mounted: where the machines have a disk that all of them share; empty for nowhere.
        """
        for name in names:
            value = getattr(self, name)
            if value and "://" not in value and not (mounted and value.startswith(mounted)):
                disk = f" or below {mounted} on the disk that they share" if mounted else ""
                raise UserError(
                    f"LaunchConfig.{name}={value!r}: must be where the machines reach it: in a bucket"
                    f" (gs://...){disk}"
                )
