"""The data build on Dataflow: its command, and its job as far as it can be made without an account."""

import importlib.util
import sys

import pytest

from data import files
from data.build import main
from data.errors import UserError
from launch import dataflow
from launch.jobs.job import Action
from tests.support.jobs import JOB_DIR, make_job, split_commands

FLAGS = [
    "--runner=DataflowRunner",
    "--project=some-project",
    "--region=us-central1",
    "--temp_location=gs://some-bucket/tmp",
    "--staging_location=gs://some-bucket/staging",
    "--sdk_container_image=registry/lambert-worker:0.1",
    "--no_auth",
]


def action(**settings) -> Action:
    config = make_job(**dict(worker_image="registry/worker:1") | settings).config
    arguments = ["--text", "gs://b/t/*", "--output_dir", "gs://b/d"]
    return dataflow.build_action(config, "BuildConfig.copies = 0\n", arguments, "W")


def test_command_and_settings_of_a_build():
    build = action(subnetwork="s", worker_machine_type="n2-standard-4")
    assert build.files == {"W/build.gin": b"BuildConfig.copies = 0\n"}
    python, *command = build.commands[0]
    assert (python, [tuple(command)]) == (
        sys.executable,
        split_commands(
            f"""
-m data.build --strict_gin --gin_file W/build.gin --text 'gs://b/t/*' --output_dir gs://b/d --runner=DataflowRunner --project=p --region=us-west4 --job_name=large --temp_location={JOB_DIR}/tmp --staging_location={JOB_DIR}/staging --sdk_container_image=registry/worker:1 --max_num_workers=100 --worker_machine_type=n2-standard-4 --service_account_email=trainer --subnetwork=regions/us-west4/subnetworks/s --no_use_public_ips --no_save_main_session
"""  # noqa: E501, S108
        ),
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(worker_image=""), r"LaunchConfig\.worker_image is missing"),
        (dict(service_account=""), r"LaunchConfig\.service_account is missing"),
        (dict(bucket="/b"), r"LaunchConfig\.bucket='/b': must be in a bucket"),
    ],
)
def test_invalid_settings_are_errors(settings, message):
    with pytest.raises(UserError, match=message):
        action(**settings)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no arguments: give those of data.build after --"),
        (["--", "--gin_param", "BuildConfig.copies=1"], "--gin_param is after --"),
    ],
)
def test_invalid_command_lines_are_errors(arguments, message):
    with pytest.raises(UserError, match=message):
        dataflow.main(arguments)


@pytest.mark.gcp
@pytest.mark.skipif(
    importlib.util.find_spec("google.cloud.dataflow_v1beta3") is None
    if importlib.util.find_spec("google.cloud")
    else True,
    reason="needs the extra [gcp]: make test-gcp",
)
def test_dry_run_creates_the_job_and_writes_nothing(golden, capsys):
    files.write_atomically("ram://dataflow-in/a.txt", b"Some text.")
    main(
        [
            *("--dry_run", "--text", "ram://dataflow-in/*.txt"),
            *("--vocab_file", f"{golden}/vocab.txt", "--output_dir", "ram://dataflow-out"),
            *FLAGS,
        ]
    )
    assert "nothing was run" in capsys.readouterr().out
    assert not files.exists("ram://dataflow-out")
