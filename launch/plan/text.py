"""Print a plan as text that fits on one screen."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator

from launch.accelerators.chips import CPU
from launch.accelerators.costs import KERNEL
from launch.plan.micro_batch import COMPILED, FORMULA, Candidate
from launch.plan.planner import Plan

_MAX_CANDIDATES = 8


def plan_text(plan: Plan) -> str:
    """Return the whole plan, in lines of at most 110 characters."""
    wrap = textwrap.TextWrapper(
        110, initial_indent="  ", subsequent_indent="    ", replace_whitespace=False
    )
    sections = {
        "Plan": _head(plan),
        "Memory of a device, GB": memory_lines(plan),
        "Speed": _speed(plan),
        "Data": _data(plan),
        "Checkpoints and failures": _checkpointing(plan),
    }
    return "\n".join(
        line
        for title, lines in sections.items()
        for line in (title, *(part for text in lines for part in wrap.wrap(text)))
    )


def _head(plan: Plan) -> Iterator[str]:
    e, accelerator = plan.run.encoder, plan.machine.accelerator
    yield (
        f"encoder: L={e.num_hidden_layers} H={e.hidden_size} A={e.num_attention_heads}"
        f" F={e.intermediate_size} V={e.vocab_size:,}; {plan.parameters:,} trained parameters"
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
        f" micro-batches of {plan.chosen.step.micro_batch:,} x"
        f" {_count(plan.chosen.step.accumulation_steps, 'accumulation step')};"
        f" {_flops(plan.flops_per_update)} an update"
    )
    if plan.chosen.step.attention == KERNEL:
        yield "attention by kernels, which keep no scores (TrainConfig.attention)"
    if plan.chosen.step.micro_batch != plan.configured.step.micro_batch:
        yield (
            f"to run this plan: --gin_param TrainConfig.micro_batch_size={plan.chosen.step.micro_batch}"
            f" (configured: {plan.configured.step.micro_batch})"
        )


def memory_lines(plan: Plan) -> Iterator[str]:
    """Yield the table of micro-batches, and what the settings that save memory would allow."""
    yield (
        "  micro x steps  weights moments gradients casts activations logits batch   total   s/update"
    )
    for candidate in _shown(plan):
        yield _row(candidate) + _mark(plan, candidate)
    yield (
        f"budget: {_gb(plan.machine.budget_bytes)} of {_gb(plan.machine.accelerator.memory_bytes)} GB,"
        f" {plan.machine.headroom:.0%} is left free; micro: sequences of a micro-batch; steps: accumulation"
        " steps; casts: weights in bfloat16; c: as compiled"
    )
    yield ("activations are freed while gradients are allocated, so the total is less than the sum")
    yield "with TrainConfig settings that save memory, at best:"
    for names, best in plan.memory_savings.items():
        if best is None:
            yield f"  {names}: does not fit"
        elif best not in plan.candidates:
            yield f"  {names}:"
            yield _row(best)


def _shown(plan: Plan) -> list[Candidate]:
    """Return candidates for one screen: the chosen one, the configured one, and those in between."""
    fitting = [candidate for candidate in plan.candidates if candidate.fits]
    too_large = [candidate for candidate in plan.candidates if not candidate.fits]
    shown = [*too_large[-2:], *fitting][:_MAX_CANDIDATES]
    steps = [candidate.step for candidate in (*shown, plan.chosen, plan.configured)]
    return [candidate for candidate in plan.candidates if candidate.step in steps]


def _mark(plan: Plan, candidate: Candidate) -> str:
    if candidate == plan.chosen:
        return "  <- planned"
    if not candidate.fits:
        return "  too large"
    return "  <- configured" if candidate == plan.configured else ""


def _row(candidate: Candidate) -> str:
    m, step = candidate.memory, candidate.step
    return (
        f"{step.micro_batch:>7,} x {step.accumulation_steps:<6,} {_gb(m.weights):>7} {_gb(m.moments):>7}"
        f" {_gb(m.gradients):>9} {_gb(m.copies + m.compute_weights):>5} {_gb(m.activations):>11}"
        f" {_gb(m.logits):>6} {_gb(m.batch):>5} {_gb(candidate.total_bytes):>7}"
        f"{' ' if candidate.source == FORMULA else 'c'} {_seconds(candidate.seconds):>9}"
    )


def _speed(plan: Plan) -> Iterator[str]:
    chosen, price = plan.chosen, plan.assumptions.price_per_chip_hour
    allreduce = (
        f" + {_seconds(plan.allreduce_seconds)} s for the all-reduce"
        if plan.allreduce_seconds
        else ""
    )
    utilization = plan.model_flops_utilization
    share = "" if math.isnan(utilization) else f" ({utilization:.0%} of the peak)"
    yield (
        f"an update: {_seconds(chosen.seconds)} s on a device{allreduce}: {_rate(1 / plan.update_seconds)} a"
        f" second, {_rate(plan.sequences_per_second)} sequences/s{share}"
    )
    yield _source_of_seconds(plan)
    if math.isinf(plan.days):
        yield (
            f"{plan.run.train.train_steps:,} updates: never, since failures come faster than"
            " checkpoints"
        )
        return
    hours = 24 * plan.days
    duration = f"{hours:,.1f} hours" if hours >= 1 else f"{60 * hours:,.1f} minutes"
    duration = f"{plan.days:,.1f} days" if plan.days >= 2 else duration
    cost = "" if plan.cost is None else f", {plan.cost:,.0f} at {price:g} each"
    yield (
        f"{plan.run.train.train_steps:,} updates: {duration} with failures, {plan.chip_hours:,.0f}"
        f" chip-hours{cost}; without evaluation and waiting for input"
    )


def _source_of_seconds(plan: Plan) -> str:
    if plan.chosen.source == COMPILED:
        return (
            "seconds on a device: estimated cycles of the compiled step (bench/results/tpu.json), not"
            " measured on a TPU"
        )
    if plan.machine.accelerator.chip.name == CPU:
        return (
            "seconds on this CPU: a matrix product, timed just now, and the share of its speed that updates"
            f" reach (bench/results/step.json), within {plan.error:.0%}"
        )
    if not plan.machine.compiled:
        return (
            f"seconds on a device: by formulas, within {plan.error:.0%}; the compiled rows"
            " (bench/results/tpu.json) are not installed"
        )
    return f"seconds on a device: by formulas (docs/plan.md), within {plan.error:.0%}"


def _data(plan: Plan) -> Iterator[str]:
    accelerator, rates = plan.machine.accelerator, plan.assumptions.reader_rates
    per_host = plan.sequences_per_second / accelerator.hosts
    masks = plan.run.input.masks
    core_rate = (
        f"; one core reads {rates[masks]:,.0f} ({masks}, measured on CPUs of bench/results/data.json)"
        if masks in rates
        else ""
    )
    yield f"a host must read {_rate(per_host)} sequences/s{core_rate}"
    storage = plan.storage
    if not storage:
        yield "passes and storage: give --data_dir, or --sequences if there is no build yet"
        return
    yield (
        f"{storage.sequences:,} training sequences: {storage.passes:,.1f} passes; each of"
        f" {storage.copies:,} masks of a sequence is seen"
        f" {storage.passes / storage.copies:,.1f} times"
    )
    yield (
        f"storage: {_bytes(storage.packed_bytes)} packed (online masks);"
        f" {_bytes(storage.masked_bytes)} more for masked copies of {storage.record_bytes:,} bytes a"
        " record"
    )


def _checkpointing(plan: Plan) -> Iterator[str]:
    c = plan.checkpointing
    yield (
        f"a checkpoint: {_bytes(c.bytes)}, {_bytes(c.kept * c.bytes)} for the {c.kept} that are kept;"
        f" stops training for {c.stop_seconds:.1f} s, is written in {c.write_seconds:.0f} s"
    )
    yield (
        f"notice of {c.grace_seconds:g} s: "
        + (
            f"a save fits with TrainConfig.steps_per_loop up to {c.safe_steps_per_loop:,} (configured:"
            f" {plan.run.train.steps_per_loop:,})"
            if c.safe_steps_per_loop
            else "too short for an update and a save; updates after the last checkpoint are lost"
        )
    )
    longest = (
        f"up to {c.longest_interval:,} lose at most {c.most_lost:.1%}"
        if c.longest_interval
        else f"no interval loses only {c.most_lost:.1%}"
    )
    yield (
        f"{c.failures_per_day:.3g} failures a day: TrainConfig.checkpoint_interval={c.interval:,} loses"
        f" {c.lost_share:.2%} of the time; {c.best_interval:,} loses least; {longest}"
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"


def _gb(num_bytes: float) -> str:
    return f"{num_bytes / 1e9:.2f}"


def _flops(value: float) -> str:
    return f"{value / 1e12:,.1f} TFLOP" if value >= 1e11 else f"{value / 1e9:,.2g} GFLOP"


def _seconds(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3f}" if value >= 0.01 else f"{value:.2g}"


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _bytes(number: float) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if number >= size:
            return f"{number / size:,.2f} {unit}"
    return f"{number:,.0f} bytes"
