"""A plan as text: one screen."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator

from launch.plan.micro_batch import COMPILED, Option
from launch.plan.planner import Plan

_MOST_WAYS = 8


def plan_text(plan: Plan) -> str:
    """The whole plan, in lines of at most 110 characters."""
    wrap = textwrap.TextWrapper(
        110, initial_indent="  ", subsequent_indent="    ", replace_whitespace=False
    )
    sections = {
        "Plan": _head(plan),
        "Memory of a device, GB": memory_lines(plan),
        "Speed": _speed(plan),
        "Data": _data(plan),
        "Checkpoints and failures": _saving(plan),
    }
    return "\n".join(
        line
        for title, lines in sections.items()
        for line in (title, *(part for found in lines for part in wrap.wrap(found)))
    )


def _head(plan: Plan) -> Iterator[str]:
    e, accelerator = plan.run.encoder, plan.machine.accelerator
    yield (
        f"encoder: L={e.num_hidden_layers} H={e.hidden_size} A={e.num_attention_heads}"
        f" F={e.intermediate_size} V={e.vocab_size:,}; {plan.parameters:,} parameters are trained"
    )
    peak = accelerator.peak_flops_per_second
    speed = f", {peak / 1e12:,.0f} TFLOP/s" if peak else ""
    yield (
        f"machines: {accelerator.name}: {_count(accelerator.chips, 'chip')} ="
        f" {_count(accelerator.devices, 'device')} on {_count(accelerator.hosts, 'host')}; a device has"
        f" {_gb(accelerator.memory_bytes)} GB{speed}"
    )
    train = plan.run.train
    yield (
        f"batch: {train.global_batch_size:,} = {_count(accelerator.devices, 'device')} x"
        f" {plan.chosen.step.micro_batch:,} at once x {plan.chosen.step.turns:,} accumulated;"
        f" {plan.flops_per_update / 1e12:,.1f} TFLOP an update"
    )
    if plan.chosen.step.micro_batch != plan.configured.step.micro_batch:
        yield (
            f"to have it so: --gin_param TrainConfig.micro_batch_size={plan.chosen.step.micro_batch}"
            f" (the settings say {plan.configured.step.micro_batch})"
        )


def memory_lines(plan: Plan) -> Iterator[str]:
    """What fits: a line for each micro-batch, and what settings that save memory would allow."""
    yield (
        "at once x turns  weights moments gradients casts activations logits batch   total   s/update"
    )
    for way in _shown(plan):
        yield _way(plan, way)
    room = plan.machine.room_bytes
    yield (
        f"room: {_gb(room)} of {_gb(plan.machine.accelerator.memory_bytes)} GB, {plan.machine.headroom:.0%}"
        " is left free; casts are weights in bfloat16"
    )
    yield (
        "gradients and activations follow each other in one turn, so the total is less than the sum;"
        " c: as compiled"
    )
    yield "with TrainConfig settings that save memory, at best:"
    for name, way in plan.savings.items():
        if way is None:
            yield f"  {name}: does not fit"
        elif way not in plan.ways:
            yield f"  {name}:"
            yield _row(way)


def _shown(plan: Plan) -> list[Option]:
    """Few enough ways for a screen: the chosen one, the configured one, and those around."""
    fitting = [way for way in plan.ways if way.fits]
    around = [way for way in plan.ways if not way.fits][-2:] + fitting
    near = [way.step for way in around[:_MOST_WAYS]] + [plan.chosen.step, plan.configured.step]
    return [way for way in plan.ways if way.step in near]


def _way(plan: Plan, way: Option) -> str:
    if way == plan.chosen:
        return f"{_row(way)}  <- planned"
    if not way.fits:
        return f"{_row(way)}  too large"
    return f"{_row(way)}  <- as set" if way == plan.configured else _row(way)


def _row(way: Option) -> str:
    m, step = way.memory, way.step
    return (
        f"{step.micro_batch:>7,} x {step.turns:<6,} {_gb(m.weights):>7} {_gb(m.moments):>7}"
        f" {_gb(m.gradients):>9} {_gb(m.copies + m.compute_weights):>5} {_gb(m.activations):>11}"
        f" {_gb(m.logits):>6} {_gb(m.batch):>5} {_gb(way.total_bytes):>7}"
        f"{'c' if way.source == COMPILED else ' '} {_seconds(way.seconds):>9}"
    )


def _speed(plan: Plan) -> Iterator[str]:
    chosen, price = plan.chosen, plan.assumptions.price_per_chip_hour
    exchange = (
        f" + {_seconds(plan.exchange_seconds)} s for the gradients" if plan.exchange_seconds else ""
    )
    share = f" ({plan.peak_share:.0%} of the peak)" if not math.isnan(plan.peak_share) else ""
    yield (
        f"an update: {_seconds(chosen.seconds)} s on a device{exchange}: {1 / plan.update_seconds:.3g} a"
        f" second, {_rate(plan.sequences_per_second)} sequences/s{share}"
    )
    yield _worth(plan)
    if math.isinf(plan.days):
        yield f"{plan.run.train.train_steps:,} updates: never, failures come faster than checkpoints"
        return
    took = f"{plan.days:,.1f} days" if plan.days >= 2 else f"{24 * plan.days:,.1f} hours"
    cost = "" if plan.cost is None else f", {plan.cost:,.0f} at {price:g} each"
    yield (
        f"{plan.run.train.train_steps:,} updates: {took} with failures, {plan.chip_hours:,.0f} chip"
        f" hours{cost}; evaluation and waiting for input not counted"
    )


def _worth(plan: Plan) -> str:
    if plan.chosen.source == COMPILED:
        return (
            "seconds on a device: by the cycles of the compiled step (bench/results/tpu.json), the"
            " compiler's estimate; nothing was measured on a TPU"
        )
    if not plan.machine.compiled:
        return (
            f"seconds on a device: by formulas alone, within {plan.error:.0%}: the compiled rows"
            " (bench/results/tpu.json) are not installed"
        )
    return f"seconds on a device: by formulas (docs/plan.md), within {plan.error:.0%}"


def _data(plan: Plan) -> Iterator[str]:
    accelerator, rates = plan.machine.accelerator, plan.assumptions.reader_rates
    a_host = plan.sequences_per_second / accelerator.hosts
    masks = plan.run.input.masks
    known = (
        f"; one core reads {rates[masks]:,.0f} ({masks}, measured on CPUs of bench/results/data.json)"
        if masks in rates
        else ""
    )
    yield f"a host must read {_rate(a_host)} sequences/s{known}"
    if not plan.storage:
        yield "passes and storage: give --data_dir, or --sequences for a build that is not there yet"
        return
    found = plan.storage
    yield (
        f"{found.sequences:,} training sequences: {found.passes:,.1f} passes, each of {found.copies:,}"
        f" masks of a sequence seen {found.passes / found.copies:,.1f} times"
    )
    yield (
        f"storage: {_bytes(found.packed_bytes)} packed (masks online); {_bytes(found.masked_bytes)} more"
        f" for masked copies of {found.record_bytes:,} bytes a record"
    )


def _saving(plan: Plan) -> Iterator[str]:
    s = plan.saving
    yield (
        f"a checkpoint: {_bytes(s.bytes)}, {_bytes(s.kept * s.bytes)} for the {s.kept} that are kept;"
        f" stops training for {s.stop_seconds:.1f} s, is written in {s.write_seconds:.0f} s"
    )
    yield (
        f"notice of {s.grace_seconds:g} s: "
        + (
            f"a save fits after up to TrainConfig.steps_per_loop={s.safe_steps_per_loop:,} (the settings"
            f" say {plan.run.train.steps_per_loop:,})"
            if s.safe_steps_per_loop
            else "too short for an update and a save; what came after the last checkpoint is lost"
        )
    )
    longest = (
        f"at most {s.longest_interval:,} for {s.most_lost:.1%}"
        if s.longest_interval
        else f"none loses only {s.most_lost:.1%}"
    )
    yield (
        f"{s.failures_per_day:.3g} failures a day: TrainConfig.checkpoint_interval={s.interval:,} loses"
        f" {s.lost_share:.2%} of the time; {s.best_interval:,} loses least, {longest}"
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"


def _gb(num_bytes: float) -> str:
    return f"{num_bytes / 1e9:.2f}"


def _seconds(value: float) -> str:
    return f"{value:.3f}" if value < 100 else f"{value:,.0f}"


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _bytes(number: float) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if number >= size:
            return f"{number / size:,.2f} {unit}"
    return f"{number:,.0f} bytes"
