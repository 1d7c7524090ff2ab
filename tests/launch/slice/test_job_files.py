"""Files of a slice in the job's directory."""

import pytest

from data.errors import UserError
from launch.slice.job_files import HubRecord, JobFiles, require_no_other_hub

SHARED = "secret"
RECORD = HubRecord(instance="i", address="10.0.0.1", port=8480, token=SHARED)


@pytest.mark.parametrize("folder", ["local", "ram://job_files"])
def test_hub_and_states_are_read_back(folder, tmp_path):
    job = JobFiles(job_dir=folder if "://" in folder else str(tmp_path))
    assert (job.read_hub(), job.read_state("3")) == (None, "")
    job.write_hub(RECORD)
    job.write_state("3", "host 3: text\n")
    assert (job.read_hub(), job.read_state("3")) == (RECORD, "host 3: text\n")
    assert "secret" not in repr(RECORD)


def test_damaged_record_is_no_hub(tmp_path):
    job = JobFiles(job_dir=str(tmp_path))
    job.write_hub(RECORD)
    for text in ("", "{", "[]", "{}", '{"port": -1}'):
        (tmp_path / "slice/hub.json").write_text(text)
        assert job.read_hub() is None


def test_hub_elsewhere_that_lives_is_refused(tmp_path):
    job = JobFiles(job_dir=str(tmp_path))
    require_no_other_hub(job, "10.0.0.2", 1.0, pytest.fail)
    job.write_hub(RECORD)
    require_no_other_hub(job, "10.0.0.1", 1.0, pytest.fail)  # the machine's lock decides
    require_no_other_hub(job, "10.0.0.2", 1.0, lambda _: None)  # silent: dead
    with pytest.raises(
        UserError, match=r"run by another slice, whose hub is on 10\.0\.0\.1: two runs"
    ):
        require_no_other_hub(job, "10.0.0.2", 1.0, lambda _: job.write_state("hub", "new"))
    job.write_hub(HubRecord(**vars(RECORD) | {"end": 42}))
    require_no_other_hub(job, "10.0.0.2", 1.0, pytest.fail)
