"""Memory and time of an update, from formulas: what the plan goes by where nothing was compiled.

Memory of a device, in bytes; c is 2 for bfloat16 compute and 4 for float32, N parameters, b sequences
at once, S positions, P predictions, H hidden, F feed-forward, A heads, V pieces:

    weights             4 N
    their copies        c K                       of the K parameters in kernels, where c is 2
    moments             8 N                       over the devices that share them, if they do
    batch               12 (S + P)                for each sequence of the device
    activations of a sequence
      a block           c (A S^2 + 8 S H + S F)   scores; queries, keys, values, what the heads find, two
                                                  sums and two norms; the inner layer
      the last block    c (A P S + 2 S H + 7 P H + P F)
      embeddings        (c + 4) S H               their sum is float32
      head              3 c P H
      rematerialised    c S H a block, and the largest block once
    logits              c b P V                   or 2 c C V + 4 V H with chunks of C predictions
    gradients           4 N                       they come while activations go: at the end of the
                                                  backward pass those of a block are left
      accumulated       4 N, and c V H for the table in the compute type, beside activations and logits

Seconds of an update are those of the products, at a share of the peak, and those of traffic to memory:

    weights             2 c N, 3 c N if blocks are rematerialised, for each micro-batch
    gradients           4 N, or 8 N for sums over micro-batches, for each micro-batch
    table               (c + 8) V H for each chunk of predictions
    scores              6 passes, forward and backward, where those of a micro-batch fill the chip
    optimizer           44 N with LAMB, 34 N with AdamW, at 0.85 of the bandwidth

What is fitted, and to what, is in docs/plan.md, with the error for each compiled row.
"""

from __future__ import annotations

import dataclasses
import functools
import math

from launch.accelerators.chips import Chip
from model.config import EncoderConfig
from model.flops import training_flops
from model.names import weights
from optim.config import OPTIMIZERS

_OPTIMIZER_SHARE = 0.85  # of the bandwidth of the memory
_SCORE_PASSES = 6  # through memory, forward and backward, of scores that do not fit on the chip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Device:
    """What computes the step of one replica.

    Attributes:
      flops_per_second: peak.
      memory_bytes_per_second: of its memory.
      on_chip_bytes: where scores may stay between products.
      matmul_share: of the peak that forward and backward pass reach; fitted.
      error: of the seconds of an update, by the fit; a share.
    """

    flops_per_second: float
    memory_bytes_per_second: float
    on_chip_bytes: float
    matmul_share: float
    error: float


# The fits are to steps of H=1024, S=512; elsewhere their errors are at least this.
FITTED_SIZES, OTHER_SIZES_ERROR = (1024, 512), 0.25


def device(chip: Chip, *, parts: int) -> Device:
    """Return the device of a chip, or of one of the equal parts into which a chip is divided."""
    fit = chip.step_time
    return Device(
        flops_per_second=chip.peak_flops_per_second / parts,
        memory_bytes_per_second=chip.memory_bytes_per_second / parts,
        on_chip_bytes=fit.on_chip_bytes / parts,
        matmul_share=fit.matmul_share,
        error=fit.error,
    )


