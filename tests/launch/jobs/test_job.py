"""The files of a job, and the archive of the checkout."""

import subprocess

import pytest

from data import files
from data.errors import UserError
from launch.jobs.job import Job, package_folders, source_archive
from tests.support.jobs import make_job


def test_job_reads_back_what_was_written():
    job = make_job(bucket="ram://jobs")
    for name, content in job.files().items():
        files.write_atomically(f"ram://jobs/large/{name}", content)
    assert Job.load("ram://jobs/large") == job
    with pytest.raises(UserError, match="ram://jobs/none is not a job"):
        Job.load("ram://jobs/none")
    needed = b'"bucket": "ram://jobs", "accelerator": "cpu"'
    for content, message in {
        b"[" * 100_000: "it is nested more than 64 deep",
        b"null": "it is null, must be an object",
        b"{}": "name is missing; create the job again$",
        b'{"name": "large", "bucket": "ram://jobs"}': "accelerator is missing; create the job again$",
        b'{"name": 7, %s}' % needed: "LaunchConfig.name=7: must be a string",
        b'{"name": "large", "nam": 1, %s}' % needed: "was written by another version",
    }.items():
        files.write_atomically("ram://jobs/large/job.json", content)
        with pytest.raises(UserError, match=rf"large/job\.json.* {message}"):
            Job.load("ram://jobs/large")


def test_settings_of_a_job_that_are_not_utf8():
    for name, content in make_job(bucket="ram://damaged").files().items():
        files.write_atomically(
            f"ram://damaged/large/{name}", content + b" \xff" * (name == "run.gin")
        )
    with pytest.raises(UserError, match=r"large/run\.gin is damaged: it is not UTF-8"):
        Job.load("ram://damaged/large")


def test_archive_is_complete_and_reproducible(tmp_path):
    (tmp_path / "a.tar.gz").write_bytes(source_archive())
    assert source_archive() == (tmp_path / "a.tar.gz").read_bytes()
    listed = subprocess.run(
        ["tar", "tzf", tmp_path / "a.tar.gz"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert {"launch/install.sh", "gin/lambert_tiny.gin", "requirements.lock"} <= {*listed}
    assert not [name for name in listed if "__pycache__" in name or name.startswith(".")]
    folders = tuple(f"{folder}/" for folder in package_folders())
    assert all(name.startswith(folders) for name in listed if "/" in name)
    assert all(any(name.startswith(folder) for name in listed) for folder in folders)


def test_archive_needs_a_checkout(tmp_path):
    with pytest.raises(UserError, match=rf"{tmp_path} is not a checkout"):
        source_archive(tmp_path)
