"""Rows that come back from a GPU machine, the tables, and the folder that goes there."""

import json
import re
import subprocess
import sys

import pytest

from bench.gpu import __main__ as main
from bench.gpu import folder, in_jax, report
from bench.gpu.jobs import waves
from bench.gpu.programs import ENCODERS, PROGRAMS
from data.cli.main import run_main
from data.errors import UserError
from tests.support.markdown import table_rows
from tests.support.paths import ROOT
from tests.support.sources import imports

SIZES = {"hidden": 1024, "heads": 16, "layers": 24, "positions": 512, "predictions": 76}
SIZES |= {"vocab": 30522, "batch": 32}
MACHINE = {
    "label": "machine",
    "what": "machine",
    "gpu": "NVIDIA H100, 580.1",
    "machine": {"cpu": "C", "cores": 16, "load": 0.1},
    "versions": {"python": "3.12.3", "jax": "0.11.2"},
    "date": "2026-11-27",
}
CEILINGS = {
    "label": "ceilings",
    "what": "ceilings",
    "device": "NVIDIA H100",
    "versions": {"torch": "2.11.0"},
    "product_rows": 8192,
    "product_tflop_per_second": 800.0,
    "copy_tb_per_second": 3.0,
}
CHECK = {
    "label": "check-lambert-L2-B2-H128",
    "what": "check",
    "device": "NVIDIA H100",
    "versions": {"jax": "0.11.2"},
    "passed": True,
    "errors": {"outputs": 1e-4, "median_variable": 5e-3, "worst_variable": 0.4},
    "tolerances": {"outputs": 2e-3, "median_variable": 2e-2, "worst_variable": 1.0},
}
STEP = {
    "label": "lambert-L24-B32",
    "what": "step",
    "device": "NVIDIA H100",
    "versions": {"jax": "0.11.2"},
    "implementation": "lambert",
    "form": "",
    "precision": "mixed_bfloat16",
    "xla_flags": "--xla_allow_excess_precision=false",
    "sizes": SIZES,
    "seconds": 0.1,
    "sequences_per_second": 320.0,
    "model_tflop_per_second": 320.0,
    "compile_seconds": 60.0,
    "peak_bytes": 30_000_000_000,
    "milliseconds_by_kind": {"products": 50.0, "other": 49.5},
    "launches": 3787,
}
PEER = {
    **{name: value for name, value in STEP.items() if name not in ("form", "xla_flags")},
    "label": "huggingface-L24-B32-all-adamw-compiled",
    "implementation": "huggingface",
    "versions": {"torch": "2.11.0"},
    "head": "all",
    "optimizer": "adamw",
    "compiled": True,
    "sequences_per_second": 400.0,
}
FAILED = {
    "label": "tf-models-L24-B64",
    "error": "JaxRuntimeError: RESOURCE_EXHAUSTED: Out of memory",
}


def write(tmp_path, *rows):
    path = tmp_path / "rows.jsonl"
    path.write_text(
        "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
    )
    return path


def test_results_have_setting_machine_and_share_of_peak(tmp_path, capsys):
    path = write(tmp_path, MACHINE, CEILINGS, CHECK, STEP, PEER, FAILED)
    main.main([str(path), "--results", str(tmp_path / "gpu.json")])
    rows = json.loads((tmp_path / "gpu.json").read_text())
    assert [row["label"] for row in rows] == [
        r["label"] for r in (CEILINGS, CHECK, STEP, PEER, FAILED)
    ]
    for row in rows:
        assert {"stage", "command", "versions", "machine", "date", "device"} <= row.keys()
        assert row["device"] == "NVIDIA H100"
    step, peer = rows[2:4]
    assert step["share_of_peak"] == 0.4
    assert step["runs_as"] == "XLA program through jax's client"
    assert peer["runs_as"] == "PyTorch"
    assert step["versions"] == {"python": "3.12.3", "jax": "0.11.2"}
    assert step["setting"].startswith("H=1024 A=16 L=24 S=512 P=76 V=30522, mixed_bfloat16")
    text = capsys.readouterr().out
    assert "| 32 | Lambert | 320 | 40.0% | 100.0 | 30.0 GB |" in text
    peer_line = "| 32 | Hugging Face, head at all positions, fused AdamW, torch.compile | 400 |"
    assert text.index(peer_line) < text.index("| 32 | Lambert | 320")
    assert "| lambert-L2-B2-H128 | 1.0e-04 | 5.0e-03 | 4.0e-01 | passed |" in text
    assert "| 32 sequences, Lambert | 50.0 | 49.5 | 3,787 |" in text
    assert "- tf-models-L24-B64: does not fit in memory" in text


def test_a_session_without_ceilings_takes_those_of_the_device():
    earlier = report.results([MACHINE, CEILINGS])
    (row,) = report.results([MACHINE, STEP], earlier)
    assert row["share_of_peak"] == 0.4
    other = [{**row, "device": "NVIDIA A100"} for row in earlier]
    (row,) = report.results([MACHINE, STEP], other)
    assert "share_of_peak" not in row


def test_a_failed_check_shows(tmp_path, capsys):
    path = write(tmp_path, MACHINE, {**CHECK, "passed": False})
    main.main([str(path), "--results", str(tmp_path / "gpu.json")])
    assert "**FAILED**" in capsys.readouterr().out


def test_settings_show_in_the_table():
    assert report.what({**STEP, "xla_flags": ""}) == "Lambert, excess precision allowed"
    assert report.what({**STEP, "implementation": "tf-models", "xla_flags": ""}) == "tf-models"
    assert report.what({**STEP, "form": "rematerialized"}) == "Lambert, rematerialized"
    assert report.what({**STEP, "form": "kernel"}) == "Lambert, attention as a kernel"
    gathered = {**PEER, "head": "gathered", "optimizer": "lamb", "compiled": False}
    assert report.what(gathered) == "Hugging Face, head at predicted positions, timm's LAMB"


