"""Results of bench.gpu: merging of rows, and the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.gpu.programs import ENCODERS
from bench.gpu.rows import require_complete
from data.checked_json import DamagedRecord, Record, parse_json_lines, read_at_most
from data.errors import UserError

COMMAND = "python3 -m bench.gpu.device"
_MAX_BYTES = 2**26
# What produced the numbers of an implementation.
_RUNS_AS = {
    "lambert": "XLA program through jax's client",
    "lambert-gradients": "XLA program through jax's client",
    "tf-models": "XLA program through jax's client",
    "huggingface": "PyTorch",
}
_FORMS = {
    "kernel": "attention as a kernel",
    "kernel-undropped": "attention as a kernel, weights not dropped",
    "cudnn": "attention by cuDNN, weights not dropped",
}
_OUT_OF_MEMORY = ("RESOURCE_EXHAUSTED", "OutOfMemoryError", "Out of memory")
_KINDS = ("products", "attention", "optimizer", "copies", "other")


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows that a GPU machine wrote; each damaged line becomes a row with an error.

    Raises:
      UserError: there is no such file, or it has no sound row about the machine.
    """
    try:
        content = read_at_most(path, _MAX_BYTES)
    except OSError as error:
        raise UserError(
            f"ROWS={path}: {error.strerror}; name the rows.jsonl of a GPU machine"
        ) from None
    rows: list[dict[str, Any]] = []
    for number, (_, record) in enumerate(parse_json_lines(content, path), 1):
        label = {"label": f"line {number} of {path.name}"}
        if record is None:
            rows.append({**label, "error": "the line is not a JSON object"})
            continue
        try:
            require_complete(record)
        except DamagedRecord as error:
            rows.append({**label, **_text_fields(record), "error": str(error)})
        else:
            rows.append(record.fields)
    if not any(row.get("what") == "machine" and "error" not in row for row in rows):
        raise UserError(f"ROWS={path}: has no row about the machine; take the whole rows.jsonl")
    return rows


def _text_fields(record: Record) -> dict[str, str]:
    return {
        name: record.fields[name]
        for name in ("label", "device")
        if isinstance(record.fields.get(name), str)
    }


def results(
    rows: Sequence[Mapping[str, Any]], earlier: Sequence[Mapping[str, Any]] = ()
) -> list[dict[str, Any]]:
    """Return the rows of a session in the form of bench/results: with setting, machine and date.

    Steps get `share_of_peak`, relative to the matrix product that the same session measured, or else an
    earlier one on such a device.

    Args:
      rows: rows of the session.
      earlier: results of other sessions.
    """
    sound = [row for row in rows if "error" not in row]
    session = next(row for row in sound if row["what"] == "machine")
    device = next((row["device"] for row in sound if "device" in row), session["gpu"])
    known = [*sound, *(row for row in earlier if row["device"] == device)]
    ceiling = next((row for row in known if row.get("what") == "ceilings"), None)
    shared = {
        "stage": "gpu",
        "command": COMMAND,
        "machine": {**session["machine"], "gpu": session["gpu"]},
        "date": session["date"],
    }
    made = []
    for row in rows:
        if row.get("what") == "machine":
            continue
        result = {**shared, "device": device, **row}
        if row.get("what") == "step" and "error" not in row:
            result["setting"] = setting(row)
            result["runs_as"] = _RUNS_AS.get(row["implementation"], row["implementation"])
            if ceiling is not None:
                peak = ceiling["product_tflop_per_second"]
                result["peak_tflop_per_second"] = peak
                result["share_of_peak"] = row["model_tflop_per_second"] / peak
        result["versions"] = {**session["versions"], **row.get("versions", {})}
        made.append(result)
    return made


