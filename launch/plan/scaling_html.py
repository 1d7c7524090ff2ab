"""Write a page of charts: the run of a plan on more devices and with larger batches, and the assumptions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from data.view import page
from launch.accelerators.chips import Chip
from launch.accelerators.costs import num_parameters
from launch.plan import failures, scaling
from launch.plan.allreduce import LINK_EFFICIENCY, OPEN_RING_FACTOR
from launch.plan.planner import Plan
from pretrain.report.curves import STYLE_FILE, Curve, plot

_BATCHES = (8192, 16_384, 32_768, 65_536)
_SEQUENCES = 32  # sequences per device where the batch grows: 8,192 on 256 devices
_MARKS = tuple(4.0**n for n in range(7))
_MINUTE_MARKS = (1.0, 10.0, 100.0, 1000.0)
_JOB_SIZES = (64, 512, 4096)
_PALETTE = 8  # colors of the style sheet


def scaling_page(plan: Plan) -> str:
    """Return the whole page, without references to other files."""
    title = f"{plan.machine.accelerator.name} and beyond"
    return "\n".join(
        [*page.head(f"Lambert: {title}", STYLE_FILE), *_body(plan, title), "</body></html>\n"]
    )


def _body(plan: Plan, title: str) -> Iterator[str]:
    step, chips = plan.chosen.step, scaling.chips_to_compare(plan.machine.accelerator.chip)
    e = step.encoder
    yield '<p class="soft">Lambert: scaling, by formulas; nothing here was measured on these machines</p>'
    yield f"<h1>{page.escape(title)}</h1>"
    yield (
        f'<p class="soft">L={e.num_hidden_layers} H={e.hidden_size} A={e.num_attention_heads},'
        f" {plan.parameters:,} parameters, {step.seq_length} tokens; {plan.run.optimizer.label}</p>"
    )
    yield from page.tiles(
        {
            f"updates/s, {plan.machine.accelerator.name}": f"{1 / plan.update_seconds:.3g}",
            "days": f"{plan.days:.3g}",
            "sequences/s": f"{plan.sequences_per_second:,.0f}",
            "all-reduce, of an update": f"{plan.allreduce_seconds / plan.update_seconds:.1%}",
            "failures a day": f"{plan.checkpointing.failures_per_day:.2g}",
        }
    )
    yield from _section("More devices, larger batch", _weak(plan, chips))
    yield from _section("More devices, the same batch", _strong(plan, chips))
    yield from _section("A sharded optimizer (OptimizerConfig.shard)", _sharded(plan, chips))
    yield from _section("Input", _input(plan, chips))
    yield from _section("Failures", _failures(plan, chips))
    yield "<h2>Assumptions</h2>"
    yield f'<div class="card">{page.plain_table(("", "assumption"), _assumptions(plan))}</div>'
    yield f'<div class="card">{_chip_table(chips)}</div>'


def _section(heading: str, content: Iterator[str]) -> Iterator[str]:
    yield f"<h2>{heading}</h2>"
    yield '<div class="pair">'
    yield from content
    yield "</div>"


def _weak(plan: Plan, chips: Sequence[Chip]) -> Iterator[str]:
    step = plan.chosen.step
    updates = {c.name: scaling.weak_scaling(step, c, sequences=_SEQUENCES) for c in chips}
    yield _chart(
        "devices",
        f"Sequences/s per device, relative to the smallest slice ({_SEQUENCES} sequences per device)",
        {name: scaling.efficiency(series) for name, series in updates.items()},
        show=_percent,
    )
    times = {}
    for chip in chips:
        series = updates[chip.name]
        times[f"{chip.name}: computation"] = [(u.devices, u.device_seconds) for u in series]
        times[f"{chip.name}: all-reduce"] = [(u.devices, u.allreduce_seconds) for u in series]
    yield _chart(
        "devices",
        "Seconds of an update: computation, and all-reduce (dashed)",
        times,
        show=_general,
        log=True,
        dashed=": all-reduce",
    )


def _strong(plan: Plan, chips: Sequence[Chip]) -> Iterator[str]:
    step = plan.chosen.step
    for chip in chips[:2]:
        updates = {batch: scaling.strong_scaling(step, chip, batch=batch) for batch in _BATCHES}
        yield _chart(
            "devices",
            f"{chip.name}: sequences/s per device, relative to the smallest slice, by global batch",
            {f"{batch:,}": scaling.efficiency(series) for batch, series in updates.items()},
            show=_percent,
            from_zero=True,
        )
    train = plan.run.train
    same = {c.name: scaling.strong_scaling(step, c, batch=train.global_batch_size) for c in chips}
    days = train.train_steps / failures.SECONDS_PER_DAY
    yield _chart(
        "devices",
        f"Days for {train.train_steps:,} updates of {train.global_batch_size:,}",
        {name: [(u.devices, days * u.seconds) for u in series] for name, series in same.items()},
        show=_general,
        log=True,
    )
    chip_hours = {
        c.name: [(u.devices, 24 * days * u.seconds * u.devices / c.devices) for u in same[c.name]]
        for c in chips
    }
    yield _chart(
        "devices",
        f"Chip-hours for {train.train_steps:,} updates of {train.global_batch_size:,}",
        chip_hours,
        show=page.short,
        log=True,
    )


def _sharded(plan: Plan, chips: Sequence[Chip]) -> Iterator[str]:
    step, batch = plan.chosen.step, plan.run.train.global_batch_size
    whole, sharded = (
        {c.name: scaling.strong_scaling(step, c, batch=batch, sharded=sharded) for c in chips}
        for sharded in (False, True)
    )
    yield _chart(
        "devices",
        f"Seconds of an update of {batch:,} with a sharded optimizer, relative to one that is not sharded",
        {
            name: [
                (u.devices, v.seconds / u.seconds) for u, v in zip(whole[name], series, strict=True)
            ]
            for name, series in sharded.items()
        },
        show=_percent,
    )
    name = chips[0].name
    yield _chart(
        "devices",
        f"{name}: memory per device, GB",
        {
            label: [(u.devices, u.memory_bytes / 1e9) for u in series]
            for label, series in (("not sharded", whole[name]), ("sharded", sharded[name]))
        },
        show=_general,
        from_zero=True,
    )


def _input(plan: Plan, chips: Sequence[Chip]) -> Iterator[str]:
    needed: dict[str, list[scaling.Point]] = {}
    for chip in chips:
        machines = scaling.slices(chip)
        updates = scaling.weak_scaling(plan.chosen.step, chip, sequences=_SEQUENCES)
        needed[f"{chip.name} needs"] = [
            (u.devices, u.sequences_per_second / a.hosts)
            for u, a in zip(updates, machines, strict=True)
        ]
    for masks, rate in plan.assumptions.reader_rates.items():
        needed[f"one core reads, {masks}"] = [(_MARKS[0], rate), (_MARKS[-1], rate)]
    yield _chart(
        "devices",
        "Sequences/s per host: needed, and read by one core (dashed)",
        needed,
        show=page.short,
        log=True,
        dashed="one core",
    )
    step = plan.chosen.step
    num_bytes = 4 * step.seq_length
    yield (
        '<div class="card"><h3>Input of a host</h3>'
        f"<p>A sequence on a device is int32: {step.seq_length} tokens, their mask and their types, and"
        f" three values for each of {step.max_predictions} predictions, together"
        f" {3 * num_bytes + 12 * step.max_predictions:,} bytes.</p>"
        "<p>The speed of the reader is that of its numpy implementation on one core. Slices with several"
        " hosts read with TensorFlow operations only, which are slower; the gap between the lines shows by"
        " how much they may be.</p></div>"
    )


def _failures(plan: Plan, chips: Sequence[Chip]) -> Iterator[str]:
    most = max(chip.most_chips for chip in chips)
    counts = [n for n in _MARKS if n <= most]
    yield _chart(
        "chips",
        "Failures a day",
        {"large clusters": [(n, failures.failures_per_day(n)) for n in counts]},
        show=_general,
        log=True,
    )
    checkpointing = plan.checkpointing
    intervals = [60 * 10 ** (n / 10) for n in range(31)]
    lost = {
        f"{n:,} chips": scaling.lost_shares(
            n,
            save_seconds=checkpointing.stop_seconds,
            restart_seconds=plan.assumptions.restart_seconds,
            intervals=intervals,
        )
        for n in _JOB_SIZES
    }
    yield plot(
        "Share of the time lost, over minutes between checkpoints",
        _curves(lost),
        show=_percent_2_digits,
        log=True,
        x_name="minutes",
        x_marks=_MINUTE_MARKS,
    )


def _chart(
    x_name: str,
    caption: str,
    lines: Mapping[str, Sequence[scaling.Point]],
    *,
    show: Callable[[float], str],
    log: bool = False,
    from_zero: bool = False,
    dashed: str = "",
) -> str:
    """Return a chart over the number of devices or chips, on an axis of powers of 4; empty without points."""
    xs = [x for points in lines.values() for x, _ in points]
    if not xs:
        return ""
    first = max(mark for mark in _MARKS if mark <= min(xs))
    last = min(mark for mark in _MARKS if mark >= max(xs) and mark > first)
    marks = [mark for mark in _MARKS if first <= mark <= last]
    return plot(
        f"{caption}, over {x_name}",
        _curves(lines, dashed),
        show=show,
        log=log,
        from_zero=from_zero,
        x_name=x_name,
        x_marks=marks,
    )


def _curves(lines: Mapping[str, Sequence[scaling.Point]], dashed: str = "") -> list[Curve]:
    """Return lines in the colors of the palette; those whose label contains `dashed` are dashed.

    Labels with the same text before a colon have the same color.
    """
    colors: dict[str, str] = {}
    curves = []
    for label, points in lines.items():
        group = label.partition(":")[0]
        color = colors.setdefault(group, f"var(--run-{len(colors) % _PALETTE})")
        style = "dashed" if dashed and dashed in label else "dots"
        curves.append(Curve(label=label, points=points, colour=color, style=style))
    return curves


def _assumptions(plan: Plan) -> Iterator[tuple[str, str]]:
    parameters = num_parameters(plan.chosen.step.encoder)
    yield "computation", "the formulas of docs/plan.md; their error for each chip is below"
    yield "micro-batches", f"at most {scaling.MAX_MICRO_BATCH} sequences"
    yield (
        "all-reduce",
        f"{parameters:,} float32 gradients ({4 * parameters / 1e9:.2f} GB) in rings over all links of a"
        f" chip, at {LINK_EFFICIENCY:.0%} of their bandwidth, {OPEN_RING_FACTOR:.0%} of that in slices"
        " whose rings are not closed; GPUs: inside a host, then each sends its part to the other hosts",
    )
    yield "overlap", "none: the all-reduce begins when the last micro-batch has ended"
    yield "latency", "none: it is far below the time for the bytes"
    yield "stragglers", "none"
    yield "larger batches", "learn as much from each sequence, which only runs can show"
    yield (
        "sharded optimizer",
        "moments and update divided among the devices; as many bytes as an all-reduce (gradients, then"
        " weights); not implemented",
    )
    yield (
        "failures",
        "419 unexpected interruptions in 54 days on 16,384 chips (Llama 3, 2024), for every kind of chip:"
        f" one per chip in {failures.CHIP_DAYS_BETWEEN_FAILURES:,.0f} days",
    )
    checkpointing = plan.checkpointing
    yield (
        "checkpoints",
        f"{checkpointing.bytes / 1e9:.2f} GB, which stop training for {checkpointing.stop_seconds:.1f} s;"
        f" {plan.assumptions.restart_seconds:g} s from a failure until the run resumes",
    )
    yield "slices", "those of one job; no job uses several pods"


def _chip_table(chips: Sequence[Chip]) -> str:
    rows = [
        (
            chip.name,
            f"{chip.peak_flops_per_second / 1e12:,.0f}",
            f"{chip.step_time.matmul_share:.0%} ± {chip.step_time.error:.0%}",
            f"{chip.memory_bytes / 1e9:.0f}",
            f"{chip.memory_bytes_per_second / 1e9:,.0f}",
            f"{chip.link_bytes_per_second / 1e9:,.0f}",
            f"{chip.network_bytes_per_second / 1e9:,.0f}" if chip.network_bytes_per_second else "",
            f"{chip.most_chips:,}",
        )
        for chip in chips
        if chip.step_time is not None
    ]
    head = (
        *("chip", "TFLOP/s", "share in products", "GB", "GB/s memory", "GB/s links"),
        *("GB/s network", "most chips"),
    )
    return page.plain_table(head, rows, numbers=7)


def _percent(value: float) -> str:
    return f"{value:.0%}"


def _percent_2_digits(value: float) -> str:
    return f"{value:.2%}"


def _general(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"
