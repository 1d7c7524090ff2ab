"""Results as text."""

from __future__ import annotations

from collections.abc import Iterable

from bench.data import quality
from bench.data.cases import TARGETS, Target
from bench.data.workspace import Workspace

# Units of rates by prefix of their keys; each row has some of them.
_UNITS = {
    "tokens": "tokens",
    "examples": "examples",
    "sequences": "sequences",
    "megabytes": "MB",
}


def table(rows: list[dict]) -> str:
    """Format all rows except those on quality, and the targets."""
    lines = []
    for stage in dict.fromkeys(row["stage"] for row in rows):
        lines += ["", stage]
        for row in rows:
            if row["stage"] == stage and row["what"] != "quality":
                head = f"  {row['implementation']:<17}{row['what']:<32}"
                lines.append(f"{head}{'; '.join(_figures(row))}")
                lines.append(f"  {'':<17}({row['setting']})")
        lines += [f"  {line}" for target in TARGETS for line in _verdict(target, rows, stage)]
    return "\n".join(lines)


def _figures(row: dict) -> Iterable[str]:
    for unit, name in _UNITS.items():
        if rate := row.get(f"{unit}_per_second"):
            cpu_rate = row.get(f"{unit}_per_cpu_second")
            by_cpu = f" ({_number(cpu_rate)} by CPU time)" if cpu_rate else ""
            yield f"{_number(rate)} {name}/s{by_cpu}"
    for group, found in row.get("boundaries", {}).items():
        shares = (f"{name} {found[name]:.1%}" for name in ("precision", "recall", "f1"))
        yield f"{group} text: {', '.join(shares)} of {found['expected']} boundaries"
        if found["changed_paragraphs"]:
            yield f"{found['changed_paragraphs']} paragraphs CHANGED"
    if peak := row.get("peak_bytes"):
        own = row["peak_own_bytes"] / 1e6
        yield f"peak {peak / 1e6:,.0f} MB ({own:,.0f} own) for {row['corpus_tokens']:,} tokens"
    if peaks := row.get("peak_bytes_of_processes"):
        megabytes = ", ".join(f"{peak / 1e6:,.0f}" for peak in peaks)
        yield f"at most {megabytes} MB a process, {row['peak_disk_bytes'] / 1e6:,.0f} MB of disk"
    if "peak_bytes_per_token" in row:
        own = row["peak_own_bytes_per_token"]
        yield f"{row['peak_bytes_per_token']:.2f} bytes a token ({own:.2f} own)"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _verdict(target: Target, rows: list[dict], stage: str) -> Iterable[str]:
    if target.stage != stage:
        return
    ours = _find(rows, "lambert", target.stage, target.figure, target.what)
    if ours is None:
        return
    is_maximum = target.stage == "memory"
    reached = ours <= target.bound if is_maximum else ours >= target.bound
    bound = f"{'at most' if is_maximum else 'at least'} {target.bound:,.0f}"
    yield f"target: {target.what}, {target.figure} {bound}: {'reached' if reached else 'MISSED'}"
    if target.peer:
        implementation, peer_stage, factor = target.peer
        theirs = _find(rows, implementation, peer_stage, target.figure)
        if theirs:
            verdict = "reached" if ours >= factor * theirs else "MISSED"
            yield f"target: {factor} x {implementation}: {ours / theirs:.1f} x, {verdict}"


def _find(
    rows: list[dict], implementation: str, stage: str, figure: str, what: str | None = None
) -> float | None:
    for row in rows:
        matches = (row["implementation"], row["stage"]) == (implementation, stage)
        if matches and figure in row and what in (None, row["what"]):
            return row[figure]
    return None


def quality_table(rows: list[dict], workspace: Workspace) -> str:
    """Format the rows on the quality of extracted text."""
    quality_rows = [row for row in rows if row["what"] == "quality"]
    if not quality_rows:
        return ""
    names = [row["implementation"] for row in quality_rows]
    lines = ["", "quality of the extracted text", _line("", names)]
    lines.append(_line("articles with text", [row["articles_with_text"] for row in quality_rows]))
    lines.append(_line("kB kept", [f"{row['kept_bytes'] / 1e3:,.0f}" for row in quality_rows]))
    for title, key in (
        ("numbers kept, of the most", "numbers_kept"),
        ("checked pages: recall", "reference_recall"),
        ("checked pages: precision", "reference_precision"),
    ):
        values = [row[key] for row in quality_rows]
        lines.append(_line(title, ["-" if v is None else f"{v:.1%}" for v in values]))
    lines.append("  debris in 100 kB of text:")
    for kind in quality_rows[0]["debris_per_100_kilobytes"]:
        counts = [f"{row['debris_per_100_kilobytes'][kind]:.1f}" for row in quality_rows]
        lines.append(_line(f"  {kind!r}", counts))
    for row in quality_rows:
        lines += ["", f"  left over by {row['implementation']}:"]
        for kind, examples in row["examples"].items():
            lines.append(f"    {kind!r:<12} ...{examples[0]}...")
    for peer in names:
        if peer != "lambert" and "lambert" in names:
            lines += ["", f"  lines that {peer} keeps and lambert drops:"]
            lines += [f"    {line}" for line in quality.lost_lines(workspace, "lambert", peer)]
    return "\n".join(lines)


def _line(title: str, values: Iterable) -> str:
    return f"  {title:<30}" + "".join(f"{value!s:>18}" for value in values)
