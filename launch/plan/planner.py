"""All figures of a plan, from settings, machines and assumptions. No TensorFlow: a plan takes a second."""

from __future__ import annotations

import dataclasses
import math

from data.config import BuildConfig
from data.errors import UserError
from data.storage.records import ExampleCodec
from data.vocab import token_dtype
from launch.accelerators.machines import Accelerator
from launch.plan import failures
from launch.plan.allreduce import all_reduce_seconds
from launch.plan.costs import (
    FITTED_SIZES,
    OTHER_SIZES_ERROR,
    Step,
    flops_of_sequence,
    num_parameters,
)
from launch.plan.micro_batch import (
    FORMULA,
    Machine,
    Option,
    evaluated,
    options,
    remedies,
    savings,
    suggested,
)
from pretrain.config import RunConfig
from pretrain.recipe import passes
from pretrain.train.recipe import check_settings

# Copies of the state on the host, and files written of them: docs/training.md, 400 MB in 0.1 s and 2 s.
_COPY_BYTES_PER_SECOND, _WRITE_BYTES_PER_SECOND = 4e9, 200e6
# Facts about a chip that --json writes.
_CHIP_FIGURES = (
    *("name", "peak_flops_per_second", "memory_bytes", "memory_bytes_per_second"),
    *("link_bytes_per_second", "network_bytes_per_second", "devices", "counted", "sizes"),
    *("most_chips", "chips_per_host", "torus_chips"),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Assumptions:
    """What the settings of a run do not say.

    Attributes:
      sequences: of the training split; None if not known.
      as_configured: take the micro-batch of the settings, not the suggestion.
      price_per_chip_hour: None if not known.
      grace_seconds: between the notice of a preemption and the end.
      failures_per_day: of the whole job; None takes those of chips in large clusters.
      restart_seconds: from a failure until the run goes on.
      most_lost: share of the time that failures and saves may cost.
      reader_rates: sequences a second and core that were measured, by InputConfig.masks.
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
    """Bytes of the training split on disk, and how often it is seen.

    Attributes:
      sequences: of the training split, each once.
      packed_bytes: unmasked, with a byte for the sources of each.
      record_bytes: of one masked record.
      masked_bytes: of all masked copies.
      passes: over the sequences in the whole run.
      copies: masks of a sequence that differ.
    """

    sequences: int
    packed_bytes: int
    record_bytes: int
    masked_bytes: int
    passes: float
    copies: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Saving:
    """Checkpoints: how large, how long, how often.

    Attributes:
      bytes: of one.
      kept: how many are there at the same time, at least.
      stop_seconds: for which one stops training.
      write_seconds: until it is committed.
      grace_seconds: between the notice of a preemption and the end.
      safe_steps_per_loop: most steps without a look at the notice, so that a save still fits; 0 if
        none does.
      failures_per_day: of all machines.
      interval: TrainConfig.checkpoint_interval; a run that never saves has all its steps.
      lost_share: of the time, with that interval.
      best_interval: steps that lose least.
      longest_interval: most steps that lose at most `most_lost`; None if nothing does.
      most_lost: a share of the time.
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
    """All figures. Times do not contain evaluations and waiting for input.

    Attributes:
      run: settings; vocab_size is known.
      machine: what it is planned for.
      parameters: trained.
      flops_per_update: over all devices, with what is computed twice to save memory.
      ways: every micro-batch, the largest first.
      savings: the suggestion with each setting that saves memory.
      configured: the way that the settings say.
      chosen: the way that everything below is for.
      exchange_seconds: of an update, for the gradients.
      error: of the seconds on a device; 0 for a compiled step, whose error nobody has measured.
      assumptions: the rest of the input.
      storage: None if the number of sequences is not known.
    """

    run: RunConfig
    machine: Machine
    parameters: int
    flops_per_update: float
    ways: list[Option]
    savings: dict[str, Option | None]
    configured: Option
    chosen: Option
    exchange_seconds: float
    error: float
    assumptions: Assumptions
    storage: Storage | None
    saving: Saving

    @property
    def update_seconds(self) -> float:
        """Of an update, all devices together."""
        return self.chosen.seconds + self.exchange_seconds

    @property
    def sequences_per_second(self) -> float:
        """Over all devices."""
        return self.run.train.global_batch_size / self.update_seconds

    @property
    def days(self) -> float:
        """Of all updates and of what failures cost; infinite if they cost all."""
        if self.saving.lost_share >= 1:
            return math.inf
        seconds = self.run.train.train_steps * self.update_seconds
        return seconds / (1 - self.saving.lost_share) / failures.SECONDS_OF_DAY

    @property
    def chip_hours(self) -> float:
        """That are paid for."""
        return 24 * self.days * self.machine.accelerator.chips

    @property
    def cost(self) -> float | None:
        """In the currency of the price."""
        price = self.assumptions.price_per_chip_hour
        return None if price is None else price * self.chip_hours

    @property
    def peak_share(self) -> float:
        """Of the peak of all devices: the figure that a run reports, counting nothing twice."""
        accelerator = self.machine.accelerator
        peak = accelerator.peak_flops_per_second * accelerator.devices
        step = dataclasses.replace(
            self.chosen.step, rematerialize_blocks=False, logits_chunk_size=0
        )
        useful = self.run.train.global_batch_size * flops_of_sequence(step)
        return useful / self.update_seconds / peak if peak else math.nan


def make_plan(
    run: RunConfig, build: BuildConfig, machine: Machine, assumptions: Assumptions
) -> Plan:
    """Puts a plan together.

    Args:
      run: settings; vocab_size must be known.
      build: settings of the data.
      machine: what to plan for.
      assumptions: the rest.

    Raises:
      UserError: batches do not divide, or nothing fits into the memory.
    """
    devices, train = machine.accelerator.devices, run.train
    check_settings(train, run.optimizer, replicas=devices)
    batch = train.global_batch_size // devices
    step = Step(
        encoder=run.encoder,
        seq_length=build.max_seq_length,
        max_predictions=build.max_predictions,
        batch=batch,
        micro_batch=min(train.micro_batch_size or batch, batch),
        rematerialize_blocks=train.rematerialize_blocks,
        logits_chunk_size=train.logits_chunk_size,
        precision=train.precision,
        optimizer=run.optimizer.optimizer,
    )
    ways, configured = options(step, machine), evaluated(step, machine)
    chosen = configured if assumptions.as_configured else suggested(ways)
    if chosen is None or not chosen.fits:
        raise _too_large(chosen or ways[-1], step, machine)
    exchange = all_reduce_seconds(machine.accelerator, 4 * num_parameters(run.encoder))
    return Plan(
        run=run,
        machine=machine,
        parameters=num_parameters(run.encoder),
        flops_per_update=train.global_batch_size * flops_of_sequence(step),
        ways=ways,
        savings=savings(step, machine),
        configured=configured,
        chosen=chosen,
        exchange_seconds=exchange,
        error=_error(chosen, machine),
        assumptions=assumptions,
        storage=_storage(run, build, assumptions.sequences) if assumptions.sequences else None,
        saving=_saving(run, machine, chosen.seconds + exchange, assumptions),
    )


def _error(way: Option, machine: Machine) -> float:
    if way.source != FORMULA:
        return 0.0
    error = machine.device(way.step.precision).error
    sizes = (way.step.encoder.hidden_size, way.step.seq_length)
    return error if sizes == FITTED_SIZES else max(error, OTHER_SIZES_ERROR)


def _too_large(way: Option, step: Step, machine: Machine) -> UserError:
    return UserError(
        f"--accelerator {machine.accelerator.name}: an update with {way.step.micro_batch} at once needs"
        f" {way.total_bytes / 1e9:.2f} GB of {way.room_bytes / 1e9:.2f} GB"
        f" ({machine.accelerator.memory_bytes / 1e9:.2f} GB less {machine.headroom:.0%}):"
        f" {'; or '.join(remedies(step, machine))}"
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


def _saving(run: RunConfig, machine: Machine, seconds: float, assumptions: Assumptions) -> Saving:
    """`seconds` are those of an update."""
    state_bytes = run.optimizer.properties.state_bytes_per_parameter
    num_bytes = (4 + state_bytes) * num_parameters(run.encoder)
    stop, write = num_bytes / _COPY_BYTES_PER_SECOND, num_bytes / _WRITE_BYTES_PER_SECOND
    a_day = assumptions.failures_per_day
    if a_day is None:
        a_day = failures.failures_per_day(machine.accelerator.chips)
    between = failures.SECONDS_OF_DAY / a_day
    interval = run.train.checkpoint_interval or run.train.train_steps
    longest = failures.longest_interval(
        assumptions.most_lost,
        save_seconds=stop,
        between_seconds=between,
        restart_seconds=assumptions.restart_seconds,
    )
    best = failures.best_interval(save_seconds=stop, between_seconds=between)
    return Saving(
        bytes=num_bytes,
        kept=run.train.keep_checkpoints,
        stop_seconds=stop,
        write_seconds=write,
        grace_seconds=assumptions.grace_seconds,
        safe_steps_per_loop=max(int((assumptions.grace_seconds - stop - write) / seconds), 0),
        failures_per_day=a_day,
        interval=interval,
        lost_share=failures.lost_share(
            interval * seconds,
            save_seconds=stop,
            between_seconds=between,
            restart_seconds=assumptions.restart_seconds,
        ),
        best_interval=max(round(best / seconds), 1),
        longest_interval=longest and max(int(longest / seconds), 1),
        most_lost=assumptions.most_lost,
    )


def figures(plan: Plan) -> dict:
    """The numbers of a plan, with their units in their names, as JSON takes them."""

    def way(option: Option | None) -> dict | None:
        return option and {
            "micro_batch_size": option.step.micro_batch,
            "accumulated": option.step.turns,
            "rematerialize_blocks": option.step.rematerialize_blocks,
            "logits_chunk_size": option.step.logits_chunk_size,
            "total_bytes": option.total_bytes,
            "fits": option.fits,
            "seconds": option.seconds,
            "source": option.source,
            "bytes": dataclasses.asdict(option.memory),
        }

    accelerator = plan.machine.accelerator
    return {
        "accelerator": _accelerator_figures(accelerator),
        "devices": accelerator.devices,
        "hosts": accelerator.hosts,
        "room_bytes_per_device": plan.machine.room_bytes,
        "settings": dataclasses.asdict(plan.run),
        "parameters": plan.parameters,
        "flops_per_update": plan.flops_per_update,
        "chosen": way(plan.chosen),
        "configured": way(plan.configured),
        "ways": list(map(way, plan.ways)),
        "savings": {name: way(option) for name, option in plan.savings.items()},
        "exchange_seconds": plan.exchange_seconds,
        "update_seconds": plan.update_seconds,
        "error_of_seconds": plan.error,
        "sequences_per_second": plan.sequences_per_second,
        "peak_share": _finite(plan.peak_share),
        "days": _finite(plan.days),
        "chip_hours": _finite(plan.chip_hours),
        "cost": _finite(plan.cost),
        "storage": plan.storage and dataclasses.asdict(plan.storage),
        "saving": dataclasses.asdict(plan.saving),
        "assumptions": dataclasses.asdict(plan.assumptions),
    }


def _accelerator_figures(accelerator: Accelerator) -> dict:
    chip = {name: getattr(accelerator.chip, name) for name in _CHIP_FIGURES}
    return {"name": accelerator.name, "chip": chip, "chips": accelerator.chips}


def _finite(value: float | None) -> float | None:
    """JSON has no other numbers."""
    return value if value is not None and math.isfinite(value) else None
