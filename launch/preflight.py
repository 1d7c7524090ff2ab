"""Check that this machine can run a job, before it starts.

    python -m launch.preflight --data_dir D --model_dir M [--tpu | --slice_host | --gpus N]
    python -m launch.preflight --data_dir D --gin_file gin/lambert_large.gin --accelerator v5e-8 --tpu

Each line is one check; the exit code is 2 if any failed. Only what is given on the command line is checked.
With the settings of a run, the table of micro-batches of launch.plan shows what fits into a device's memory.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import math
import os
import platform
import shutil
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from data import files
from data.cli.main import run_main
from data.cli.parser import CommandParser
from data.errors import UserError
from data.manifest import Manifest
from launch.config import ClusterConfig
from launch.plan.micro_batch import DEFAULT_HEADROOM, load_machine
from launch.plan.planner import Assumptions, make_plan
from launch.plan.settings import load_plan_input
from launch.plan.text import memory_lines
from launch.strategy import build_strategy
from launch.worker.stage import storage_errors_as_user_errors
from pretrain.gin_files import add_gin_flags

if TYPE_CHECKING:
    import tensorflow as tf

DISTRIBUTION = "lambert-pretrain"
# Requests to storage are signed with the time; Google's storage refuses a difference of 15 minutes.
_MAX_CLOCK_SKEW_SECONDS = 60.0
_TPU_KERNEL = "TPUExecute"


def main(argv: Sequence[str]) -> None:
    """Parse the command line and run the checks."""
    args = _parser().parse_args(argv)
    if args.accelerator and not (args.gin_file or args.gin_param):
        raise UserError(
            f"--accelerator {args.accelerator}: the check of the memory needs the settings of the run: give"
            " --gin_file"
        )
    failed = []
    for name, check in _checks(args):
        try:
            mark, message = "ok", check()
        except UserError as error:
            mark, message = "FAIL", str(error)
        except Exception as error:  # a broken installation may raise anything
            mark, message = "FAIL", " ".join(f"{type(error).__name__}: {error}".split())[:200]
        if mark == "FAIL":
            failed.append(name)
        print(f"preflight: {mark:4}  {name:11}  {message}", flush=True)
    if failed:
        checks = "1 check" if len(failed) == 1 else f"{len(failed)} checks"
        raise UserError(
            f"preflight: {checks} failed on {socket.gethostname()}: {', '.join(failed)}"
        )


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="python -m launch.preflight",
        description=__doc__,
    )
    devices = parser.add_mutually_exclusive_group()
    devices.add_argument("--tpu", action="store_true", help="the machine must have a TPU")
    devices.add_argument(
        "--slice_host",
        action="store_true",
        help="the machine is one of several hosts of a TPU slice, whose devices are not checked",
    )
    devices.add_argument(
        "--gpus",
        type=_count,
        help="number of GPUs it must have (default: not checked)",
        metavar="N",
    )
    parser.add_argument("--data_dir", help="build to check (default: none)", metavar="D")
    parser.add_argument(
        "--sizes_only", action="store_true", help="compare only the sizes of the build's files"
    )
    parser.add_argument(
        "--model_dir", help="directory that must be writable (default: none)", metavar="M"
    )
    parser.add_argument(
        "--free_gb", type=_gigabytes, default=10.0, help="free space needed on local disks, in GB"
    )
    add_gin_flags(parser)
    parser.add_argument(
        "--accelerator",
        help="machines of the whole job, see launch.plan; default: those of LaunchConfig",
        metavar="A",
    )
    return parser


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text}: must be a number, 0 or more")
    return int(text)


def _gigabytes(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not value >= 0:
        raise argparse.ArgumentTypeError(f"{text}: must be a number, 0 or more")
    return value


def _checks(args: argparse.Namespace) -> Iterator[tuple[str, Callable[[], str]]]:
    yield "versions", check_versions
    if args.tpu or args.slice_host:
        yield "kernels", check_tpu_kernels
    if not args.slice_host:  # see launch.slice, which checks the devices of all hosts together
        yield "devices", lambda: check_devices(args.tpu, args.gpus)
        yield "step", lambda: check_step(args.tpu, args.gpus)
    if args.data_dir:
        yield "data", lambda: check_data(args.data_dir, args.sizes_only)
    if args.gin_file or args.gin_param:
        yield "memory", lambda: check_memory(args)
    if args.model_dir:
        yield "model_dir", lambda: check_model_dir(args.model_dir)
    local = [path for path in (args.data_dir, args.model_dir) if path and not files.is_remote(path)]
    yield "disk", lambda: check_disk([*local, os.environ.get("TMPDIR", "/tmp")], args.free_gb)
    if args.model_dir:
        yield "clock", lambda: check_clock(args.model_dir)


def check_versions() -> str:
    """Check that every requirement of this package is installed; tensorflow-tpu counts as tensorflow."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    installed: dict[str, str] = {
        canonicalize_name(distribution.metadata["Name"]): distribution.version
        for distribution in importlib.metadata.distributions()
        if distribution.metadata["Name"]
    }
    if {"tensorflow", "tensorflow-tpu"} <= installed.keys():
        raise UserError(
            "tensorflow and tensorflow-tpu are both installed and have overwritten each other's files;"
            " install into a new environment with launch/install.sh"
        )
    versions = dict(installed)
    if "tensorflow-tpu" in versions:
        versions["tensorflow"] = versions["tensorflow-tpu"]
    requirements = [
        Requirement(text)
        for text in importlib.metadata.requires(DISTRIBUTION) or []
        if "extra ==" not in text
    ]
    for requirement in requirements:
        version = versions.get(canonicalize_name(requirement.name))
        if version is None or not requirement.specifier.contains(version, prereleases=True):
            raise UserError(
                f"{requirement} is needed, {version or 'none'} is installed; install with launch/install.sh"
            )
    flavor = "tensorflow-tpu" if "tensorflow-tpu" in installed else "tensorflow"
    return (
        f"Python {platform.python_version()}, {flavor} {versions['tensorflow']},"
        f" {len(requirements)} requirements met"
    )


