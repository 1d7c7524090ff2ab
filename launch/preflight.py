"""Looks whether this machine can run a job, before it begins.

    python -m launch.preflight --data_dir D --model_dir M [--tpu | --gpus N]
    python -m launch.preflight --data_dir D --gin_file gin/lambert_large.gin --accelerator v5e-8 --tpu

Each line is one check; the exit code is 2 if any failed. What is not given is not looked at. With the
settings of a run there is a table of what fits into the memory of its devices, as launch.plan has it.
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

import numpy as np

from data import files
from data.errors import UserError, run_main
from data.manifest import Manifest
from launch.config import ClusterConfig
from launch.plan.micro_batch import HEADROOM, known_machine
from launch.plan.planner import Assumptions, make_plan
from launch.plan.settings import load_subject
from launch.plan.text import memory_lines
from launch.worker.stage import remote_errors

DISTRIBUTION = "lambert-pretrain"
# Requests to storage are signed with the time; Google's refuses from 15 minutes on.
_MAX_CLOCK_SKEW_SECONDS = 60.0
_TPU_KERNEL = "TPUExecute"


def main(argv: Sequence[str]) -> None:
    """Parses the command line and runs the checks."""
    args = _parser().parse_args(argv)
    if args.accelerator and not (args.gin_file or args.gin_param):
        raise UserError(
            "--accelerator is for the table of what fits, which needs the settings of the run: give"
            " --gin_file"
        )
    failed = []
    for name, check in _checks(args):
        try:
            mark, said = "ok", check()
        except UserError as error:
            mark, said = "FAIL", str(error)
        except Exception as error:  # what a broken installation throws cannot be foreseen
            mark, said = "FAIL", " ".join(f"{type(error).__name__}: {error}".split())[:200]
        if mark == "FAIL":
            failed.append(name)
        print(f"preflight: {mark:4}  {name:11}  {said}", flush=True)
    if failed:
        checks = "1 check" if len(failed) == 1 else f"{len(failed)} checks"
        raise UserError(
            f"preflight: {checks} failed on {socket.gethostname()}: {', '.join(failed)}"
        )


def _parser() -> argparse.ArgumentParser:
    from pretrain.gin_files import add_gin_flags

    parser = argparse.ArgumentParser(
        prog="python -m launch.preflight",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    devices = parser.add_mutually_exclusive_group()
    devices.add_argument("--tpu", action="store_true", help="the machine must have a TPU")
    devices.add_argument("--gpus", type=_count, help="the machine must have so many", metavar="N")
    parser.add_argument("--data_dir", help="a build", metavar="D")
    parser.add_argument(
        "--sizes_only", action="store_true", help="compare the sizes of the build's files only"
    )
    parser.add_argument("--model_dir", help="must be writable", metavar="M")
    parser.add_argument(
        "--free_gb", type=_gigabytes, default=10.0, help="needed on local disks; 10 without it"
    )
    add_gin_flags(parser)
    parser.add_argument(
        "--accelerator",
        help="of the whole job, as of launch.plan; that of LaunchConfig without it",
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
    if args.tpu:
        yield "kernels", check_tpu_kernels
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
    """Every requirement of this package is met; tensorflow-tpu counts as tensorflow."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    installed = {
        canonicalize_name(distribution.metadata["Name"]): distribution.version
        for distribution in importlib.metadata.distributions()
        if distribution.metadata["Name"]
    }
    if {"tensorflow", "tensorflow-tpu"} <= installed.keys():
        raise UserError(
            "tensorflow and tensorflow-tpu are both installed and have overwritten each other's files;"
            " install into a new environment with launch/install.sh"
        )
    has = dict(installed)
    if "tensorflow-tpu" in has:
        has["tensorflow"] = has["tensorflow-tpu"]
    wanted = [
        Requirement(text)
        for text in importlib.metadata.requires(DISTRIBUTION) or []
        if "extra ==" not in text
    ]
    for requirement in wanted:
        found = has.get(canonicalize_name(requirement.name))
        if found is None or not requirement.specifier.contains(found, prereleases=True):
            raise UserError(
                f"{requirement} is needed, {found or 'none'} is installed; install with launch/install.sh"
            )
    flavor = "tensorflow-tpu" if "tensorflow-tpu" in installed else "tensorflow"
    return (
        f"Python {platform.python_version()}, {flavor} {has['tensorflow']},"
        f" {len(wanted)} requirements met"
    )


def check_tpu_kernels() -> str:
    """This TensorFlow has kernels for TPUs: the common one knows the names of these operations only."""
    import tensorflow  # noqa: F401  registers its kernels
    from tensorflow.python.framework import kernels

    if not kernels.get_registered_kernels_for_op(_TPU_KERNEL).kernel:
        raise UserError(
            f"this TensorFlow has no kernel for {_TPU_KERNEL}: it is not tensorflow-tpu; install with"
            " `launch/install.sh PYTHON tpu`"
        )
    return f"{_TPU_KERNEL} is registered"


def check_devices(tpu: bool, gpus: int | None) -> str:
    """The devices that were asked for are there."""
    import tensorflow as tf

    found = [device.device_type for device in tf.config.list_physical_devices()]
    if tpu:
        devices = _strategy(tpu, gpus).num_replicas_in_sync
        return f"a TPU with {devices} cores"
    if gpus is not None and found.count("GPU") != gpus:
        raise UserError(
            f"TensorFlow finds {found.count('GPU')} GPUs, {gpus} are asked for"
            " (LaunchConfig.gpus_per_node); are driver and CUDA libraries there?"
        )
    return ", ".join(f"{found.count(kind)} x {kind}" for kind in sorted(set(found)))


