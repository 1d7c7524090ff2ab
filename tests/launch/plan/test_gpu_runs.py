"""Plans for GPUs beside the runs that were measured on one (bench/results/gpu_runs.json)."""

import json

import pytest

from launch.accelerators.gpus import GPUS
from launch.plan import __main__ as plan
from tests.support.paths import ROOT

RUNS = {
    row["name"]: row
    for row in json.loads((ROOT / "bench/results/gpu_runs.json").read_text())
    if "sequences_per_second" in row and "not compiled" not in row["name"]
}


@pytest.mark.parametrize("name", list(RUNS))
def test_planned_updates_take_as_long_as_measured_ones(name, tmp_path):
    row = RUNS[name]
    (gpu,) = (g for g in GPUS.values() if f"NVIDIA {g.driver_name}" == row["device"])
    batch, path = row["sizes"]["batch"], tmp_path / "plan.json"
    settings = {"global_batch_size": batch, "eval_batch_size": batch, "micro_batch_size": 0}
    params = [f"TrainConfig.{key} = {value}" for key, value in settings.items()]
    params.append(f"TrainConfig.attention = {row['attention']!r}")
    arguments = [flag for param in params for flag in ("--gin_param", param)]
    plan.main(
        [
            *("--gin_file", str(ROOT / "gin/lambert_large.gin"), *arguments, "--as_configured"),
            *("--accelerator", gpu.name, "--json", str(path)),
        ]
    )
    seconds = json.loads(path.read_text())["update_seconds"]
    error = 1 - 1000 * seconds / row["milliseconds_an_update"]
    assert abs(error) <= gpu.step_time.error
    if name == "kernel-B32":  # which the constant is fitted to
        assert abs(error) < 0.01
