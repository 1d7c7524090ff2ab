"""The measurement on a GPU machine, with small programs in place of steps: every process leaves a row."""

import dataclasses
import itertools
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from bench.gpu import device, jobs, process
from bench.gpu.device import Limits
from bench.gpu.jobs import Job, small_waves, waves
from bench.gpu.programs import PROGRAMS
from launch import strategy
from tests.support.paths import ROOT

# A process that compiles, takes its turn, and leaves a row, in the way its argument says.
PROCESS = """
import json, os, pathlib, sys, time
behaviour, path = sys.argv[1], pathlib.Path(sys.argv[sys.argv.index("--exchange") + 1])
row = {"what": "check", "device": "D", "versions": {}, "passed": True, "errors": {}, "tolerances": {}}
if behaviour == "dies":
    os._exit(3)
if behaviour == "never compiles":
    time.sleep(60)
if behaviour == "check":
    path.with_suffix(".json").write_text(json.dumps(row))
    sys.exit()
path.with_suffix(".ready").touch()
while not path.with_suffix(".go").exists():
    time.sleep(0.01)
if behaviour == "hangs":
    path.with_suffix(".json").write_text('{"what": "check", "compile_seconds": 3.0}')
    time.sleep(60)
if behaviour == "hangs after its row":
    path.with_suffix(".json").write_text(json.dumps(row))
    time.sleep(60)
started = time.monotonic()
time.sleep(2.5 if behaviour == "slow" else 0.3)
row["span"] = [started, time.monotonic()]
content = {"not JSON": "{", "no object": "[1]", "no device": '{"what": "check"}'}
path.with_suffix(".json").write_text(content.get(behaviour, json.dumps(row)))
"""
LIMITS = Limits(compiling=60, turn=4, reserved=0.5, shortest_wave=0.1)


def job(behaviour: str, label: str = "", **options) -> Job:
    command = (sys.executable, "-c", PROCESS, behaviour)
    return Job(label=label or behaviour.replace(" ", "-"), command=command, **options)


def measured(tmp_path, *all_waves, seconds=60.0, limits=LIMITS):
    """Return rows by label, as rows.jsonl has them."""
    rows = device.run_waves(all_waves, tmp_path, seconds=seconds, limits=limits)
    lines = (tmp_path / "rows.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == rows
    assert [rows[0]["label"], "error" in rows[0]] == ["machine", False]
    return {row["label"]: row for row in rows[1:]}


def test_turns_do_not_overlap_and_checks_take_none(tmp_path):
    names = ["a", "b", "c"]
    wave = [job("check", takes_turn=False), *(job("works", name) for name in names)]
    rows = measured(tmp_path, wave)
    assert rows["check"]["passed"]
    spans = sorted(rows[name]["span"] for name in names)
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))


def test_failures_are_rows_and_hide_no_other(tmp_path):
    wave = [
        *(job(name) for name in ("dies", "hangs", "hangs after its row", "works")),
        *(job(name) for name in ("not JSON", "no object", "no device")),
        Job(label="missing", command=("/no/such/program",)),
    ]
    rows = measured(tmp_path, wave, [job("works", "next")])
    assert "exit code 3" in rows["dies"]["error"]
    assert rows["hangs"]["error"] == "not timed within its limit"
    assert rows["hangs"]["compile_seconds"] == 3.0
    assert "error" not in rows["hangs-after-its-row"]
    assert rows["hangs-after-its-row"]["not_measured"] == "not timed within its limit"
    assert "its row is damaged: it is not JSON" in rows["not-JSON"]["error"]
    assert "a list of 1, must be an object" in rows["no-object"]["error"]
    assert "device is missing" in rows["no-device"]["error"]
    assert "/no/such/program" in rows["missing"]["error"]
    assert rows["works"]["passed"]
    assert rows["next"]["passed"]


def test_a_process_that_never_compiles_is_stopped_and_the_others_are_timed(tmp_path):
    wave = [job("never compiles"), job("works")]
    rows = measured(tmp_path, wave, limits=Limits(compiling=6, turn=10, shortest_wave=0.1))
    assert rows["never-compiles"]["error"] == "not compiled after 6 s"
    assert rows["works"]["passed"]


def test_time_is_kept_for_processes_that_are_ready(tmp_path):
    wave = [job("never compiles"), job("works")]
    limits = Limits(compiling=100, turn=10, reserved=4, shortest_wave=0.1)
    started = time.monotonic()
    rows = measured(tmp_path, wave, [job("works", "later")], seconds=12, limits=limits)
    assert time.monotonic() - started < 15
    assert "not compiled" in rows["never-compiles"]["error"]
    assert rows["works"]["passed"]


def test_no_wave_starts_without_enough_time(tmp_path, capsys):
    limits = dataclasses.replace(LIMITS, turn=10, shortest_wave=18)
    rows = measured(tmp_path, [job("slow")], [job("works", "later")], seconds=20, limits=limits)
    assert list(rows) == ["slow"]
    assert "not measured: later" in capsys.readouterr().out


