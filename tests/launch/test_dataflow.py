"""The job for Dataflow, as far as it can be made without an account. Needs the extra [gcp]."""

import importlib.util

import pytest

from data import files
from data.build import main

FLAGS = [
    "--runner=DataflowRunner",
    "--project=some-project",
    "--region=us-central1",
    "--temp_location=gs://some-bucket/tmp",
    "--staging_location=gs://some-bucket/staging",
    "--sdk_container_image=registry/lambert-worker:0.1",
    "--no_auth",
]

pytestmark = [
    pytest.mark.gcp,
    pytest.mark.skipif(
        importlib.util.find_spec("google.cloud.dataflow_v1beta3") is None
        if importlib.util.find_spec("google.cloud")
        else True,
        reason="needs the extra [gcp]: make test-gcp",
    ),
]


def test_a_dry_run_makes_the_job_and_touches_nothing(golden, capsys):
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
