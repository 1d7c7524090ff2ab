"""Settings of training. Bound by gin in pretrain/gin_files.py."""

from __future__ import annotations

import dataclasses

from data.errors import UserError, check_maxima

MAX_BATCH = 2**20
_LARGE = 2**31 - 1
# Above these, numbers are mistakes that would end in a full memory or an overflow much later.
_MAXIMA = {
    **dict.fromkeys(("global_batch_size", "micro_batch_size", "eval_batch_size"), MAX_BATCH),
    **dict.fromkeys(("train_steps", "logits_chunk_size", "steps_per_loop", "log_interval"), _LARGE),
    **dict.fromkeys(("eval_interval", "checkpoint_interval", "keep_checkpoints"), _LARGE),
    **dict.fromkeys(("keep_every", "max_bad_steps"), _LARGE),
    "seed": 2**62,  # several seeds of fine-tuning are consecutive numbers
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of the training loop.

    A batch has at most 1,048,576 sequences, other counts are at most 2**31 - 1.

    Attributes:
      train_steps: optimizer updates.
      global_batch_size: sequences per update, over all devices.
      micro_batch_size: sequences that a device processes together; 0 means its whole share of the
        batch. Smaller micro-batches accumulate gradients, which saves memory; the gradient is equal up
        to rounding.
      rematerialize_blocks: gradient checkpointing: keep only the input of each block for the backward
        pass and compute the rest again. Costs about a third more work, allows much larger
        micro-batches.
      logits_chunk_size: predictions whose logits a device holds together in training; 0 means all of
        a micro-batch. The backward pass computes them again.
      jit_compile: "on" compiles the forward and backward pass with XLA, "off" runs operation by
        operation, "auto" is on for GPUs. CPUs are faster without (oneDNN multiplies matrices faster);
        TPUs always compile everything.
      attention: "xla" leaves attention to XLA, or to a library where XLA does not compile the step;
        "kernel" uses kernels for TPUs or GPUs (model/kernels) in training, in all blocks but the last,
        and is an error where there is none; "auto" uses kernels where there are some and they have
        been measured to be faster (`model.kernels.devices.DEVICES`): on Hopper GPUs. "cudnn" is the
        fused attention of cuDNN, for GPUs and without dropout of the attention weights.
      eval_batch_size: sequences per evaluation batch, over all devices.
      steps_per_loop: maximum number of updates on the devices without returning to Python. A loop has
        fewer if they take more than some seconds.
      log_interval: steps between rows of metrics.jsonl.
      eval_interval: steps between evaluations; 0 evaluates at the end only.
      checkpoint_interval: steps between checkpoints; 0 saves at the end only.
      keep_checkpoints: newest checkpoints to keep.
      keep_every: keep checkpoints at multiples of this step for good; 0 keeps none.
      spike_threshold: skip a step whose loss, or without clipping whose gradient norm, is this many
        standard deviations above the median of the last 128 steps, but at most three in a row; 0 skips
        none. Steps with NaN or Inf are always skipped.
      max_bad_steps: stop the run when more of the last 128 steps were skipped.
      precision: "float32", or "mixed_bfloat16" for bfloat16 compute on float32 weights.
      seed: seed of the initial weights, of dropout and of the order of the data; at most 2**62.
      wandb_project: Weights & Biases project that receives the metrics too; "" for none.
    """

    train_steps: int = 200_000
    global_batch_size: int = 8192
    micro_batch_size: int = 0
    rematerialize_blocks: bool = False
    logits_chunk_size: int = 0
    jit_compile: str = "auto"
    attention: str = "auto"
    eval_batch_size: int = 1024
    steps_per_loop: int = 100
    log_interval: int = 100
    eval_interval: int = 5000
    checkpoint_interval: int = 1000
    keep_checkpoints: int = 5
    keep_every: int = 0
    spike_threshold: float = 0.0
    max_bad_steps: int = 10
    precision: str = "mixed_bfloat16"
    seed: int = 12345
    wandb_project: str = ""

    def __post_init__(self) -> None:
        at_least_one = "train_steps global_batch_size eval_batch_size steps_per_loop log_interval"
        for name in [*at_least_one.split(), "keep_checkpoints"]:
            if getattr(self, name) < 1:
                raise UserError(f"TrainConfig.{name}={getattr(self, name)}: must be at least 1")
        at_least_zero = "micro_batch_size logits_chunk_size eval_interval checkpoint_interval"
        at_least_zero += " keep_every spike_threshold max_bad_steps seed"
        for name in at_least_zero.split():
            if getattr(self, name) < 0:
                raise UserError(f"TrainConfig.{name}={getattr(self, name)}: is negative")
        check_maxima(self, _MAXIMA)
        if self.precision not in ("float32", "mixed_bfloat16"):
            raise UserError(
                f"TrainConfig.precision={self.precision!r}: must be 'float32' or 'mixed_bfloat16'"
            )
        if self.jit_compile not in ("auto", "on", "off"):
            raise UserError(
                f"TrainConfig.jit_compile={self.jit_compile!r}: must be 'auto', 'on' or 'off'"
            )
        if self.attention not in ("auto", "xla", "kernel", "cudnn"):
            raise UserError(
                f"TrainConfig.attention={self.attention!r}: must be 'auto', 'xla', 'kernel'"
                " or 'cudnn'"
            )
