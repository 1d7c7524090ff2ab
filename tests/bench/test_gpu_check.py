"""Kernels and bytes of programs for GPUs, the table of the check, and what makes it fail."""

import json
from pathlib import Path

import pytest

from bench.gpu import check, descriptions, traffic
from bench.gpu.programs import FOUR_LAYERS, PROGRAMS, Program
from launch.accelerators.gpus import GPUS
from tests.support.paths import GOLDEN, ROOT

TEXT = (GOLDEN / "gpu_step.hlo").read_text()


def test_kernels_are_sorted_by_who_made_them():
    assert [(k.kind, k.shape, k.runs) for k in traffic.kernels(TEXT)] == [
        (traffic.PRODUCTS, "(bf16[8,4]{1,0})", 1),
        (traffic.REST, "pred[]", 3),
        (traffic.REST, "bf16[8,4]{1,0}", 3),
        (traffic.CALLS, "bf16[8,4]{1,0}", 1),
        (traffic.PRODUCTS, "bf16[8,4]{1,0}", 1),
        (traffic.REST, "f32[4]{0}", 1),
        (traffic.REST, "bf16[8,4]{0,1}", 1),
    ]


def test_bytes_are_those_of_operands_and_results():
    """Working memory of cuBLAS does not count, and an operand that is given twice is read once."""
    product = 2 * (8 * 16 + 16 * 4 + 8 * 4)
    gelu = 2 * (8 * 4) * 2
    condition = 1 + (4 + 2 * 8 * 4)
    update = 4 * 4 + 4 * 4 + 2 * 8 * 4 + 4
    copy = 2 * (8 * 4) * 2
    assert traffic.totals(TEXT) == {
        "kernels": 11,
        "products_kernels": 2,
        "calls_kernels": 1,
        "products_bytes": 2 * product,
        "calls_bytes": 2 * 8 * 4 * 2,
        "rest_bytes": 3 * (gelu + condition) + update + copy,
    }


def test_largest_kernels_are_listed_by_the_bytes_of_all_runs():
    """A copy moves as much as each of the three runs of gelu, and looks like them."""
    assert traffic.largest(TEXT, 2) == [
        "    0.000 GB     4 runs  rest      bf16[8,4] <- bf16[8,4]",
        "    0.000 GB     1 runs  products  (bf16[8,4]) <- bf16[8,16], bf16[16,4]",
    ]


@pytest.mark.parametrize("chip", descriptions.DESCRIPTIONS)
def test_descriptions_have_the_figures_of_the_chips(chip):
    text = descriptions.target_config(chip)
    description = descriptions.DESCRIPTIONS[chip]
    assert GPUS[chip].driver_name in description.name
    assert f"memory_bandwidth: {int(GPUS[chip].memory_bytes_per_second)}\n" in text
    # bfloat16 operations of a core in a clock. The peak of an H100 is that at 1.83 GHz.
    operations = {8: 2048, 9: 4096}[description.capability]
    peak = description.cores * operations * description.clock_ghz * 1e9
    assert peak == pytest.approx(GPUS[chip].peak_flops_per_second, rel=0.09)
    assert description.memory_bytes == pytest.approx(GPUS[chip].memory_bytes, rel=0.07)


def row(case: check.Case, **figures: float) -> dict:
    return {
        "program": case.program.name,
        "chip": case.chip,
        "excess_precision": case.excess_precision,
        "hbm_argument_bytes": 1.2e9,
        "hbm_temp_bytes": 5.0e9,
        "kernels": 1234,
        "products_bytes": 14.3e9,
        "calls_bytes": 0,
        "rest_bytes": 28.5e9,
        "compile_seconds": 60.0,
        **figures,
    }


CASE = check.Case(FOUR_LAYERS[4], "h100", check.WITHOUT_EXCESS)


def test_table_and_targets():
    assert CASE.name == "lambert-L4-B32-h100"
    before, after = row(CASE), row(CASE, hbm_temp_bytes=3.26e9, rest_bytes=24.04e9)
    assert check.table([before])[2] == (
        "| lambert-L4-B32 | h100 | forbidden | 1.20 + 5.00 GB | 1,234 | 14.3 GB | 0.0 GB | 28.5 GB |"
    )
    assert check.check_targets({CASE.name: after}) == [
        "lambert-L4-B32-h100: hbm_temp_bytes 3.26 GB (target 3.3: reached)",
        "lambert-L4-B32-h100: rest_bytes 24.04 GB (target 24.0: MISSED)",
    ]