def check_tpu_kernels() -> str:
    """Check that this TensorFlow has kernels for TPUs; the common wheel only declares the operations."""
    import tensorflow  # noqa: F401  registers its kernels
    from tensorflow.python.framework import kernels

    if not kernels.get_registered_kernels_for_op(_TPU_KERNEL).kernel:
        raise UserError(
            f"this TensorFlow has no kernel for {_TPU_KERNEL}: it is not tensorflow-tpu; install with"
            " `launch/install.sh PYTHON tpu`"
        )
    return f"{_TPU_KERNEL} is registered"


def check_devices(tpu: bool, gpus: int | None) -> str:
    """Check that TensorFlow finds the devices."""
    import tensorflow as tf

    kinds = [device.device_type for device in tf.config.list_physical_devices()]
    if tpu:
        devices = _strategy(tpu, gpus).num_replicas_in_sync
        return f"a TPU with {devices} cores"
    if gpus is not None and kinds.count("GPU") != gpus:
        raise UserError(
            f"TensorFlow finds {kinds.count('GPU')} GPUs, {gpus} are needed"
            " (LaunchConfig.gpus_per_node); are the driver and the CUDA libraries installed?"
        )
    return ", ".join(f"{kinds.count(kind)} x {kind}" for kind in sorted(set(kinds)))


def check_step(tpu: bool, gpus: int | None) -> str:
    """Check that a compiled step of a linear model, summed over the devices, gives the exact gradient.

    All numbers are small integers, which are exact in bfloat16, so the result does not depend on the
    device.
    """
    import tensorflow as tf

    inputs = (np.arange(16 * 8).reshape(16, 8) % 3).astype(np.float32)
    weights = (np.arange(8 * 4).reshape(8, 4) % 5 - 2).astype(np.float32)
    strategy = _strategy(tpu, gpus)
    with strategy.scope():
        variable = tf.Variable(weights)

    # A TPU compiles everything anyway; XLA cannot distinguish several logical CPUs of one machine.
    can_compile = not tpu and (bool(gpus) or strategy.num_replicas_in_sync == 1)

    @tf.function(jit_compile=can_compile or None)
    def gradient() -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.matmul(inputs, variable) ** 2) / 2
        return tape.gradient(loss, variable)

    @tf.function
    def step() -> tf.Tensor:
        return strategy.reduce("SUM", strategy.run(gradient), axis=None)

    result, replicas = step().numpy(), strategy.num_replicas_in_sync
    expected = replicas * inputs.T @ (inputs @ weights)
    if not np.array_equal(result, expected):
        worst = np.abs(result - expected).max()
        raise UserError(
            f"the gradient of a small model is wrong by up to {worst:g} on these devices"
        )
    return f"the gradient of a small model, summed over {replicas} devices, is exact"


