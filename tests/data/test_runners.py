"""A build has the same bytes with any runner and any number of workers."""

import bz2
import contextlib
import os
import re
import socket
import subprocess
import sys

import pytest

from data import files
from data.build import build
from data.errors import UserError
from data.manifest import Manifest
from data.sources.documents import find_inputs
from data.sources.formats import plan_units
from data.stages import runner
from data.stages.runner import pipeline_options

WORKERS = "--direct_running_mode=multi_processing"


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param([WORKERS, "--direct_num_workers=2"], id="2 processes"),
        pytest.param([WORKERS, "--direct_num_workers=1"], id="1 process", marks=pytest.mark.slow),
        pytest.param([WORKERS, "--direct_num_workers=4"], id="4 processes", marks=pytest.mark.slow),
        pytest.param(
            ["--direct_running_mode=multi_threading", "--direct_num_workers=3"],
            id="threads",
            marks=pytest.mark.slow,
        ),
        pytest.param(["--direct_runner_bundle_repeat=1"], id="every bundle twice"),
        pytest.param(["--direct_test_splits={}"], id="bundles split"),
    ],
)
def test_bytes_do_not_depend_on_workers(
    small_build, small_config, vocab, inputs, tmp_path, arguments, sums_of
):
    build(
        config=small_config,
        vocab=vocab,
        inputs=list(reversed(inputs)),
        output_dir=str(tmp_path / "d"),
        beam_args=arguments,
    )
    assert sums_of(tmp_path / "d") == sums_of(small_build)


def test_bytes_do_not_depend_on_units_and_batches(
    small_build, small_config, vocab, inputs, tmp_path, monkeypatch, sums_of
):
    """Use parts of a few kilobytes, batches of three paragraphs and segments of one batch."""
    plain = tmp_path / "wiki.xml"
    with bz2.open(next(file.path for file in inputs if file.kind == "wiki")) as dump:
        plain.write_bytes(dump.read())
    books = [file for file in inputs if file.kind == "books"]
    inputs = [*books, *find_inputs("wiki", str(plain))]
    manifests = []
    for name in ("whole", "parts"):
        build(config=small_config, vocab=vocab, inputs=inputs, output_dir=str(tmp_path / name))
        manifests.append(sums_of(tmp_path / name))
        monkeypatch.setattr("data.sources.wiki.parts.PLAIN_PART_BYTES", 10_000)
        monkeypatch.setattr(
            "data.build.plan_units", lambda inputs: plan_units(inputs, unit_bytes=1)
        )
        monkeypatch.setattr("data.stages.extract._BATCH_PARAGRAPHS", 3)
        monkeypatch.setattr("data.stages.extract._SEGMENT_BYTES", 1)
    assert len(plan_units(inputs, unit_bytes=1)) > 5
    assert manifests[0] == manifests[1]
    del manifests[0]["manifest.json"]  # has the other name of the dump
    assert manifests[0].items() <= sums_of(small_build).items()


def test_manifest_does_not_depend_on_the_file_system(small_build, small_config, vocab, inputs):
    """ram:// uses the same code as gs://."""
    directory = "ram://build-on-ram"
    build(config=small_config, vocab=vocab, inputs=inputs, output_dir=directory)
    manifest = Manifest.load(directory)
    assert manifest == Manifest.load(small_build)
    for shard in manifest.shards:
        for file in shard.files:
            file.check_content(directory)
    assert not files.exists(files.join(directory, "unfinished"))


