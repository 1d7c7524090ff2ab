"""Formulas for memory and time of an update, for steps that were never compiled.

Memory of a device, in bytes. c is 2 for bfloat16 compute and 4 for float32, N parameters, b sequences of a
micro-batch, S tokens, P predictions, H hidden size, F feed-forward size, A heads, V pieces:

    weights             4 N                       and 4 K / devices if the optimizer is sharded, c is 2 and
                                                  loops have several updates
    copies of weights   c K                       of the K parameters in kernels, where c is 2
    moments             8 N                       divided by the devices if the optimizer is sharded
    batch               12 (S + P)                for each sequence of the device
    activations of a sequence
      a block           c (A S^2 + 8 S H + S F)   scores; queries, keys, values, outputs of the heads, two
                                                  sums and two norms; the feed-forward layer
      with kernels      c (8 S H + S F) + 4 A S   a number for each query in place of its scores
      the last block    c (A P S + 2 S H + 7 P H + P F)
      embeddings        (c + 4) S H               their sum is float32
      head              3 c P H
      on TPU v3 and v4  m (A S^2 + 2 S H) a block   dropout masks, where m is 1; m (A P S + 2 P H) in the last
                                                  block, m S H for the embeddings
      on GPUs           times a factor              for what the compiler keeps besides
      rematerialized    c S H a block, and the largest block once
    logits              c b P V                   or 2 c C V + 4 V H with chunks of C predictions
    gradients           4 N                       allocated while activations are freed: at the end of
                                                  the backward pass the activations of one block remain
      accumulated       4 N, and c V H for the embedding table in the compute type, in addition to
                        activations and logits

Seconds of an update are those of the matrix products, at a share of the peak, plus those of memory traffic:

    weights             2 c N, 3 c N if blocks are rematerialized, for each micro-batch
    gradients           4 N, or 8 N for sums over micro-batches, for each micro-batch
    embedding table     (c + 8) V H for each chunk of predictions
    scores              6 passes, forward and backward, if those of a micro-batch exceed on-chip memory;
                        none with attention kernels
    optimizer           44 N with LAMB, 34 N with AdamW, at 0.85 of the bandwidth; if it is sharded, divided
                        by the devices, and 22 N for parts that are cut out and put together, or 10 (N - K)
                        if copies of kernels are exchanged

docs/plan.md says which constants are fitted, and to what, with the error for each compiled row.
"""

from __future__ import annotations

import dataclasses
import functools
import math

from launch.accelerators.chips import Chip
from launch.accelerators.gpus import Gpu
from launch.accelerators.tpus import Tpu
from model.config import EncoderConfig
from model.flops import training_flops
from model.names import weights
from optim.config import OPTIMIZERS

_OPTIMIZER_BANDWIDTH_SHARE = 0.85  # share of the memory's bandwidth that the optimizer reaches
# Traffic of a sharded optimizer besides that of a part, bytes for each parameter that is exchanged in
# float32: all of them, or those besides kernels. Fitted to compiled updates (bench/results/tpu_slices.json).
_SHARDED_BYTES, _OTHERS_BYTES = 22, 10
XLA, KERNEL = "xla", "kernel"
_SCORE_PASSES = 6  # memory passes, forward and backward, over scores that do not fit on the chip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Device:
    """The device that computes the step of a replica.

    Attributes:
      flops_per_second: peak.
      memory_bytes_per_second: memory bandwidth.
      on_chip_bytes: memory on the chip in which attention scores stay between products.
      matmul_share: share of the peak that forward and backward pass reach; fitted.
      error: relative error of the seconds of an update, by the fit.
    """

    flops_per_second: float
    memory_bytes_per_second: float
    on_chip_bytes: float
    matmul_share: float
    error: float


# (hidden size, sequence length) of the steps that the constants were fitted to. At other sizes the error is
# at least OTHER_SIZES_ERROR.
FITTED_SIZES, OTHER_SIZES_ERROR = (1024, 512), 0.25


def device_of_chip(chip: Chip, *, parts: int) -> Device:
    """Return one of the equal parts into which a chip is divided; with 1 part the whole chip."""
    fit = chip.step_time
    assert fit is not None, f"the speed of {chip.name} is measured"
    return Device(
        flops_per_second=chip.peak_flops_per_second / parts,
        memory_bytes_per_second=chip.memory_bytes_per_second / parts,
        on_chip_bytes=fit.on_chip_bytes / parts,
        matmul_share=fit.matmul_share,
        error=fit.error,
    )