def _strategy(tpu: bool, gpus: int | None) -> tf.distribute.Strategy:
    """Return the strategy of this machine alone, without the others in TF_CONFIG."""
    kind = "tpu" if tpu else "mirrored" if gpus and gpus > 1 else "default"
    return build_strategy(ClusterConfig(strategy=kind))


def check_data(data_dir: str, sizes_only: bool) -> str:
    """Check that a build is complete and undamaged."""
    with storage_errors_as_user_errors(data_dir):
        manifest = Manifest.load(data_dir)
        manifest.load_vocab(data_dir)
        if not sizes_only:
            for file in manifest.files:
                file.check_content(data_dir)
    compared = "sizes" if sizes_only else "sha256"
    return f"{len(manifest.files)} files, {compared} as in manifest {manifest.sha256[:8]}"


def check_memory(args: argparse.Namespace) -> str:
    """Check that the configured micro-batch fits into a device's memory, by the figures of launch.plan."""
    plan_input = load_plan_input(
        gin_files=args.gin_file,
        gin_params=args.gin_param,
        strict=args.strict_gin,
        accelerator=args.accelerator,
        data_dir=args.data_dir,
    )
    machine = load_machine(plan_input.accelerator)
    plan = make_plan(plan_input.run, plan_input.build, machine, Assumptions())
    for line in memory_lines(plan):
        print(f"preflight:       {line}")
    configured, memory_bytes = plan.configured, plan_input.accelerator.memory_bytes
    usage = (
        f"micro-batches of {configured.step.micro_batch} take {configured.total_bytes / 1e9:.2f} of"
        f" {memory_bytes / 1e9:.2f} GB of a device of {plan_input.accelerator.name}"
    )
    # The figures are estimates, so only more than the whole memory is certain to be too much.
    if configured.total_bytes > memory_bytes:
        raise UserError(f"{usage}; set TrainConfig.micro_batch_size={plan.chosen.step.micro_batch}")
    return usage if configured.fits else f"{usage}: less than {DEFAULT_HEADROOM:.0%} is left free"


def check_model_dir(model_dir: str) -> str:
    """Check that files can be written, read, listed and removed in a directory."""
    name, content = f".preflight-{uuid.uuid4().hex}", os.urandom(4096)
    path = files.join(model_dir, name)
    with storage_errors_as_user_errors(model_dir):
        files.write_atomically(path, content)
        try:
            if files.read_bytes(path) != content or name not in files.list_dir(model_dir):
                raise UserError(f"{path} was written, but reads back differently")
        finally:
            files.remove(path)
        if files.exists(path):
            raise UserError(f"{path} was removed, but is still there")
    return f"{model_dir}: written, read back, listed and removed"


def check_disk(paths: Sequence[str], free_gb: float) -> str:
    """Check the free space of local disks."""
    results = []
    for path in dict.fromkeys(paths):
        while not os.path.exists(path):
            path = os.path.dirname(os.path.abspath(path))
        free = shutil.disk_usage(path).free / 1e9
        if free < free_gb:
            raise UserError(f"{path} has {free:.1f} GB free, --free_gb {free_gb:g} needs more")
        results.append(f"{path} {free:.0f} GB free")
    return ", ".join(dict.fromkeys(results))


def check_clock(model_dir: str) -> str:
    """Check that the clock of this machine agrees with the clock of the storage."""
    path = files.join(model_dir, f".preflight-{uuid.uuid4().hex}")
    with storage_errors_as_user_errors(model_dir):
        before = time.time()
        files.write_atomically(path, b"?")
        after = time.time()
        written = files.modified_seconds(path)
        files.remove(path)
    if not written:
        return f"{model_dir} has no times of files"
    skew = max(before - written, written - after, 0.0)
    if skew > _MAX_CLOCK_SKEW_SECONDS:
        raise UserError(
            f"this machine's clock differs by {skew:.0f} s from that of {model_dir}; set it (chrony, ntp)"
        )
    return f"within {max(skew, 1):.0f} s of that of {model_dir}"


if __name__ == "__main__":
    run_main(main)
