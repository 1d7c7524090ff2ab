"""Checks of a machine before a job, and the table of what fits."""

import shutil

import pytest

from data.errors import UserError
from launch import preflight


def test_all_checks_pass_on_a_machine_that_can_run(small_build, tmp_path, capsys):
    flags = ["--data_dir", str(small_build), "--model_dir", str(tmp_path / "m")]
    preflight.main([*flags, "--free_gb", "0.001"])
    lines = capsys.readouterr().out.splitlines()
    marks = [line.split()[1:3] for line in lines if line.startswith("preflight:")]
    names = ["versions", "devices", "step", "data", "model_dir", "disk", "clock"]
    assert marks == [["ok", name] for name in names]
    assert list((tmp_path / "m").iterdir()) == []


def test_every_failure_is_reported(tmp_path, capsys):
    """The common wheel of TensorFlow has no kernels for TPUs, so that check fails here."""
    with pytest.raises(
        UserError, match=r"5 checks failed on .*: kernels, devices, step, data, disk$"
    ):
        preflight.main(
            ["--tpu", "--data_dir", str(tmp_path), "--model_dir", "ram://m", "--free_gb", "1e9"]
        )
    output = capsys.readouterr().out
    assert "this TensorFlow has no kernel for TPUExecute: it is not tensorflow-tpu" in output
    assert "FAIL  devices      ClusterConfig.tpu='local': no TPU could be reached" in output
    assert "is not a finished build" in output
    assert "ok    model_dir    ram://m: written, read back, listed and removed" in output


def test_memory_check_prints_the_table_and_fails_beyond_the_whole_memory(capsys):
    flags = ["--gin_file", "gin/lambert_large.gin", "--gin_param"]
    args = preflight._parser().parse_args(
        [*flags, "TrainConfig.micro_batch_size=16", "--accelerator", "v5litepod-256"]
    )
    usage = preflight.check_memory(args)
    assert usage == "micro-batches of 16 take 13.96 of 17.18 GB of a device of v5litepod-256"
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if " x " in line]
    assert [row[1:4] + row[-2:] for row in rows[1:4]] == [
        ["32", "x", "1", "too", "large"],
        ["16", "x", "2", "<-", "configured"],
        ["8", "x", "4", "<-", "planned"],
    ]
    args.gin_param = ["TrainConfig.micro_batch_size=32"]
    with pytest.raises(
        UserError, match=r"micro-batches of 32 take 20\.49 of 17\.18 GB .*micro_batch_size=8$"
    ):
        preflight.check_memory(args)


def test_memory_check_only_warns_within_the_headroom(capsys):
    layers = "EncoderConfig.num_hidden_layers=40"  # 16.31 of 17.18 GB, see test_plan.py
    args = ["--gin_file", "gin/lambert_large.gin", "--gin_param", layers]
    args += ["--gin_param", "LaunchConfig.accelerator = 'v5e-256'"]
    usage = preflight.check_memory(preflight._parser().parse_args(args))
    assert usage.endswith("of a device of v5e-256: less than 10% is left free")


@pytest.mark.parametrize(("flag", "value"), [("--gpus", "-1"), ("--free_gb", "nan")])
def test_invalid_numbers_on_the_command_line_are_errors(flag, value):
    with pytest.raises(UserError, match=f"{flag}: {value}: must be a number, 0 or more"):
        preflight.main([flag, value])


def test_memory_check_needs_the_settings_of_the_run():
    with pytest.raises(UserError, match=r"--accelerator v5e-8: .* give --gin_file"):
        preflight.main(["--accelerator", "v5e-8"])


def test_missing_gpus_are_an_error():
    with pytest.raises(UserError, match="finds 0 GPUs, 8 are needed"):
        preflight.check_devices(False, 8)


def test_step_check_sums_over_replicas_and_finds_inexact_products(monkeypatch):
    import tensorflow as tf

    mirrored = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    monkeypatch.setattr(preflight, "_strategy", lambda *_: mirrored)
    assert "summed over 2 devices, is exact" in preflight.check_step(False, None)
    real = tf.matmul
    monkeypatch.setattr(tf, "matmul", lambda a, b: real(a, b) + 1 / 256)
    with pytest.raises(UserError, match="the gradient of a small model is wrong by up to"):
        preflight.check_step(False, None)


def test_outdated_packages_are_an_error(monkeypatch):
    assert "requirements met" in preflight.check_versions()
    real = preflight.importlib.metadata.requires
    monkeypatch.setattr(
        preflight.importlib.metadata, "requires", lambda name: [*real(name), "numpy<1"]
    )
    with pytest.raises(UserError, match=r"numpy<1 is needed, [\d.]+ is installed"):
        preflight.check_versions()


def test_damaged_build_is_found_by_sha256_not_by_size(small_build, tmp_path):
    copy = shutil.copytree(small_build, tmp_path / "d")
    path = next(copy.glob("packed/train/*.npy"))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert "sizes as in manifest" in preflight.check_data(str(copy), sizes_only=True)
    with pytest.raises(UserError, match="is damaged: its sha256"):
        preflight.check_data(str(copy), sizes_only=False)


@pytest.mark.parametrize("skew", [-200.0, 200.0])
def test_wrong_clock_is_an_error(tmp_path, monkeypatch, skew):
    now = preflight.time.time
    assert "within 1 s" in preflight.check_clock(str(tmp_path))
    assert "within 1 s" in preflight.check_clock(f"file://{tmp_path}")
    assert preflight.check_clock("ram://clock") == "ram://clock has no times of files"
    monkeypatch.setattr(preflight.time, "time", lambda: now() + skew)
    with pytest.raises(UserError, match=r"clock differs by (199|200) s from that of"):
        preflight.check_clock(str(tmp_path))
