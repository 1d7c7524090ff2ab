"""The rehearsal of a job, and failures that it detects."""

import pytest

from data.errors import UserError
from launch.rehearse import __main__ as rehearse


@pytest.mark.slow
def test_preempted_job_equals_an_undisturbed_run(small_build, tmp_path, capfd):
    rehearse.main(["--data_dir", str(small_build), "--work_dir", str(tmp_path / "w")])
    output = capfd.readouterr().out
    assert "stopped after step" in output
    assert "launch: the TPU was preempted; requesting another one" in output
    assert "rows of metrics and all weights" in output


def test_differences_and_missing_preemptions_are_errors(tmp_path):
    rehearse._require_equal("x", [1], [1])
    with pytest.raises(UserError, match="the x differ"):
        rehearse._require_equal("x", [{"loss": 1.0}], [{"loss": 1.0000001}])
    (tmp_path / "requests-rehearsal.log").write_text("one\n")
    with pytest.raises(UserError, match="requested 1 machines instead of 2"):
        rehearse._require_preemption(tmp_path)
    with pytest.raises(UserError, match=r"--work_dir .*: must be empty"):
        rehearse.main(["--data_dir", "D", "--work_dir", str(tmp_path)])