def merge(earlier: Sequence[dict[str, Any]], new: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return all rows: of each device and label the newest without an error, else the newest."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for row in (*earlier, *new):
        key = (row["device"], row["label"])
        if key not in rows or "error" not in row or "error" in rows[key]:
            rows[key] = row
    return list(rows.values())


def setting(row: Mapping[str, Any]) -> str:
    """Return the sizes of a step, without the batch."""
    text = "H={hidden} A={heads} L={layers} S={positions} P={predictions} V={vocab}"
    undropped = ", none of attention weights" if row.get("form") in ENCODERS else ""
    return text.format(**row["sizes"]) + f", {row['precision']}, dropout 0.1{undropped}"


def what(row: Mapping[str, Any]) -> str:
    """Return what a step is, in the words of the table."""
    if row["implementation"] == "huggingface":
        head = "head at all positions" if row["head"] == "all" else "head at predicted positions"
        optimizer = {"adamw": "fused AdamW", "lamb": "timm's LAMB"}[row["optimizer"]]
        parts = ["Hugging Face", head, optimizer, *["torch.compile"] * row["compiled"]]
        return ", ".join(parts)
    name = {"lambert": "Lambert", "lambert-gradients": "Lambert, gradients only"}
    parts = [name.get(row["implementation"], row["implementation"])]
    if row.get("form"):
        parts.append(_FORMS.get(row["form"], row["form"]))
    if row["implementation"] != "tf-models" and "excess_precision" not in row["xla_flags"]:
        parts.append("excess precision allowed")
    return ", ".join(parts)


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Format rows of bench/results as Markdown: for each device its ceilings, checks, speed, kernels."""
    if not rows:
        return "No GPU has been measured yet."
    parts = []
    for device in dict.fromkeys(row["device"] for row in rows):
        mine = [row for row in rows if row["device"] == device]
        sound = [row for row in mine if "error" not in row]
        parts += [_ceilings(device, [r for r in sound if r["what"] == "ceilings"])]
        parts += [_checks([r for r in sound if r["what"] == "check"])]
        parts += [_steps([r for r in sound if r["what"] == "step"])]
        parts += [_kernels([r for r in sound if r.get("milliseconds_by_kind")])]
        parts += [_failures([r for r in mine if "error" in r])]
    return "\n\n".join(part for part in parts if part)


def _ceilings(device: str, rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return f"**{device}**, whose ceilings were not measured:"
    (row,) = rows
    return (
        f"**{device}** ({row['date']}): a bfloat16 product of {row['product_rows']:,} rows reaches"
        f" {row['product_tflop_per_second']:.0f} TFLOP/s, a copy {row['copy_tb_per_second']:.2f} TB/s"
        " read and written."
    )


def _checks(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        "| compared with TensorFlow on the CPU | outputs | variables, median | variables, worst | |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        errors = row["errors"]
        figures = [errors[n] for n in ("outputs", "median_variable", "worst_variable")]
        lines.append(
            f"| {row['label'].removeprefix('check-')} | "
            + " | ".join(f"{value:.1e}" for value in figures)
            + f" | {'passed' if row['passed'] else '**FAILED**'} |"
        )
    return "\n".join(lines) if rows else ""


def _steps(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        "| sequences | step | sequences/s | of peak | ms | memory |",
        "|---|---|---|---|---|---|",
    ]

    def order(row: Mapping[str, Any]) -> tuple[int, int, float]:
        sizes = row["sizes"]
        return sizes["positions"], sizes["batch"], -row["sequences_per_second"]

    for row in sorted(rows, key=order):
        sizes = row["sizes"]
        length = f" of {sizes['positions']:,}" if sizes["positions"] != 512 else ""
        share = f"{row['share_of_peak']:.1%}" if "share_of_peak" in row else "–"
        memory = f"{row['peak_bytes'] / 1e9:.1f} GB" if row["peak_bytes"] else "–"
        lines.append(
            f"| {sizes['batch']}{length} | {what(row)} | {row['sequences_per_second']:.0f}"
            f" | {share} | {1e3 * row['seconds']:.1f} | {memory} |"
        )
    return "\n".join(lines) if rows else ""


def _kernels(rows: Sequence[Mapping[str, Any]]) -> str:
    kinds = [kind for kind in _KINDS if any(kind in r["milliseconds_by_kind"] for r in rows)]
    lines = [
        f"| milliseconds of kernels, by kind | {' | '.join(kinds)} | launches |",
        "|---" * (len(kinds) + 2) + "|",
    ]
    for row in rows:
        figures = [f"{row['milliseconds_by_kind'].get(kind, 0):.1f}" for kind in kinds]
        lines.append(
            f"| {row['sizes']['batch']} sequences, {what(row)} | {' | '.join(figures)}"
            f" | {row['launches']:,} |"
        )
    return "\n".join(lines) if rows else ""


def _failures(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = []
    for row in rows:
        is_full = any(sign in row["error"] for sign in _OUT_OF_MEMORY)
        reason = "does not fit in memory" if is_full else row["error"].replace("|", "/")[:150]
        lines.append(f"- {row['label']}: {reason}")
    return "\n".join(["Not measured:", "", *lines]) if rows else ""
