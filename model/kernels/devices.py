"""Kinds of devices: which kernels each has, and where attention takes them by default.

The one table of this is DEVICES; docs/performance.md has the evidence for each row.
"""

from __future__ import annotations

import dataclasses

from model.kernels.texts import HEAD_SIZE, lengths

_LARGEST_HEAD_SIZE_OF_CUDNN = 128


@dataclasses.dataclass(frozen=True, kw_only=True)
class Device:
    """Kind of device, with the kernels that it has.

    Attributes:
      name: the device in a message.
      kernels: first part of the names of its kernels, a key of `model.kernels.forms.KERNELS`; "" if it has
        none.
      is_default: whether TrainConfig.attention = 'auto' uses them.
      problem: why there are none.
    """

    name: str
    kernels: str = ""
    is_default: bool = False
    problem: str = ""


# By what `launch.strategy.device_kind` returns. 'auto' uses kernels where they were timed on the device
# itself and were faster.
DEVICES = {
    "hopper": Device(name="a Hopper GPU", kernels="gpu", is_default=True),
    "gpu": Device(name="a GPU", kernels="gpu"),
    "pre-ampere": Device(
        name="a GPU older than Ampere",
        problem="XLA compiles kernels for GPUs of compute capability 8.0 and more only",
    ),
    "v6e": Device(name="a TPU v6e", kernels="tpu"),
    "v5p": Device(name="a TPU v5p", kernels="tpu"),
    "v5e": Device(name="a TPU v5e", kernels="tpu"),
    "v4": Device(name="a TPU v4", kernels="tpu"),
    "v3": Device(name="a TPU v3", problem="the TPU compiler refuses the kernels for this TPU"),
    "tpu": Device(
        name="an unknown TPU",
        problem="some TPUs have no kernels; say which this is in the environment variable"
        " TPU_ACCELERATOR_TYPE, such as v5litepod-8, or change the setting",
    ),
    "cpu": Device(name="a CPU", problem="there are kernels for TPUs and GPUs only"),
}


def problem(device: str, *, positions: int, heads: int, head_size: int, dtype: str) -> str:
    """Return why a device has no kernel for these sizes; "" if it has one.

    Args:
      device: key of DEVICES.
      positions: length of a sequence.
      heads: attention heads.
      head_size: size of a head.
      dtype: compute type.
    """
    kernels = DEVICES[device].kernels
    if not kernels:
        return DEVICES[device].problem
    if dtype != "bfloat16":
        return "kernels compute in bfloat16: TrainConfig.precision must be 'mixed_bfloat16'"
    if head_size != HEAD_SIZE:
        return f"heads have size {head_size}, and kernels are for heads of size {HEAD_SIZE}"
    if kernels == "tpu" and heads % 2:
        return f"EncoderConfig.num_attention_heads={heads} is odd, and kernels take heads in pairs"
    if positions not in lengths(kernels):
        available = ", ".join(map(str, lengths(kernels)))
        return f"sequences have {positions} tokens, and kernels are for {available} tokens"
    return ""


def cudnn_device_problem(device: str) -> str:
    """Return why a device, a key of DEVICES, lacks the attention of cuDNN; "" if it has it."""
    if DEVICES[device].kernels == "gpu":
        return ""
    return "it is for GPUs of compute capability 8.0 and more"


def cudnn_problem(device: str, *, head_size: int, dtype: str, dropout: float) -> str:
    """Return why a device cannot use the attention of cuDNN; "" if it can.

    Args:
      device: key of DEVICES.
      head_size: size of a head.
      dtype: compute type.
      dropout: probability to drop an attention weight.
    """
    if problem := cudnn_device_problem(device):
        return problem
    if dropout:
        return (
            f"EncoderConfig.attention_probs_dropout_prob={dropout} must be 0: a resumed run could not"
            " repeat cuDNN's masks"
        )
    if dtype != "bfloat16":
        return "it computes in bfloat16: TrainConfig.precision must be 'mixed_bfloat16'"
    if head_size % 8 or head_size > _LARGEST_HEAD_SIZE_OF_CUDNN:
        return (
            f"heads have size {head_size}, and it takes multiples of 8 up to"
            f" {_LARGEST_HEAD_SIZE_OF_CUDNN}"
        )
    return ""
