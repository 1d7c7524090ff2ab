"""Make a plan: all its figures, from settings, machines and assumptions.

Only a plan for this CPU loads TensorFlow, to measure it; others take a second.
"""

from __future__ import annotations

import dataclasses
import math

from data.config import BuildConfig
from data.errors import UserError
from data.storage.records import ExampleCodec
from data.vocab import token_dtype
from launch.accelerators.costs import (
    FITTED_SIZES,
    KERNEL,
    OTHER_SIZES_ERROR,
    XLA,
    Step,
    exchanged_weight_bytes,
    flops_of_sequence,
    num_parameters,
)
from launch.plan import failures
from launch.plan.allreduce import allreduce_seconds
from launch.plan.micro_batch import (
    COMPILED,
    Candidate,
    Machine,
    all_candidates,
    best,
    evaluate,
    suggest_changes,
    with_memory_savings,
)
from pretrain.config import RunConfig
from pretrain.recipe import passes
from pretrain.train.recipe import check_settings, choose_kernels

# To copy the state on the host, and to write it: docs/training.md measured 0.1 s and 2 s for 400 MB.
_COPY_BYTES_PER_SECOND, _WRITE_BYTES_PER_SECOND = 4e9, 200e6


@dataclasses.dataclass(frozen=True, kw_only=True)
class Assumptions:
    """Input of a plan that the settings of a run do not contain.

    Attributes:
      sequences: sequences of the training split; None if not known.
      as_configured: take the configured micro-batch instead of the best one.
      price_per_chip_hour: price in any currency; None if not known.
      grace_seconds: seconds from the notice of a preemption to the end.
      failures_per_day: failures of the whole job; None takes those of chips in large clusters.
      restart_seconds: seconds from a failure until the run resumes.
      most_lost: share of the time that failures and saves may cost.
      reader_rates: measured sequences per second and core, by InputConfig.masks.
    """

    sequences: int | None = None
    as_configured: bool = False
    price_per_chip_hour: float | None = None
    grace_seconds: float = 30.0
    failures_per_day: float | None = None
    restart_seconds: float = 300.0
    most_lost: float = 0.01
    reader_rates: dict[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Storage:
    """Size of the training split on disk, and how often it is read.

    Attributes:
      sequences: sequences of the training split, each counted once.
      packed_bytes: unmasked sequences, with a byte for the sources of each.
      record_bytes: one masked record.
      masked_bytes: all masked copies.
      passes: passes over the sequences in the whole run.
      copies: different masks of a sequence.
    """

    sequences: int
    packed_bytes: int
    record_bytes: int
    masked_bytes: int
    passes: float
    copies: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checkpointing:
    """Size, duration and interval of checkpoints.

    Attributes:
      bytes: bytes of a checkpoint.
      kept: checkpoints on disk at the same time.
      stop_seconds: seconds that a save stops training.
      write_seconds: seconds until a checkpoint is committed.
      grace_seconds: seconds from the notice of a preemption to the end.
      safe_steps_per_loop: largest TrainConfig.steps_per_loop with which a save still fits after a notice; 0
        if none does.
      failures_per_day: failures of all machines.
      interval: TrainConfig.checkpoint_interval; all steps of a run that never saves.
      lost_share: share of the time lost with that interval.
      best_interval: steps between checkpoints at which least time is lost.
      longest_interval: most steps at which at most `most_lost` is lost; None if none do.
      most_lost: share of the time that may be lost.
    """

    bytes: int
    kept: int
    stop_seconds: float
    write_seconds: float
    grace_seconds: float
    safe_steps_per_loop: int
    failures_per_day: float
    interval: int
    lost_share: float
    best_interval: int
    longest_interval: int | None
    most_lost: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """All figures. Times do not contain evaluation and waiting for input.

    Attributes:
      run: settings of the run; vocab_size is known.
      machine: machine of the plan.
      parameters: number of trained parameters.
      flops_per_update: operations of all devices, including recomputation that saves memory.
      candidates: every micro-batch, the largest first.
      memory_savings: best candidate with each combination of the settings that save memory.
      configured: candidate with the configured micro-batch.
      chosen: candidate that all figures below are for.
      allreduce_seconds: seconds of an update for the all-reduce of gradients.
      error: relative error of the seconds on a device; 0 for a compiled step, whose error is not known.
      assumptions: the rest of the input.
      storage: storage of the data; None if the number of sequences is not known.
      checkpointing: checkpoints and failures.
    """

    run: RunConfig
    machine: Machine
    parameters: int
    flops_per_update: float
    candidates: list[Candidate]
    memory_savings: dict[str, Candidate | None]
    configured: Candidate
    chosen: Candidate
    allreduce_seconds: float
    error: float
    assumptions: Assumptions
    storage: Storage | None
    checkpointing: Checkpointing

    @property
    def update_seconds(self) -> float:
        """Seconds of an update of all devices."""
        return self.chosen.seconds + self.allreduce_seconds

    @property
    def sequences_per_second(self) -> float:
        """Sequences per second of all devices."""
        return self.run.train.global_batch_size / self.update_seconds

    @property
    def days(self) -> float:
        """Days of the whole run with failures; infinite if failures leave no time."""
        if self.checkpointing.lost_share >= 1:
            return math.inf
        seconds = self.run.train.train_steps * self.update_seconds
        return seconds / (1 - self.checkpointing.lost_share) / failures.SECONDS_PER_DAY

    @property
    def chip_hours(self) -> float:
        """Billed chip-hours."""
        return 24 * self.days * self.machine.accelerator.chips

    @property
    def cost(self) -> float | None:
        """Cost of the run, in the currency of the price; None if there is no price."""
        price = self.assumptions.price_per_chip_hour
        return None if price is None else price * self.chip_hours

    @property
    def model_flops_utilization(self) -> float:
        """Share of the peak of all devices, without recomputation, as a run reports it; NaN on a CPU."""
        accelerator = self.machine.accelerator
        peak = accelerator.peak_flops_per_second * accelerator.devices
        step = dataclasses.replace(
            self.chosen.step, rematerialize_blocks=False, logits_chunk_size=0
        )
        model_flops = self.run.train.global_batch_size * flops_of_sequence(step)
        return model_flops / self.update_seconds / peak if peak else math.nan


def make_plan(
    run: RunConfig, build: BuildConfig, machine: Machine, assumptions: Assumptions
) -> Plan:
    """Return the plan of a run.

    Args:
      run: settings of the run; vocab_size must be known.
      build: settings of its data.
      machine: machine of the plan.
      assumptions: the rest of the input.

    Raises:
      UserError: a batch does not divide evenly, nothing fits into the memory, or there are no kernels for
        attention that is to be by kernels.
    """
    devices, train = machine.accelerator.devices, run.train
    check_settings(train, run.optimizer, replicas=devices)
    batch = train.global_batch_size // devices
    kernels = choose_kernels(
        train,
        run.encoder,
        device=machine.accelerator.chip.device_kind,
        seq_length=build.max_seq_length,
    )
    step = Step(
        encoder=run.encoder,
        seq_length=build.max_seq_length,
        max_predictions=build.max_predictions,
        batch=batch,
        micro_batch=min(train.micro_batch_size or batch, batch),
        rematerialize_blocks=train.rematerialize_blocks,
        logits_chunk_size=train.logits_chunk_size,
        precision=train.precision,
        attention=KERNEL if kernels else XLA,
        optimizer=run.optimizer.optimizer,
        optimizer_shards=devices if run.optimizer.shard else 1,
        steps_per_loop=train.steps_per_loop,
    )
    candidates, configured = all_candidates(step, machine), evaluate(step, machine)
    chosen = configured if assumptions.as_configured else best(candidates)
    if chosen is None or not chosen.fits:
        raise _too_large(chosen or candidates[-1], step, machine)
    gradient_bytes = 4 * num_parameters(run.encoder)
    allreduce = allreduce_seconds(
        machine.accelerator, gradient_bytes, weight_bytes=exchanged_weight_bytes(step)
    )
    return Plan(
        run=run,
        machine=machine,
        parameters=num_parameters(run.encoder),
        flops_per_update=train.global_batch_size * flops_of_sequence(step),
        candidates=candidates,
        memory_savings=with_memory_savings(step, machine),
        configured=configured,
        chosen=chosen,
        allreduce_seconds=allreduce,
        error=_error(chosen, machine),
        assumptions=assumptions,
        storage=_storage(run, build, assumptions.sequences) if assumptions.sequences else None,
        checkpointing=_checkpointing(run, machine, chosen.seconds + allreduce, assumptions),
    )


def _error(candidate: Candidate, machine: Machine) -> float:
    if candidate.source == COMPILED:
        return 0.0
    error = machine.device(candidate.step).error
    sizes = (candidate.step.encoder.hidden_size, candidate.step.seq_length)
    return error if sizes == FITTED_SIZES else max(error, OTHER_SIZES_ERROR)


def _too_large(candidate: Candidate, step: Step, machine: Machine) -> UserError:
    return UserError(
        f"--accelerator {machine.accelerator.name}: an update with micro-batches of"
        f" {candidate.step.micro_batch} needs {candidate.total_bytes / 1e9:.2f} GB of"
        f" {candidate.budget_bytes / 1e9:.2f} GB ({machine.accelerator.memory_bytes / 1e9:.2f} GB less"
        f" {machine.headroom:.0%}): {'; or '.join(suggest_changes(step, machine))}"
    )


def _storage(run: RunConfig, build: BuildConfig, sequences: int) -> Storage:
    codec = ExampleCodec(
        max_seq_length=build.max_seq_length,
        max_predictions=build.max_predictions,
        vocab_size=run.encoder.vocab_size,
    )
    token_bytes = token_dtype(run.encoder.vocab_size).itemsize
    total, distinct = passes(run.train, sequences, build.copies)
    return Storage(
        sequences=sequences,
        packed_bytes=sequences * (build.max_seq_length * token_bytes + 1),
        record_bytes=codec.record_bytes,
        masked_bytes=sequences * build.copies * codec.record_bytes,
        passes=total,
        copies=distinct,
    )


def _checkpointing(
    run: RunConfig, machine: Machine, update_seconds: float, assumptions: Assumptions
) -> Checkpointing:
    state_bytes = run.optimizer.properties.state_bytes_per_parameter
    num_bytes = (4 + state_bytes) * num_parameters(run.encoder)
    stop, write = num_bytes / _COPY_BYTES_PER_SECOND, num_bytes / _WRITE_BYTES_PER_SECOND
    per_day = assumptions.failures_per_day
    if per_day is None:
        per_day = failures.failures_per_day(machine.accelerator.chips)
    mtbf = failures.SECONDS_PER_DAY / per_day
    interval = run.train.checkpoint_interval or run.train.train_steps
    longest = failures.longest_interval(
        assumptions.most_lost,
        save_seconds=stop,
        mtbf_seconds=mtbf,
        restart_seconds=assumptions.restart_seconds,
    )
    best_seconds = failures.best_interval(save_seconds=stop, mtbf_seconds=mtbf)
    loop_seconds = assumptions.grace_seconds - stop - write
    return Checkpointing(
        bytes=num_bytes,
        kept=run.train.keep_checkpoints,
        stop_seconds=stop,
        write_seconds=write,
        grace_seconds=assumptions.grace_seconds,
        safe_steps_per_loop=max(int(loop_seconds / update_seconds), 0),
        failures_per_day=per_day,
        interval=interval,
        lost_share=failures.lost_share(
            interval * update_seconds,
            save_seconds=stop,
            mtbf_seconds=mtbf,
            restart_seconds=assumptions.restart_seconds,
        ),
        best_interval=max(round(best_seconds / update_seconds), 1),
        longest_interval=None if longest is None else max(int(longest / update_seconds), 1),
        most_lost=assumptions.most_lost,
    )