@contextlib.contextmanager
def job_service():
    """Start Beam's portable job server, which starts a worker process for each job."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "apache_beam.runners.portability.local_job_service_main"]
    process = subprocess.Popen(
        [*command, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        for line in process.stderr:
            if re.search(r"Listening|Started|Server started", line):
                break
        yield f"localhost:{port}"
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_bytes_do_not_depend_on_a_portable_runner(
    small_build, small_config, vocab, inputs, tmp_path, sums_of
):
    with job_service() as endpoint:
        build(
            config=small_config,
            vocab=vocab,
            inputs=inputs,
            output_dir=str(tmp_path / "d"),
            beam_args=[
                "--runner=PortableRunner",
                f"--job_endpoint={endpoint}",
                "--environment_type=LOOPBACK",
            ],
        )
    assert sums_of(tmp_path / "d") == sums_of(small_build)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("DirectRunner", "selects FnApiRunner or PrismRunner"),
        ("apache_beam.runners.dask.dask_runner.DaskRunner", "silently loses elements"),
        ("InteractiveRunner", "omit it"),
    ],
)
def test_unsupported_runner_is_an_error(name, reason):
    with pytest.raises(UserError, match=f"--runner={name} is not supported.*{reason}"):
        runner.pipeline_options([f"--runner={name}"], output_dir="d", paths=[])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], r"^--prism_location is missing; build it with `go install \S+/prism@v2\."),
        (["--prism_location=no/prism"], r"^--prism_location no/prism: is no program; build"),
        (
            ["--prism_location", "https://e.org/p.zip"],
            r"^--prism_location https://e\.org/p\.zip: is",
        ),
    ],
)
def test_prism_is_a_program_on_this_machine(flags, message):
    with pytest.raises(UserError, match=message):
        runner.check_prism(["--runner=PrismRunner", *flags])


@pytest.mark.parametrize(
    ("flags", "level"),
    [([], "CRITICAL"), (["--runner=PortableRunner", "--job_endpoint=localhost:1"], "ERROR")],
)
def test_job_servers_get_a_level_that_java_has(flags, level):
    options = pipeline_options(flags, output_dir="d", paths=[]).get_all_options()
    assert options["default_sdk_harness_log_level"] == level


@pytest.mark.parametrize(
    "reason",
    [
        "data.errors.UserError: a: is damaged",
        "Traceback (most recent call last):\ndata.sources.streams.DamagedError: a: is damaged",
        "java.lang.RuntimeException: Error from SDK harness\ndata.errors.UserError: a: is damaged",
    ],
)
def test_errors_of_workers_are_one_line(reason):
    """Portable runners give the stack trace of a worker as text."""
    failed = f"Pipeline job-001 failed in state FAILED: {reason} [while running 'BuildCorpus/Read']"
    with (
        pytest.raises(UserError, match=r"^a: is damaged$"),
        runner.readable_beam_errors("d"),
    ):
        raise RuntimeError(failed)


def test_a_job_that_its_engine_ends_is_one_line():
    reason = "org.apache.spark.SparkException: Job aborted due to stage failure: it was retried."
    with (
        pytest.raises(UserError, match=r"^the engine ended the job: Job aborted .+ command again$"),
        runner.readable_beam_errors("d"),
    ):
        raise RuntimeError(f"Pipeline job-1 failed in state FAILED: {reason}\nmore")


def test_an_error_in_our_code_keeps_its_stack_trace():
    with (
        pytest.raises(RuntimeError, match="KeyError"),
        runner.readable_beam_errors("d"),
    ):
        raise RuntimeError(
            "Pipeline a failed in state FAILED: Traceback (most recent call last):\nKeyError: 'a'"
        )


@pytest.mark.parametrize("name", ["DataflowRunner", "FlinkRunner", "SparkRunner"])
def test_remote_workers_need_remote_paths(name):
    with pytest.raises(UserError, match=f"--runner={name}: d is a local path"):
        runner.pipeline_options([f"--runner={name}"], output_dir="d", paths=[])
    with pytest.raises(UserError, match=f"--runner={name}: books/a is a local path"):
        runner.pipeline_options([f"--runner={name}"], output_dir="gs://b/d", paths=["books/a"])


def test_default_runner():
    options = runner.pipeline_options([], output_dir="d", paths=[])
    assert options.get_all_options()["runner"].endswith("FnApiRunner")


@pytest.mark.parametrize(
    ("beam_args", "workers", "num_bytes", "expected"),
    [
        ([], 3, 10, 3),
        ([], 1, 10**9, 1),
        ([], None, 10**9, 4),
        ([], None, 2**20, 2),
        ([], None, 143_000, 1),
        (["--experiments=x"], None, 10**9, 4),
        (["--direct_running_mode=multi_threading"], None, 10**9, 1),
        (["--runner", "FlinkRunner"], None, 10**9, 1),
    ],
)
def test_workers_are_all_cores_unless_there_is_little_text(
    monkeypatch, beam_args, workers, num_bytes, expected
):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    flags = runner.worker_flags(beam_args, workers, num_bytes=num_bytes)
    processes = [f"--direct_num_workers={expected}", "--direct_running_mode=multi_processing"]
    assert flags == (processes if expected > 1 else [])


@pytest.mark.parametrize(
    ("beam_args", "workers", "message"),
    [
        (["--direct_num_workers=2"], 2, "--workers 2 and --direct_num_workers=2 both choose"),
        (["--runner", "FlinkRunner"], 2, "--workers 2 and --runner both choose"),
        ([], 0, "--workers 0: must be between 1 and 1024"),
    ],
)
def test_workers_that_are_chosen_twice_are_an_error(beam_args, workers, message):
    with pytest.raises(UserError, match=message):
        runner.worker_flags(beam_args, workers, num_bytes=10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--num_workers=2"], "--num_workers=2 has no effect on this machine: .*; --workers N"),
        (["--machine_type", "n1"], "--machine_type has no effect on this machine"),
        (["--parallelism=2"], "--parallelism=2 has no effect on this machine"),
        (["--worker=2"], "--worker=2 is neither .*; did you mean --workers"),
        (["--direct_num_worker=2"], "did you mean --direct_num_workers"),
        (["--runner=DataflowRunner", "--num_worker=2"], "did you mean --num_workers"),
    ],
)
def test_option_without_effect_is_an_error(arguments, message):
    with pytest.raises(UserError, match=message):
        runner.check_flags(arguments, ["--workers", "--books"])


def test_options_with_an_effect_are_accepted():
    runner.check_flags(["--direct_num_workers=2", "--experiments", "x", "--save_main_session"], [])
    runner.check_flags(["--runner=DataflowRunner", "--num_workers=2", "--region", "r"], [])
    runner.check_flags(["--runner", "FlinkRunner", "--parallelism=2"], [])


def test_beam_option_of_another_type_is_one_line(tmp_path, capsys):
    with pytest.raises(
        UserError, match=r"^argument --direct_num_workers: invalid int value: 'x'; "
    ):
        pipeline_options(["--direct_num_workers=x"], output_dir=str(tmp_path), paths=[])
    assert capsys.readouterr().err == ""
