"""Create the tf.distribute strategy of a run."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from absl import logging

from data.cli import logs
from data.errors import UserError
from launch.accelerators.tpu_types import tpu_of_type
from launch.config import ClusterConfig

if TYPE_CHECKING:
    import tensorflow as tf

_AMPERE, _HOPPER = 8, 9  # compute capability, first part
# By default XLA for GPUs keeps float32 copies of tensors that the step rounds to bfloat16, which costs
# memory traffic (docs/performance.md).
GPU_XLA_FLAGS = {"--xla_allow_excess_precision": "false"}
# Otherwise sums of the gradient of the embeddings have no fixed order, and kernels are chosen by timing.
DETERMINISTIC_XLA_FLAGS = {"--xla_gpu_deterministic_ops": "true"}


def build_strategy(config: ClusterConfig) -> tf.distribute.Strategy:
    """Return the strategy; must be called before any other use of TensorFlow's devices.

    On GPUs it also sets flags of XLA in the environment of this process.

    Raises:
      UserError: the TPU or the cluster of the settings is missing.
    """
    import tensorflow as tf

    logs.silence_loaded_tensorflow()
    # XLA reads its flags once, when the devices are created. Listing physical devices creates none.
    if tf.config.list_physical_devices("GPU"):
        _add_xla_flags(GPU_XLA_FLAGS | (DETERMINISTIC_XLA_FLAGS if config.deterministic else {}))
    kind = _choose() if config.strategy == "auto" else config.strategy
    strategy = _create(kind, config)
    device = tf.config.list_logical_devices()[-1].device_type if kind != "tpu" else "TPU"
    flags = f", XLA_FLAGS={xla_flags}" if (xla_flags := os.environ.get("XLA_FLAGS")) else ""
    logging.info(f"running on {strategy.num_replicas_in_sync} x {device} ({kind} strategy){flags}")
    return strategy


def _add_xla_flags(flags: dict[str, str]) -> None:
    """Add flags to the environment variable XLA_FLAGS, except those that it already has.

    Args:
      flags: value of each flag.
    """
    given = os.environ.get("XLA_FLAGS", "").strip()
    if given and not given.startswith("-"):  # XLA reads the flags from the file of this name
        missing = " ".join(f"{name}={value}" for name, value in flags.items())
        logging.warning(
            f"XLA_FLAGS={given} is a file with flags; add {missing} to it for speed on GPUs"
        )
        return
    present = {word.partition("=")[0] for word in given.split()}
    added = [f"{name}={value}" for name, value in flags.items() if name not in present]
    if added:
        os.environ["XLA_FLAGS"] = " ".join([*filter(None, [given]), *added])


def device_kind(strategy: tf.distribute.Strategy) -> str:
    """Return what a strategy computes on, a key of `model.kernels.devices.DEVICES`.

    TensorFlow does not report the kind of TPU; the environment variable TPU_ACCELERATOR_TYPE has it.
    """
    import tensorflow as tf

    if isinstance(strategy, tf.distribute.TPUStrategy):
        tpu = tpu_of_type(os.environ.get("TPU_ACCELERATOR_TYPE", ""))
        return tpu.device_kind if tpu else "tpu"
    gpus = tf.config.list_physical_devices("GPU")
    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    versions = {each.get("compute_capability", (0, 0))[0] for each in details}
    if versions == {_HOPPER}:
        return "hopper"
    if any(0 < version < _AMPERE for version in versions):
        return "pre-ampere"
    return "gpu" if gpus else "cpu"


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Return whether this process writes checkpoints, logs and reports."""
    return strategy.extended.should_checkpoint


def _create(kind: str, config: ClusterConfig) -> tf.distribute.Strategy:
    import tensorflow as tf

    if kind == "multi_worker":
        if not _num_workers():
            raise UserError(
                "ClusterConfig.strategy='multi_worker' needs the environment variable TF_CONFIG with"
                ' the cluster: {"cluster": {"worker": ["host:port", ...]}, "task": {"type":'
                ' "worker", "index": 0}}'
            )
        return tf.distribute.MultiWorkerMirroredStrategy()
    if kind == "tpu":
        return _tpu_strategy(config.tpu or os.environ.get("TPU_NAME", "local"))
    if kind == "stand_in":
        return _stand_in_strategy(config.tpu)
    if kind == "mirrored":
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def _choose() -> str:
    """Return the kind of strategy for a cluster, a TPU, several GPUs, or one device."""
    import tensorflow as tf

    if _num_workers() > 1:
        return "multi_worker"
    if "TPU_NAME" in os.environ or os.path.exists("/dev/accel0"):
        return "tpu"
    # Tests divide the CPU into several logical devices.
    for device_type in ("GPU", "CPU"):
        if len(tf.config.list_logical_devices(device_type)) > 1:
            return "mirrored"
    return "default"


