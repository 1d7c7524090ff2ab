"""One page on a plan's run with more devices and larger batches: pictures, and all that they assume."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from data.view import page
from launch.accelerators.chips import CPU, Chip
from launch.plan import failures, scaling
from launch.plan.allreduce import LINK_SHARE, OPEN_SHARE
from launch.plan.costs import device, num_parameters
from launch.plan.planner import Plan
from pretrain.report.curves import STYLE_FILE, Curve, plot

_BATCHES = (8192, 16_384, 32_768, 65_536)
_SEQUENCES = 32  # of a device, where the batch grows: 8,192 on 256 devices
_MARKS = tuple(4.0**n for n in range(7))
_MINUTES = (1.0, 10.0, 100.0, 1000.0)
_CHIPS_OF_LOSSES = (64, 512, 4096)
_PALETTE = 8  # colours of the style sheet


def page_of(plan: Plan) -> str:
    """The whole page; it needs nothing from outside."""
    title = f"{plan.machine.accelerator.name} and beyond"
    return "\n".join(
        [*page.head(f"Lambert: {title}", STYLE_FILE), *_body(plan, title), "</body></html>\n"]
    )


def _body(plan: Plan, title: str) -> Iterator[str]:
    step, chosen = plan.chosen.step, scaling.compared(plan.machine.accelerator.chip)
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
            "of an update, exchange": f"{plan.exchange_seconds / plan.update_seconds:.1%}",
            "failures a day": f"{plan.saving.failures_per_day:.2g}",
        }
    )
    yield from _part("More devices, larger batch", _weak(plan, chosen))
    yield from _part("More devices, the same batch", _strong(plan, chosen))
    yield from _part("A sharded optimizer (not built)", _sharded(plan, chosen))
    yield from _part("Input", _input(plan, chosen))
    yield from _part("Failures", _failures(plan, chosen))
    yield "<h2>What this assumes</h2>"
    yield f'<div class="card">{page.plain_table(("", "assumed"), _assumptions(plan))}</div>'
    yield f'<div class="card">{_chips(chosen)}</div>'


def _part(heading: str, content: Iterator[str]) -> Iterator[str]:
    yield f"<h2>{heading}</h2>"
    yield '<div class="pair">'
    yield from content
    yield "</div>"


def _weak(plan: Plan, chips: Sequence[Chip]) -> Iterator[str]:
    step = plan.chosen.step
    updates = {c.name: scaling.weak(step, c, sequences=_SEQUENCES) for c in chips}
    yield _over(
        "devices",
        f"Sequences/s of a device, as a share of the smallest slice's ({_SEQUENCES} in an update)",
        {name: scaling.efficiency(found) for name, found in updates.items()},
        show=_percent,
    )
    times = {}
    for chip in chips:
        found = updates[chip.name]
        times[f"{chip.name}: its own"] = [(u.devices, u.device_seconds) for u in found]
        times[f"{chip.name}: exchange"] = [(u.devices, u.exchange_seconds) for u in found]
    yield _over(
        "devices",
        "Seconds of an update: a device's own, and the exchange (dashed)",
        times,
        show=_general,
        log=True,
        dashed=": exchange",
    )


def _strong(plan: Plan, chips: Sequence[Chip]) -> Iterator[str]:
    step = plan.chosen.step
    for chip in chips[:2]:
        updates = {batch: scaling.strong(step, chip, batch=batch) for batch in _BATCHES}
        yield _over(
            "devices",
            f"{chip.name}: sequences/s of a device, as a share of the smallest slice's, by sequences of an"
            " update",
            {f"{batch:,}": scaling.efficiency(found) for batch, found in updates.items()},
            show=_percent,
            from_zero=True,
        )
    train = plan.run.train
    same = {c.name: scaling.strong(step, c, batch=train.global_batch_size) for c in chips}
    days = train.train_steps / failures.SECONDS_OF_DAY
    yield _over(
        "devices",
        f"Days for {train.train_steps:,} updates of {train.global_batch_size:,}",
        {name: [(u.devices, days * u.seconds) for u in found] for name, found in same.items()},
        show=_general,
        log=True,
    )
    chip_hours = {
        c.name: [(u.devices, 24 * days * u.seconds * u.devices / c.devices) for u in same[c.name]]
        for c in chips
    }
    yield _over("devices", "Chip hours for them", chip_hours, show=page.short, log=True)


def _sharded(plan: Plan, chips: Sequence[Chip]) -> Iterator[str]:
    step, batch = plan.chosen.step, plan.run.train.global_batch_size
    whole, sharded = (
        {c.name: scaling.strong(step, c, batch=batch, sharded=sharded) for c in chips}
        for sharded in (False, True)
    )
    yield _over(
        "devices",
        f"Seconds of an update of {batch:,} with moments and update sharded, as a share of those without",
        {
            name: [(u.devices, v.seconds / u.seconds) for u, v in zip(whole[name], f, strict=True)]
            for name, f in sharded.items()
        },
        show=_percent,
    )
    name = chips[0].name
    yield _over(
        "devices",
        f"{name}: memory of a device, GB",
        {
            label: [(u.devices, u.memory_bytes / 1e9) for u in found]
            for label, found in (("every device has all", whole[name]), ("sharded", sharded[name]))
        },
        show=_general,
        from_zero=True,
    )


def _input(plan: Plan, chips: Sequence[Chip]) -> Iterator[str]:
    needed = {}
    for chip in chips:
        machines = scaling.slices(chip)
        updates = scaling.weak(plan.chosen.step, chip, sequences=_SEQUENCES)
        needed[f"{chip.name} needs"] = [
            (u.devices, u.sequences_per_second / a.hosts)
            for u, a in zip(updates, machines, strict=True)
        ]
    for masks, rate in plan.assumptions.reader_rates.items():
        needed[f"one core reads, {masks}"] = [(_MARKS[0], rate), (_MARKS[-1], rate)]
    yield _over(
        "devices",
        "Sequences/s and host: needed, and what one core reads (dashed)",
        needed,
        show=page.short,
        log=True,
        dashed="one core",
    )
    step = plan.chosen.step
    num_bytes = 4 * step.seq_length
    yield (
        '<div class="card"><h3>What a host moves</h3>'
        f"<p>A sequence reaches a device as int32 of {step.seq_length} tokens, its mask and its types, and"
        f" three values for each of {step.max_predictions} predictions:"
        f" {3 * num_bytes + 12 * step.max_predictions:,} bytes.</p>"
        "<p>The reader's speed is that of its numpy form on one core. Slices with several hosts are fed"
        " with TensorFlow operations only, at a fraction of that; the gap between the lines is what"
        " that may cost.</p></div>"
    )


def _failures(plan: Plan, chips: Sequence[Chip]) -> Iterator[str]:
    most = max(chip.most_chips for chip in chips)
    counts = [n for n in _MARKS if n <= most]
    yield _over(
        "chips",
        "Failures a day",
        {"large clusters": [(n, failures.failures_per_day(n)) for n in counts]},
        show=_general,
        log=True,
    )
    saving = plan.saving
    intervals = [60 * 10 ** (n / 10) for n in range(31)]
    lost = {
        f"{n:,} chips": scaling.lost_shares(
            n,
            save_seconds=saving.stop_seconds,
            restart_seconds=plan.assumptions.restart_seconds,
            intervals=intervals,
        )
        for n in _CHIPS_OF_LOSSES
    }
    yield plot(
        "Share of the time lost, over minutes between checkpoints",
        _curves(lost),
        show=_percent_2,
        log=True,
        x_name="minutes",
        x_marks=_MINUTES,
    )


def _over(
    x_name: str,
    caption: str,
    lines: dict[str, list[scaling.Point]],
    *,
    show: Callable[[float], str],
    log: bool = False,
    from_zero: bool = False,
    dashed: str = "",
) -> str:
    """A figure over a number of devices or chips, on an axis of powers of 4; none without points."""
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


def _curves(lines: dict[str, list[scaling.Point]], dashed: str = "") -> list[Curve]:
    """Lines in the colours of the palette; those with a text in their label are dashed.

    "x: exchange" has the colour of "x: device".
    """
    colours: dict[str, str] = {}
    curves = []
    for label, points in lines.items():
        what = label.partition(":")[0]
        colour = colours.setdefault(what, f"var(--run-{len(colours) % _PALETTE})")
        style = "dashed" if dashed and dashed in label else "dots"
        curves.append(Curve(label=label, points=points, colour=colour, style=style))
    return curves


def _assumptions(plan: Plan) -> Iterator[tuple[str, str]]:
    parameters = num_parameters(plan.chosen.step.encoder)
    yield "time of a device", "the formulas of docs/plan.md; their error by chip is below"
    yield "micro-batches", f"of at most {scaling.MOST_SEQUENCES} sequences"
    yield (
        "exchange",
        f"an all-reduce of {parameters:,} float32 gradients ({4 * parameters / 1e9:.2f} GB) as rings over"
        f" all links of a chip, at {LINK_SHARE:.0%} of their bandwidth, {OPEN_SHARE:.0%} of that in slices"
        " whose rings are not closed; GPUs: inside a host, then each takes its part to the others",
    )
    yield "overlap", "none: the exchange begins when the last micro-batch has ended"
    yield "latency", "none: it is far below the time for so many bytes"
    yield "stragglers", "none"
    yield "larger batches", "learn as well for each sequence; whether they do is for runs to show"
    yield (
        "sharded optimizer",
        "moments and update divided among the devices; as much to exchange (gradients one way, weights"
        " the other); not built",
    )
    yield (
        "failures",
        "419 unexpected interruptions in 54 days on 16,384 chips (Llama 3, 2024), for every kind of chip:"
        f" one a chip in {failures.CHIP_DAYS_BETWEEN_FAILURES:,.0f} days",
    )
    yield (
        "checkpoints",
        f"{plan.saving.bytes / 1e9:.2f} GB, which stop training for {plan.saving.stop_seconds:.1f} s;"
        f" {plan.assumptions.restart_seconds:g} s from a failure to going on",
    )
    yield "slices", "those of one job; nothing crosses from one pod to another"


def _chips(chips: Sequence[Chip]) -> str:
    rows = [
        (
            chip.name,
            f"{chip.peak_flops_per_second / 1e12:,.0f}",
            f"{device(chip, parts=1).matmul_share:.0%} ± {device(chip, parts=1).error:.0%}",
            f"{chip.memory_bytes / 1e9:.0f}",
            f"{chip.memory_bytes_per_second / 1e9:,.0f}",
            f"{chip.link_bytes_per_second / 1e9:,.0f}",
            f"{chip.network_bytes_per_second / 1e9:,.0f}" if chip.network_bytes_per_second else "",
            f"{chip.most_chips:,}",
        )
        for chip in chips
        if chip.name != CPU
    ]
    head = (
        *("chip", "TFLOP/s", "of it, products", "GB", "GB/s memory", "GB/s links"),
        *("GB/s network", "most chips"),
    )
    return page.plain_table(head, rows, numbers=7)


def _percent(value: float) -> str:
    return f"{value:.0%}"


def _percent_2(value: float) -> str:
    return f"{value:.2%}"


def _general(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"