def measured_device(flops_per_second: float, *, error: float) -> Device:
    """Return a device whose speed was measured on whole updates, so that traffic costs nothing extra."""
    return Device(
        flops_per_second=flops_per_second,
        memory_bytes_per_second=math.inf,
        on_chip_bytes=math.inf,
        matmul_share=1.0,
        error=error,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Step:
    """The work of a device for an update.

    Attributes:
      encoder: architecture; vocab_size must be known.
      seq_length: S, tokens of a sequence.
      max_predictions: P, predictions of a sequence.
      batch: sequences per device.
      micro_batch: b, sequences of a micro-batch; divides `batch`.
      rematerialize_blocks: see TrainConfig.
      logits_chunk_size: C, see TrainConfig; 0 does not divide the logits.
      precision: see TrainConfig.
      attention: XLA, which keeps scores, or KERNEL, which computes them again.
      optimizer: see OptimizerConfig.
      optimizer_shards: devices that share moments and update; 1 does not shard them.
      steps_per_loop: see TrainConfig.
    """

    encoder: EncoderConfig
    seq_length: int = 512
    max_predictions: int = 76
    batch: int
    micro_batch: int
    rematerialize_blocks: bool = False
    logits_chunk_size: int = 0
    precision: str = "mixed_bfloat16"
    attention: str = XLA
    optimizer: str = "lamb"
    optimizer_shards: int = 1
    steps_per_loop: int = 100

    @property
    def divides_kernels(self) -> bool:
        """Whether updates keep parts of kernels and exchange their copies, see optim/divided_weight.py."""
        return self.optimizer_shards > 1 and self.compute_bytes < 4 and self.steps_per_loop > 1

    @property
    def accumulation_steps(self) -> int:
        """Micro-batches of an update."""
        return self.batch // self.micro_batch

    @property
    def compute_bytes(self) -> int:
        """Bytes of an activation, c."""
        return 2 if self.precision == "mixed_bfloat16" else 4


@functools.cache
def num_parameters(encoder: EncoderConfig) -> int:
    """Return N, the number of trained parameters; there is no pooler."""
    return sum(math.prod(weight.shape) for weight in weights(encoder, "encoder", "head"))


@functools.cache
def num_kernel_parameters(encoder: EncoderConfig) -> int:
    """Return K, the number of parameters of which model/compute_weights.py keeps copies."""
    kernels = [weight for weight in weights(encoder, "encoder", "head") if weight.is_kernel]
    return sum(math.prod(weight.shape) for weight in kernels)


def exchanged_weight_bytes(step: Step) -> int:
    """Return the bytes of new weights of which the devices exchange parts; 0 if none is sharded.

    They are float32, but for kernels of which copies are exchanged in the compute type.
    """
    if step.optimizer_shards == 1:
        return 0
    kernels = num_kernel_parameters(step.encoder) if step.divides_kernels else 0
    return step.compute_bytes * kernels + 4 * (num_parameters(step.encoder) - kernels)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Memory:
    """Memory of a device in bytes, by content.

    Attributes:
      weights: weights in float32.
      copies: copies of kernels in the compute type.
      moments: both moments of the optimizer in float32.
      batch: ids, masks and weights of the device's sequences.
      gradients: gradients in float32; with several micro-batches their sums.
      compute_weights: further weights in the compute type, kept through the loop over micro-batches.
      activations: activations of a micro-batch, kept for the backward pass.
      last_block: part of the activations that remains when all gradients are there.
      logits: logits of a micro-batch or of a chunk of predictions.
      is_accumulating: whether there is more than one micro-batch.
    """

    weights: int
    copies: int
    moments: int
    batch: int
    gradients: int
    compute_weights: int
    activations: int
    last_block: int
    logits: int
    is_accumulating: bool

    @property
    def arguments(self) -> int:
        """Bytes that remain between updates."""
        return self.weights + self.copies + self.moments + self.batch

    @property
    def temporaries(self) -> int:
        """Peak of the additional bytes during an update."""
        forward = self.activations + self.logits
        if self.is_accumulating:
            return self.gradients + self.compute_weights + forward
        return max(self.gradients + self.last_block, forward)

    @property
    def total(self) -> int:
        """Peak of all bytes."""
        return self.arguments + self.temporaries


def memory_on(chip: Chip, step: Step) -> Memory:
    """Return the memory of a device of this chip for an update, by the formulas at the top of this file."""
    keeps_masks = isinstance(chip, Tpu) and not chip.multiplies_integers
    factor = chip.activation_factor if isinstance(chip, Gpu) else 1.0
    return memory(step, factor, mask_bytes=int(keeps_masks))


def memory(step: Step, activation_factor: float = 1.0, *, mask_bytes: int = 0) -> Memory:
    """Return the memory of a device for an update, by the formulas at the top of this file.

    Args:
      step: what the device computes.
      activation_factor: see `Gpu`; 1 on TPUs, and for what has to be kept at least.
      mask_bytes: m, bytes that are kept for each element of a dropout mask.
    """
    parameters, c = num_parameters(step.encoder), step.compute_bytes
    optimizer = OPTIMIZERS[step.optimizer]
    is_accumulating, is_mixed = step.accumulation_steps > 1, c < 4
    table = step.encoder.vocab_size * step.encoder.hidden_size
    kernels = num_kernel_parameters(step.encoder)
    return Memory(
        weights=4 * parameters
        + (4 * kernels // step.optimizer_shards if step.divides_kernels else 0),
        copies=c * kernels if is_mixed else 0,
        moments=optimizer.state_bytes_per_parameter * parameters // step.optimizer_shards,
        batch=12 * (step.seq_length + step.max_predictions) * step.batch,
        gradients=4 * parameters,
        compute_weights=c * table if is_accumulating and is_mixed else 0,
        activations=int(
            activation_factor * step.micro_batch * activations_of_sequence(step, mask_bytes)
        ),
        last_block=int(activation_factor * step.micro_batch * _block(step, mask_bytes)),
        logits=_logits(step),
        is_accumulating=is_accumulating,
    )


def activations_of_sequence(step: Step, mask_bytes: int = 0) -> int:
    """Return the bytes that one sequence keeps for the backward pass, without logits."""
    m, s, p, c, e = (
        mask_bytes,
        step.seq_length,
        step.max_predictions,
        step.compute_bytes,
        step.encoder,
    )
    h, f, a = e.hidden_size, e.intermediate_size, e.num_attention_heads
    block = _block(step, m)
    last_block = c * (a * p * s + 2 * s * h + 7 * p * h + p * f) + m * (a * p * s + 2 * p * h)
    embeddings_and_head = (c + 4 + m) * s * h + 3 * c * p * h
    whole_blocks = e.num_hidden_layers - 1
    if step.rematerialize_blocks:
        block_inputs = e.num_hidden_layers * c * s * h
        return block_inputs + (block if whole_blocks else last_block) + embeddings_and_head
    return whole_blocks * block + last_block + embeddings_and_head


def _block(step: Step, mask_bytes: int) -> int:
    """Return the bytes that one sequence keeps of a block that computes all positions."""
    s, e = step.seq_length, step.encoder
    inner = step.compute_bytes * (8 * s * e.hidden_size + s * e.intermediate_size)
    inner += mask_bytes * 2 * s * e.hidden_size
    if step.attention == KERNEL:
        return inner + 4 * e.num_attention_heads * s
    return inner + (step.compute_bytes + mask_bytes) * e.num_attention_heads * s * s


def _logits(step: Step) -> int:
    c, vocab = step.compute_bytes, step.encoder.vocab_size
    predictions = step.micro_batch * step.max_predictions
    if 0 < step.logits_chunk_size < predictions:
        return 2 * c * step.logits_chunk_size * vocab + 4 * vocab * step.encoder.hidden_size
    return c * predictions * vocab


def flops_of_sequence(step: Step) -> float:
    """Return the operations of a sequence, including recomputation that saves memory."""
    e, p = step.encoder, step.max_predictions
    flops: float = training_flops(e, seq_length=step.seq_length, max_predictions=p)
    head = 2 * p * e.hidden_size * e.vocab_size
    if step.rematerialize_blocks:
        flops += flops / 3 - head  # the forward pass is a third; the head is not recomputed
    if step.logits_chunk_size:
        flops += head
    return flops


def update_seconds(step: Step, device: Device) -> float:
    """Return the seconds of an update on a device, without all-reduce and input."""
    products = step.batch * flops_of_sequence(step)
    products /= device.flops_per_second * device.matmul_share
    traffic = _weight_bytes(step) + _score_bytes(step, device)
    return products + traffic / device.memory_bytes_per_second + optimizer_seconds(step, device)


def optimizer_seconds(step: Step, device: Device) -> float:
    """Return the part of `update_seconds` that does not depend on the batch."""
    parameters = num_parameters(step.encoder)
    update_bytes = OPTIMIZERS[step.optimizer].update_bytes_per_parameter
    num_bytes = update_bytes / step.optimizer_shards * parameters
    if step.divides_kernels:
        num_bytes += _OTHERS_BYTES * (parameters - num_kernel_parameters(step.encoder))
    elif step.optimizer_shards > 1:
        num_bytes += _SHARDED_BYTES * parameters
    return num_bytes / (device.memory_bytes_per_second * _OPTIMIZER_BANDWIDTH_SHARE)


def _weight_bytes(step: Step) -> float:
    """Return the memory traffic of an update for weights, gradients and their sums, in bytes."""
    c, e = step.compute_bytes, step.encoder
    passes = 3 if step.rematerialize_blocks else 2
    gradients = 8 if step.accumulation_steps > 1 else 4  # a sum is read and written
    per_micro_batch = (passes * c + gradients) * num_parameters(e)
    predictions = step.micro_batch * step.max_predictions
    if 0 < step.logits_chunk_size < predictions:
        chunks = math.ceil(predictions / step.logits_chunk_size)
        per_micro_batch += chunks * (c + 8) * e.vocab_size * e.hidden_size
    return step.accumulation_steps * per_micro_batch


def _score_bytes(step: Step, device: Device) -> float:
    """Return the memory traffic of an update for attention scores, in bytes; 0 if they stay on the chip."""
    e = step.encoder
    scores = step.compute_bytes * e.num_attention_heads * step.seq_length**2
    if step.attention == KERNEL or step.micro_batch * scores < device.on_chip_bytes:
        return 0.0
    return _SCORE_PASSES * step.batch * (e.num_hidden_layers - 1) * scores