def measured_device(flops_per_second: float, *, error: float) -> Device:
    """A device of which whole updates were measured: everything is in their speed."""
    return Device(
        flops_per_second=flops_per_second,
        memory_bytes_per_second=math.inf,
        on_chip_bytes=math.inf,
        matmul_share=1.0,
        error=error,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Step:
    """What a device does for an update.

    Attributes:
      encoder: the architecture; vocab_size must be known.
      seq_length: S.
      max_predictions: P.
      batch: sequences of the device.
      micro_batch: b, sequences at once; divides `batch`.
      rematerialize_blocks: as in TrainConfig.
      logits_chunk_size: C, as in TrainConfig; 0 for all at once.
      precision: as in TrainConfig.
      optimizer: as in OptimizerConfig.
      sharded_by: devices that share the moments and the update; 1 if every device has all.
    """

    encoder: EncoderConfig
    seq_length: int = 512
    max_predictions: int = 76
    batch: int
    micro_batch: int
    rematerialize_blocks: bool = False
    logits_chunk_size: int = 0
    precision: str = "mixed_bfloat16"
    optimizer: str = "lamb"
    sharded_by: int = 1

    @property
    def turns(self) -> int:
        """Micro-batches of an update."""
        return self.batch // self.micro_batch

    @property
    def compute_bytes(self) -> int:
        """c, of an activation."""
        return 2 if self.precision == "mixed_bfloat16" else 4


@functools.cache
def num_parameters(encoder: EncoderConfig) -> int:
    """N, of all trained weights: there is no pooler."""
    return sum(math.prod(weight.shape) for weight in weights(encoder, "encoder", "head"))


@functools.cache
def num_copied(encoder: EncoderConfig) -> int:
    """K, of the kernels, of which model/compute_weights.py keeps copies in the compute type."""
    found = weights(encoder, "encoder", "head")
    return sum(math.prod(weight.shape) for weight in found if weight.is_kernel)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes of a device, by what they hold.

    Attributes:
      weights: float32.
      copies: of weights, in the compute type.
      moments: two of the optimizer, float32.
      batch: ids, masks and weights of the device's sequences.
      gradients: float32; with micro-batches their sums.
      compute_weights: others in the compute type, kept through the loop over micro-batches.
      activations: of the sequences at once, kept for the backward pass.
      last_block: of the activations, what is left beside all gradients.
      logits: of the sequences, or of the predictions, at once.
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
        """What is there between two updates."""
        return self.weights + self.copies + self.moments + self.batch

    @property
    def temporaries(self) -> int:
        """What an update needs beside, at its worst moment."""
        kept = self.activations + self.logits
        if self.is_accumulating:
            return self.gradients + self.compute_weights + kept
        return max(self.gradients + self.last_block, kept)

    @property
    def total(self) -> int:
        """At the worst moment."""
        return self.arguments + self.temporaries


def memory(step: Step) -> Memory:
    """Memory of a device for an update; the formulas are at the top of this file."""
    parameters, c = num_parameters(step.encoder), step.compute_bytes
    optimizer = OPTIMIZERS[step.optimizer]
    is_accumulating, is_mixed = step.turns > 1, c < 4
    table = step.encoder.vocab_size * step.encoder.hidden_size
    return Memory(
        weights=4 * parameters,
        copies=c * num_copied(step.encoder) if is_mixed else 0,
        moments=optimizer.state_bytes_per_parameter * parameters // step.sharded_by,
        batch=12 * (step.seq_length + step.max_predictions) * step.batch,
        gradients=4 * parameters,
        compute_weights=c * table if is_accumulating and is_mixed else 0,
        activations=step.micro_batch * activations_of_sequence(step),
        last_block=step.micro_batch * _block(step),
        logits=_logits(step),
        is_accumulating=is_accumulating,
    )


def activations_of_sequence(step: Step) -> int:
    """Bytes that the forward pass of one sequence keeps for the backward pass, without logits."""
    s, p, c, e = step.seq_length, step.max_predictions, step.compute_bytes, step.encoder
    h, f, a = e.hidden_size, e.intermediate_size, e.num_attention_heads
    block = _block(step)
    last_block = c * (a * p * s + 2 * s * h + 7 * p * h + p * f)
    around = (c + 4) * s * h + 3 * c * p * h
    blocks = e.num_hidden_layers - 1
    if step.rematerialize_blocks:
        return (blocks + 1) * c * s * h + (block if blocks else last_block) + around
    return blocks * block + last_block + around


def _block(step: Step) -> int:
    """Bytes that one sequence keeps of a block at all positions."""
    s, e = step.seq_length, step.encoder
    inner = 8 * s * e.hidden_size + s * e.intermediate_size
    return step.compute_bytes * (e.num_attention_heads * s * s + inner)


def _logits(step: Step) -> int:
    c, vocab = step.compute_bytes, step.encoder.vocab_size
    predictions = step.micro_batch * step.max_predictions
    if 0 < step.logits_chunk_size < predictions:
        return 2 * c * step.logits_chunk_size * vocab + 4 * vocab * step.encoder.hidden_size
    return c * predictions * vocab


def flops_of_sequence(step: Step) -> float:
    """Operations for a sequence, with what is computed a second time to save memory."""
    e, p = step.encoder, step.max_predictions
    flops = training_flops(e, seq_length=step.seq_length, max_predictions=p)
    head = 2 * p * e.hidden_size * e.vocab_size
    if step.rematerialize_blocks:
        flops += flops / 3 - head  # a third is the forward pass
    if step.logits_chunk_size:
        flops += head
    return flops


def update_seconds(step: Step, device: Device) -> float:
    """Seconds of an update on a device, without exchange with others and without input."""
    products = step.batch * flops_of_sequence(step)
    products /= device.flops_per_second * device.matmul_share
    traffic = _weight_bytes(step) + _score_bytes(step, device)
    return products + traffic / device.memory_bytes_per_second + optimizer_seconds(step, device)


def optimizer_seconds(step: Step, device: Device) -> float:
    """Part of `update_seconds` that does not depend on the batch."""
    update_bytes = OPTIMIZERS[step.optimizer].update_bytes_per_parameter
    num_bytes = update_bytes * num_parameters(step.encoder) / step.sharded_by
    return num_bytes / (device.memory_bytes_per_second * _OPTIMIZER_SHARE)


def _weight_bytes(step: Step) -> float:
    """To and from memory in an update: weights in each pass over them, gradients and their sums."""
    c, e = step.compute_bytes, step.encoder
    passes = 3 if step.rematerialize_blocks else 2
    gradients = 8 if step.turns > 1 else 4  # a sum is read and written
    a_turn = (passes * c + gradients) * num_parameters(e)
    predictions = step.micro_batch * step.max_predictions
    if 0 < step.logits_chunk_size < predictions:
        chunks = math.ceil(predictions / step.logits_chunk_size)
        a_turn += chunks * (c + 8) * e.vocab_size * e.hidden_size
    return step.turns * a_turn


def _score_bytes(step: Step, device: Device) -> float:
    """To and from memory in an update: scores of attention that do not stay on the chip."""
    e = step.encoder
    scores = step.compute_bytes * e.num_attention_heads * step.seq_length**2
    if step.micro_batch * scores < device.on_chip_bytes:
        return 0.0
    return _SCORE_PASSES * step.batch * (e.num_hidden_layers - 1) * scores