def _num_workers() -> int:
    text = os.environ.get("TF_CONFIG") or "{}"
    try:
        cluster = json.loads(text).get("cluster", {})
        return len(cluster.get("worker", [])) + len(cluster.get("chief", []))
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise UserError(
            f"the environment variable TF_CONFIG does not describe a cluster: {error}: {text}"
        ) from None


def _tpu_strategy(name: str) -> tf.distribute.Strategy:
    import tensorflow as tf

    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=name)
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except tf.errors.UnavailableError:
        raise  # a host of a slice is lost
    except (tf.errors.NotFoundError, tf.errors.OpError, ValueError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"ClusterConfig.tpu={name!r}: no TPU could be reached ({reason}); on a TPU VM install"
            " tensorflow-tpu in place of tensorflow, elsewhere set another ClusterConfig.strategy"
        ) from None
    return tf.distribute.TPUStrategy(resolver)


def _stand_in_strategy(addresses: str) -> tf.distribute.Strategy:
    import tensorflow as tf

    from launch.stand_in import StandInStrategy

    if not addresses.startswith("grpc://"):
        raise UserError(
            f"ClusterConfig.tpu={addresses!r}: ClusterConfig.strategy='stand_in' needs the addresses of"
            " TensorFlow servers, like 'grpc://10.0.0.2:8470,grpc://10.0.0.3:8470'"
        )
    resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=addresses)
    tf.config.experimental_connect_to_cluster(resolver)
    found = [tf.DeviceSpec.from_string(d.name) for d in tf.config.list_logical_devices("CPU")]
    cores = [device for device in found if device.job == resolver.task_type]
    cores.sort(key=lambda device: (device.task, device.device_index))
    return StandInStrategy([core.to_string() for core in cores])


def remote_hosts(strategy: tf.distribute.Strategy) -> list[str]:
    """Return the CPU devices of the hosts of a TPU slice, or of its stand-in, which this process drives.

    Each runs a server in a process of its own, also the host that this process runs on. Empty if the replicas
    are in this process.
    """
    import tensorflow as tf

    from launch.stand_in import StandInStrategy

    if not isinstance(strategy, (tf.distribute.TPUStrategy, StandInStrategy)):
        return []
    replicas = [tf.DeviceSpec.from_string(name) for name in strategy.extended.worker_devices]
    hosts = [replica.replace(device_type="CPU", device_index=0) for replica in replicas]
    return list(dict.fromkeys(host.to_string() for host in hosts if host.job != "localhost"))


def is_multi_worker(strategy: tf.distribute.Strategy) -> bool:
    """Return whether several processes run the same program under a strategy."""
    import tensorflow as tf

    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


class Workers:
    """The processes under a strategy, for agreement. All of them must call the methods together."""

    def __init__(self, strategy: tf.distribute.Strategy):
        """Use the devices of a strategy to exchange values."""
        import tensorflow as tf

        def sum_over_replicas(value: tf.Tensor) -> tf.Tensor:
            values = strategy.run(lambda: tf.identity(value))
            return strategy.reduce(tf.distribute.ReduceOp.SUM, values, axis=None)

        self._strategy = strategy
        self._sum_over_replicas = tf.function(sum_over_replicas, autograph=False)

    @property
    def are_several(self) -> bool:
        """Whether other processes take part."""
        return is_multi_worker(self._strategy)

    def means(self, *values: float) -> list[float]:
        """Return the means of each worker's values, the same on all workers."""
        import tensorflow as tf

        if not self.are_several:
            return list(values)
        sums = self._sum_over_replicas(tf.constant(values, tf.float32)).numpy()
        means: list[float] = (sums / self._strategy.num_replicas_in_sync).tolist()
        return means

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set on any worker."""
        return self.means(flag)[0] > 0

    def require_same_step(self, step: int) -> None:
        """Raise a UserError unless all workers resume from the same step."""
        import tensorflow as tf

        powers = tf.constant([step, step**2], tf.float64)
        total, squares = self._sum_over_replicas(powers).numpy()
        if total**2 != self._strategy.num_replicas_in_sync * squares:
            raise UserError(
                f"this worker resumes at step {step}, another worker at a different step: all"
                " workers need the same --model_dir, on a shared disk"
            )