def test_a_terminated_measurement_stops_its_processes_and_keeps_rows(tmp_path):
    program = (
        "import sys, signal\n"
        "from pathlib import Path\n"
        "from bench.gpu import device, jobs\n"
        "from tests.bench.test_gpu_device import job, LIMITS\n"
        "device.waves = lambda *_: [[job('works')], [job('never compiles')]]\n"
        "device.main(['--output_dir', sys.argv[1]])\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    popen = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    for line in popen.stdout:
        if "works" in line:
            break
    time.sleep(0.5)
    popen.send_signal(signal.SIGTERM)
    popen.communicate(timeout=30)
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert [row["label"] for row in rows] == ["machine", "works", "never-compiles"]
    assert rows[2]["error"] == "stopped with its wave"


def test_lines_of_rows():
    row = {"label": "L", "what": "check", "passed": False, "errors": {"outputs": 1.0}}
    assert "FAILED {'outputs': 1.0}" in device.describe(row)
    assert "ERROR it broke" in device.describe({"label": "L", "error": "it broke"})


@pytest.mark.parametrize("make", [waves, small_waves])
def test_jobs_have_labels_of_their_own_and_programs_of_the_table(make, tmp_path):
    found = [job for wave in make(tmp_path, tmp_path) for job in wave]
    assert len({job.label for job in found}) == len(found)
    assert found[0].label == "ceilings"
    for each in found:
        assert each.label.replace("-", "").replace("_", "").isalnum()
        if "bench.gpu.in_jax" in each.command:
            name = each.command[3].rpartition("/")[2]
            assert name in PROGRAMS or make is small_waves


def test_selected_jobs_keep_their_order(tmp_path):
    names = [f"step-{i}" for i in range(7)]
    all_waves = [[job("works", name) for name in names[:4]]]
    all_waves += [[*(job("works", name) for name in names[4:]), job("check", takes_turn=False)]]
    found = jobs.select(all_waves, "step-[1-6]|check")
    labels = [[each.label for each in wave] for wave in found]
    assert labels == [[*names[1:6], "check"], ["step-6"]]
    assert [each.label for each in jobs.select(all_waves, "^check$")[0]] == ["check"]
    assert jobs.select(all_waves, "nothing") == []


def test_ours_runs_with_the_flags_of_a_run_on_gpus(tmp_path):
    program = PROGRAMS["lambert-L24-B32"]
    (flag,) = (f"{name}={value}" for name, value in strategy.GPU_XLA_FLAGS.items())
    assert jobs.step(program, tmp_path).environment == {"XLA_FLAGS": flag}
    assert jobs.step(program, tmp_path, excess_precision=True).environment == {}


def leave(tmp_path, measure, **row):
    args = process.parser("").parse_args(["--exchange", str(tmp_path / "label")])
    with pytest.raises(SystemExit) as ended:
        process.leave_row(args, {"what": "step", **row}, measure)
    return ended.value.code, json.loads((tmp_path / "label.json").read_text())


def test_an_error_while_measuring_is_a_row(tmp_path):
    def fail():
        yield {"compile_seconds": 3.0}
        raise FileNotFoundError("no\n  program " + "x" * 1000)

    code, row = leave(tmp_path, fail, implementation="lambert")
    assert (code, row["compile_seconds"]) == (1, 3.0)
    assert row["error"].startswith("FileNotFoundError: no program xxx")
    assert len(row["error"]) == 600
    assert row["implementation"] == "lambert"


def test_a_row_has_what_was_measured(tmp_path):
    def measure():
        yield {"seconds": 1.5}
        assert json.loads((tmp_path / "label.json").read_text())["seconds"] == 1.5
        yield process.optional(lambda: {"launches": 7})
        yield process.optional(lambda: 1 / 0)

    code, row = leave(tmp_path, measure, label="L")
    assert (code, row["seconds"], row["launches"], row["label"]) == (0, 1.5, 7, "L")
    assert row["not_measured"].startswith("ZeroDivisionError")


def test_steps_in_a_row_do_not_wait():
    calls = []
    row = process.time_steps(lambda: calls.append("step"), lambda: calls.append("wait"), 3)
    assert calls == ["step", "wait"] * 3 + ["step"] * 3 + ["wait"]
    assert row["seconds"] == min(row["seconds_median"], row["seconds_chained"])


def test_kinds_of_kernels():
    seconds = {
        "nvjet_sm90_tst_128x128": 4e-3,
        "gemm_fusion_dot_12": 1e-3,
        "loop_transpose_fusion_94": 2e-3,
        "triton_poi_fused__to_copy_add_1": 3e-3,
        "pytorch_flash::flash_bwd_kernel": 4e-3,
        "_backward_keys": 1e-3,
        "multi_tensor_apply_kernel<FusedAdam>": 6e-3,
    }
    profile = process.kernels_of(seconds, dict.fromkeys(seconds, 2.0))
    assert profile["milliseconds_by_kind"] == {
        "attention": 5.0,
        "copies": 2.0,
        "optimizer": 6.0,
        "other": 3.0,
        "products": 5.0,
    }
    assert (profile["device_milliseconds"], profile["launches"]) == (21.0, 14)
    assert profile["top_kernels"][0]["name"].startswith("multi_tensor")


def test_threads_of_processes_share_the_cores(tmp_path):
    program = (
        "import os, pathlib, sys, json\n"
        "row = {'what': 'check', 'device': os.environ['OMP_NUM_THREADS'], 'versions': {},"
        " 'passed': True, 'errors': {}, 'tolerances': {}}\n"
        "pathlib.Path(sys.argv[-1] + '.json').write_text(json.dumps(row))\n"
    )
    wave = [Job(label=name, command=(sys.executable, "-c", program)) for name in ("a", "b")]
    assert measured(tmp_path, wave)["a"]["device"] == str(max(1, os.cpu_count() // 2))