def test_damaged_rows_become_errors(tmp_path):
    damaged = {**STEP, "sequences_per_second": "fast"}
    path = write(tmp_path, MACHINE, "{", damaged, {**STEP, "label": "other"}, {"what": "step"})
    rows = {row["label"]: row for row in report.results(report.read_rows(path))}
    assert "sequences_per_second" in rows["lambert-L24-B32"]["error"]
    assert "not a JSON object" in rows["line 2 of rows.jsonl"]["error"]
    assert "label is missing" in rows["line 5 of rows.jsonl"]["error"]
    assert "error" not in rows["other"]


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("what", "guess", "what"),
        ("seconds", 0, "seconds is 0"),
        ("seconds", float("nan"), "seconds"),
        ("sizes", {**SIZES, "batch": -1}, "sizes.batch"),
        ("milliseconds_by_kind", {"other": "much"}, "milliseconds_by_kind.other"),
        ("versions", None, "versions"),
    ],
    ids=["what", "zero", "nan", "sizes", "kinds", "versions"],
)
def test_wrong_fields_are_named(tmp_path, name, value, part):
    path = write(tmp_path, MACHINE, {**STEP, name: value})
    _, row = report.read_rows(path)
    assert part in row["error"]


def test_rows_merge_by_device_and_label():
    old = {**STEP, "seconds": 0.2}
    failed = {"label": STEP["label"], "device": "NVIDIA H100", "error": "E"}
    other = {**STEP, "device": "NVIDIA H200"}
    assert report.merge([old], [STEP, other]) == [STEP, other]
    assert report.merge([STEP], [failed]) == [STEP]
    assert report.merge([failed], [STEP]) == [STEP]
    assert report.merge([failed], [{**failed, "error": "F"}]) == [{**failed, "error": "F"}]


@pytest.mark.parametrize(
    "content", [None, "", json.dumps(STEP)], ids=["missing", "empty", "no-machine"]
)
def test_a_useless_file_is_one_line(tmp_path, capsys, content):
    path = tmp_path / "rows.jsonl"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=str(path)):
        report.read_rows(path)
    with pytest.raises(SystemExit, match="2"):
        run_main(main.main, [str(path), "--results", str(tmp_path / "gpu.json")])
    assert not (tmp_path / "gpu.json").exists()
    assert capsys.readouterr().err.count("\n") == 1


def test_without_rows_nothing_is_claimed(tmp_path, capsys):
    main.main(["--results", str(tmp_path / "gpu.json")])
    assert capsys.readouterr().out == "No GPU has been measured yet.\n"


def test_verdicts_of_checks():
    variables = {"a": 1e-7, "b": 2e-7, "c": 5e-4}
    row = in_jax.verdict([1e-7, 2e-6], variables, "float32")
    assert row["errors"] == {"outputs": 2e-6, "median_variable": 2e-7, "worst_variable": 5e-4}
    assert (row["worst_variable"], row["passed"]) == ("c", True)
    assert not in_jax.verdict([2e-5], variables, "float32")["passed"]
    assert not in_jax.verdict([1e-7], {"a": 1e-3, "b": 1e-3}, "float32")["passed"]
    infinite = in_jax.verdict([float("inf")], variables, "mixed_bfloat16")
    assert not infinite["passed"]
    json.loads(json.dumps(infinite), parse_constant=pytest.fail)


def test_the_folder_is_complete(tmp_path):
    """Its modules import no others of ours, and load without TensorFlow."""
    for module in folder.MODULES:
        ours = {
            name for name in imports(module) if name.partition(".")[0] in ("bench", "data", "model")
        }
        assert ours <= set(folder.MODULES), module
    folder.copy_modules(tmp_path)
    program = (
        "import sys; sys.modules['tensorflow'] = None\n"
        f"for name in {folder.MODULES!r}: __import__(name)\n"
        f"assert sys.modules['model.flops'].__file__.startswith({str(tmp_path)!r})\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
    copied = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.py")}
    assert {"bench/gpu/device.py", "data/__init__.py", "model/flops.py"} <= copied
    assert "bench/gpu/export.py" not in copied


def test_the_folder_has_the_programs_of_the_jobs(tmp_path):
    jobs = [job for wave in waves(tmp_path, tmp_path) for job in wave]
    names = folder.needed_programs(jobs)
    assert set(names) <= set(PROGRAMS)
    assert {"lambert-L2-B2-H128-float32", "lambert-L24-B32", "tf-models-L24-B64"} <= set(names)


def test_the_documentation_has_the_measured_tables():
    """docs/performance.md shows exactly what `make gpu-rows` prints."""
    path = ROOT / "bench/results/gpu.json"
    rows = json.loads(path.read_text()) if path.exists() else []
    text = (ROOT / "docs/performance.md").read_text()
    assert report.table(rows) in text


def test_the_readme_has_the_measured_figures():
    """It shows the fastest row with 32 sequences of each implementation, with dropout everywhere."""
    best: dict[str, float] = {}
    for row in json.loads((ROOT / "bench/results/gpu.json").read_text()):
        if row["what"] != "step" or row.get("form") in ENCODERS:
            continue
        if (row["sizes"]["batch"], row["sizes"]["positions"]) == (32, 512):
            name = row["implementation"]
            best[name] = max(best.get(name, 0), row["sequences_per_second"])
    (cells,) = (r for r in table_rows(ROOT / "README.md") if r[0].startswith("the step alone"))
    shown = [int(number) for number in re.findall(r"\d+", " ".join(cells[1:3]))]
    assert shown == [round(best[name]) for name in ("lambert", "tf-models", "huggingface")]