def test_growth_beyond_the_tolerance():
    stored = row(CASE)
    assert check.growth(row(CASE, hbm_temp_bytes=5.09e9, rest_bytes=29.3e9), stored) == []
    assert check.growth(row(CASE, hbm_temp_bytes=5.2e9), stored) == [
        "temporaries grew from 5.000 to 5.200 GB (+4.0%)"
    ]
    # A kernel of its own takes over what products and the rest moved.
    moved = row(CASE, products_bytes=8.2e9, calls_bytes=3e9, rest_bytes=20.7e9)
    assert check.growth(moved, stored) == []
    assert check.growth(row(CASE, calls_bytes=1e9), stored) == [
        "bytes of all kernels grew from 42.800 to 43.800 GB (+2.3%)"
    ]


def test_rows_are_in_the_order_of_the_cases():
    first, second, third = (row(case) for case in check.CASES[:3])
    other = row(check.Case(PROGRAMS["lambert-L2-B2-H128"], "h100", check.WITH_EXCESS))
    rows = {check.name_of(r): r for r in (third, other, first, second)}
    assert check.in_order(rows) == [first, second, third]


def test_programs_that_are_named_are_compiled_as_they_run():
    names = ["tf-models-L4-B8", "lambert-L2-B2-H128"]
    cases = check.choose(names, ["a100"], [])
    assert [case.name for case in cases] == ["tf-models-L4-B8-a100-excess", f"{names[1]}-a100"]
    assert check.choose([], ["h100", "a100"], []) == list(check.SMALL_CASES)
    large = check.choose([], ["h100"], [], check.LARGE_CASES)
    assert "lambert-L24-B16-S1024-h100" in [case.name for case in large]


@pytest.fixture
def compiled(monkeypatch, tmp_path) -> dict[str, float]:
    """Replace the compiler by figures that a test sets, and return them."""
    figures: dict[str, float] = {}
    monkeypatch.setattr(check, "_compile", lambda case: row(case, **figures))
    monkeypatch.chdir(tmp_path)
    return figures


RUN = ["lambert-L4-B32", "--chips", "h100", "--results", "rows.json"]


def test_a_program_that_needs_more_fails_and_keeps_its_row(compiled, capsys):
    check.main(RUN)
    compiled["hbm_temp_bytes"] = 6e9
    with pytest.raises(SystemExit, match=r"lambert-L4-B32-h100: temporaries .* to 6\.000 GB"):
        check.main(RUN)
    (stored,) = json.loads(Path("rows.json").read_text())
    assert stored["hbm_temp_bytes"] == 5e9
    check.main([*RUN, "--accept"])
    (stored,) = json.loads(Path("rows.json").read_text())
    assert stored["hbm_temp_bytes"] == 6e9
    assert "| lambert-L4-B32 | h100 | forbidden | 1.20 + 6.00 GB" in capsys.readouterr().out


def test_missing_compiler_is_one_line(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=r"^gpu: \.venv-gpu-check/bin/python is missing;.*$"):
        check.main(RUN)


def test_unknown_program_is_one_line(capsys):
    with pytest.raises(SystemExit):
        check.main(["lambert-L5"])
    assert "lambert-L5: not in bench/gpu/programs.py: lambert-L2" in capsys.readouterr().err


def test_cases_are_programs_that_can_be_named():
    assert {case.program.name for case in check.CASES} <= set(PROGRAMS)
    assert all(isinstance(case.program, Program) for case in check.CASES)


def test_documentation_has_the_stored_rows():
    """docs/performance.md shows exactly what `make gpu-check` prints."""
    rows = json.loads((ROOT / "bench/results/gpu_check.json").read_text())
    assert check.in_order({check.name_of(r): r for r in rows}) == rows
    text = (ROOT / "docs/performance.md").read_text()
    assert "\n".join(check.table(rows)) in text
