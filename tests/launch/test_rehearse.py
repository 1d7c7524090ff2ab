"""The rehearsal, and that its comparison can fail."""

import pytest

from data.errors import UserError
from launch.rehearse import __main__ as rehearse


@pytest.mark.slow
def test_a_job_that_lost_its_machine_equals_one_that_did_not(small_build, tmp_path, capfd):
    rehearse.main(["--data_dir", str(small_build), "--work_dir", str(tmp_path / "w")])
    output = capfd.readouterr().out
    assert "stopped after step" in output
    assert "launch: the TPU was taken away; asking for another one" in output
    assert "rows of metrics and all weights" in output


def test_differences_are_found(tmp_path):
    rehearse._require_equal("x", [1], [1])
    with pytest.raises(UserError, match="the x differ"):
        rehearse._require_equal("x", [{"loss": 1.0}], [{"loss": 1.0000001}])
    (tmp_path / "requests.log").write_text("one\n")
    with pytest.raises(UserError, match="asked for 1 machines"):
        rehearse._require_preemption(tmp_path)
    with pytest.raises(UserError, match="is not empty"):
        rehearse.main(["--data_dir", "D", "--work_dir", str(tmp_path)])
