"""Rows of bench/gpu/device.py: the fields that a row must have, wherever it comes from."""

from __future__ import annotations

from data.checked_json import Record

# Kinds of rows; the fields of each are below.
WHAT = ("machine", "ceilings", "check", "step")


def require_complete(record: Record) -> None:
    """Raise a DamagedRecord if a field that the table needs is missing or has a wrong type or value.

    A row with the field `error` needs only a label.
    """
    record.text("label")
    if "error" in record:
        record.text("error")
        return
    what = record.text("what", choices=WHAT)
    if what == "machine":
        record.text("gpu")
        record.mapping("machine")
        record.text("date")
    else:
        record.text("device")
    record.mapping("versions")
    if what == "ceilings":
        for name in ("product_tflop_per_second", "copy_tb_per_second"):
            _positive(record, name)
        record.integer("product_rows", minimum=1)
    if what == "check":
        record.boolean("passed")
        errors, tolerances = record.mapping("errors"), record.mapping("tolerances")
        for name in errors.fields:
            errors.number(name, minimum=0)
            tolerances.number(name, minimum=0)
    if what == "step":
        record.text("implementation")
        record.text("precision")
        for name in (
            "seconds",
            "sequences_per_second",
            "model_tflop_per_second",
            "compile_seconds",
        ):
            _positive(record, name)
        record.integer("peak_bytes", minimum=0, default=None)
        sizes = record.mapping("sizes")
        for name in ("hidden", "heads", "layers", "positions", "predictions", "vocab", "batch"):
            sizes.integer(name, minimum=1)
        kinds = record.mapping("milliseconds_by_kind", default=None)
        for name in kinds.fields if kinds is not None else ():
            kinds.number(name, minimum=0)


def _positive(record: Record, name: str) -> None:
    if not record.number(name, minimum=0):
        raise record.damaged(f"{name} is 0")