def check_step(tpu: bool, gpus: int | None) -> str:
    """A compiled step of a linear model, summed over the devices, gives the exact gradient.

    All numbers are small integers, which bfloat16 holds exactly, so that every device must give
    the same.
    """
    import tensorflow as tf

    inputs = (np.arange(16 * 8).reshape(16, 8) % 3).astype(np.float32)
    weights = (np.arange(8 * 4).reshape(8, 4) % 5 - 2).astype(np.float32)
    strategy = _strategy(tpu, gpus)
    with strategy.scope():
        variable = tf.Variable(weights)

    # On a TPU everything is compiled anyway; XLA cannot tell the CPUs of a machine cut in pieces apart.
    can_compile = not tpu and (bool(gpus) or strategy.num_replicas_in_sync == 1)

    @tf.function(jit_compile=can_compile or None)
    def gradient():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.matmul(inputs, variable) ** 2) / 2
        return tape.gradient(loss, variable)

    @tf.function
    def step():
        return strategy.reduce("SUM", strategy.run(gradient), axis=None)

    found, replicas = step().numpy(), strategy.num_replicas_in_sync
    expected = replicas * inputs.T @ (inputs @ weights)
    if not np.array_equal(found, expected):
        worst = np.abs(found - expected).max()
        raise UserError(
            f"the gradient of a small model is wrong by up to {worst:g} on these devices"
        )
    return f"the gradient of a small model, summed over {replicas} devices, is exact"


def _strategy(tpu: bool, gpus: int | None):
    """Of this machine alone, whatever TF_CONFIG says of others."""
    from launch.strategy import build_strategy

    kind = "tpu" if tpu else "mirrored" if gpus and gpus > 1 else "default"
    return build_strategy(ClusterConfig(strategy=kind))


def check_data(data_dir: str, sizes_only: bool) -> str:
    """The build is whole."""
    with remote_errors(data_dir):
        manifest = Manifest.load(data_dir)
        manifest.load_vocab(data_dir)
        if not sizes_only:
            for file in manifest.files:
                file.check_content(data_dir)
    compared = "sizes" if sizes_only else "sha256"
    return f"{len(manifest.files)} files, {compared} as in manifest {manifest.sha256[:8]}"


def check_memory(args: argparse.Namespace) -> str:
    """The micro-batch of the settings fits into the memory of a device, by the figures of launch.plan."""
    subject = load_subject(
        gin_files=args.gin_file,
        gin_params=args.gin_param,
        strict=args.strict_gin,
        accelerator=args.accelerator,
        data_dir=args.data_dir,
    )
    plan = make_plan(subject.run, subject.build, known_machine(subject.accelerator), Assumptions())
    for line in memory_lines(plan):
        print(f"preflight:       {line}")
    way, has = plan.configured, subject.accelerator.memory_bytes
    took = (
        f"{way.step.micro_batch} at once x {way.step.turns} take {way.total_bytes / 1e9:.2f} of"
        f" {has / 1e9:.2f} GB of a device of {subject.accelerator.name}"
    )
    # Up to here nothing is certain but that more than all of it is too much.
    if way.total_bytes > has:
        raise UserError(f"{took}; set TrainConfig.micro_batch_size={plan.chosen.step.micro_batch}")
    return took if way.fits else f"{took}: less than {HEADROOM:.0%} is left free"


def check_model_dir(model_dir: str) -> str:
    """Files can be written, read, listed and removed there."""
    name, content = f".preflight-{uuid.uuid4().hex}", os.urandom(4096)
    path = files.join(model_dir, name)
    with remote_errors(model_dir):
        files.write_atomically(path, content)
        try:
            if files.read_bytes(path) != content or name not in files.list_dir(model_dir):
                raise UserError(f"{path} was written, but something else is read back")
        finally:
            files.remove(path)
        if files.exists(path):
            raise UserError(f"{path} was removed, but is still there")
    return f"{model_dir}: written, read back, listed and removed"


def check_disk(places: Sequence[str], free_gb: float) -> str:
    """Local disks have room."""
    said = []
    for place in dict.fromkeys(places):
        while not os.path.exists(place):
            place = os.path.dirname(os.path.abspath(place))
        free = shutil.disk_usage(place).free / 1e9
        if free < free_gb:
            raise UserError(f"{place} has {free:.1f} GB free, --free_gb asks for {free_gb:g}")
        said.append(f"{place} {free:.0f} GB free")
    return ", ".join(dict.fromkeys(said))


def check_clock(model_dir: str) -> str:
    """The clock of this machine agrees with that of the storage."""
    path = files.join(model_dir, f".preflight-{uuid.uuid4().hex}")
    with remote_errors(model_dir):
        before = time.time()
        files.write_atomically(path, b"?")
        after = time.time()
        written = files.modified_seconds(path)
        files.remove(path)
    if not written:
        return f"{model_dir} tells no times"
    skew = max(before - written, written - after, 0.0)
    if skew > _MAX_CLOCK_SKEW_SECONDS:
        raise UserError(
            f"this machine's clock is {skew:.0f} s away from that of {model_dir}; set it (chrony, ntp)"
        )
    return f"within {max(skew, 1):.0f} s of that of {model_dir}"


if __name__ == "__main__":
    run_main(main)
