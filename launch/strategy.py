"""From a description of the machines to a tf.distribute strategy."""

from __future__ import annotations

import json
import os

from launch.config import ClusterConfig


def build_strategy(config: ClusterConfig):
    """Creates the strategy; must run before any other use of TensorFlow's devices.

    Raises:
      ValueError: the machines asked for are not there; the message says what is missing.
    """
    import tensorflow as tf

    kind = _choose() if config.strategy == "auto" else config.strategy
    if kind == "multi_worker":
        if not _num_workers():
            raise ValueError(
                "ClusterConfig.strategy='multi_worker' needs the environment variable TF_CONFIG with"
                ' the cluster: {"cluster": {"worker": ["host:port", ...]}, "task": {"type":'
                ' "worker", "index": 0}}'
            )
        return tf.distribute.MultiWorkerMirroredStrategy()
    if kind == "tpu":
        return _tpu_strategy(config.tpu)
    if kind == "mirrored":
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def is_chief(strategy) -> bool:
    """Whether this process writes checkpoints, logs and reports."""
    return strategy.extended.should_checkpoint


def _choose() -> str:
    """The strategy for what is there: a cluster, a TPU, several GPUs, or one device."""
    import tensorflow as tf

    if _num_workers() > 1:
        return "multi_worker"
    if "TPU_NAME" in os.environ:
        return "tpu"
    # Several logical CPUs are a machine cut in pieces, as tests do.
    for device_type in ("GPU", "CPU"):
        if len(tf.config.list_logical_devices(device_type)) > 1:
            return "mirrored"
    return "default"


def _num_workers() -> int:
    try:
        cluster = json.loads(os.environ.get("TF_CONFIG") or "{}").get("cluster", {})
    except ValueError as error:
        raise ValueError(f"the environment variable TF_CONFIG is not JSON: {error}") from None
    return len(cluster.get("worker", [])) + len(cluster.get("chief", []))


def _tpu_strategy(name: str):
    import tensorflow as tf

    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=name)
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (tf.errors.NotFoundError, tf.errors.OpError, ValueError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(
            f"ClusterConfig.tpu={name!r}: no TPU could be reached ({reason}); on a TPU VM install"
            " tensorflow-tpu in place of tensorflow, elsewhere choose another ClusterConfig.strategy"
        ) from None
    return tf.distribute.TPUStrategy(resolver)
