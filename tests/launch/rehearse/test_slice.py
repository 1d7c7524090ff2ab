"""The rehearsal of slices, and failures that it detects."""

import math

import pytest

from data.errors import UserError
from launch.rehearse import network
from launch.rehearse import slice as rehearse


@pytest.mark.slow
def test_slice_survives_its_faults_and_equals_an_undisturbed_run(small_build, tmp_path, capfd):
    # Sequences of 64 tokens: longer batches, so that a run lasts long enough to be disturbed.
    longer = ["--gin_param", "TrainConfig.global_batch_size = 128"]
    arguments = ["--accelerator", "v5p-16", "--work_dir", str(tmp_path / "w"), *longer]
    rehearse.main(["--data_dir", str(small_build), *arguments])
    output = capfd.readouterr().out
    assert "launch: the TPU was preempted; requesting another one" in output
    assert "rehearsal: metrics and weights are bit-identical to those of one host" in output
    assert "rehearsal: from one process losses differ by at most" in output
    assert "differs from host 0: package" in output
    assert output.endswith("rehearsal: passed\n")


def test_differences_are_measured():
    rows = [{"step": 2, "loss": 2.0, "accuracy": 0.5}, {"step": 4, "eval_loss": 1.0}]
    other = [{"step": 2, "loss": 2.002, "accuracy": 0.1}, {"step": 4, "eval_loss": 1.0}]
    assert rehearse._loss_difference(rows, rows) == 0.0
    assert rehearse._loss_difference(rows, other) == pytest.approx(1e-3)
    assert rehearse._loss_difference(rows, rows[:1]) == math.inf
    assert rehearse._loss_difference([], []) == math.inf


def test_wrong_arguments_are_errors(tmp_path):
    with pytest.raises(UserError, match="--accelerator v5e-8: must be a slice of several hosts"):
        arguments = ["--data_dir", "D", "--work_dir", str(tmp_path / "w")]
        rehearse.main([*arguments, "--accelerator", "v5e-8"])
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"--work_dir .*: must be empty"):
        rehearse.main(["--data_dir", "D", "--work_dir", str(tmp_path)])


def test_hosts_are_on_loopback_without_namespaces(monkeypatch):
    assert network.address(2) == "127.0.77.12"
    assert network.inside(2, ["true"]) == ["true"]
    monkeypatch.setenv("FAKE_GCLOUD_NAMESPACES", "1")
    assert network.address(2) == "10.77.0.12"
    assert network.inside(2, ["true"]) == ["ip", "netns", "exec", "lambert-slice-2", "true"]


def test_links_are_removed_before_their_namespaces(monkeypatch):
    """Otherwise a rehearsal right after another one finds names in use, and is on loopback."""
    commands = []
    monkeypatch.setattr(network, "_ip", lambda command: commands.append(command) or True)
    monkeypatch.setattr(network.os, "geteuid", lambda: 0)
    with network.namespaces(1) as variables:
        commands.clear()
    assert variables == {"FAKE_GCLOUD_NAMESPACES": "1"}
    assert commands == [
        "link del lambert-v0",
        "netns del lambert-slice-0",
        "link del lambert-slice",
    ]
