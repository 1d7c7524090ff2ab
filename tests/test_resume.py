"""Interrupted builds: nothing finished is done again, nothing half done survives."""

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from data import schema
from data.build import build, verify
from data.config import BuildConfig
from data.documents import find_inputs
from data.errors import UserError
from data.files import sha256_of
from data.journal import Journal
from data.manifest import Manifest
from data.records import write_records


def command(golden, output_dir, *params) -> list[str]:
    flags = ["--vocab_file", f"{golden}/vocab.txt", "--output_dir", str(output_dir)]
    flags += ["--books", f"{golden}/books/*.txt", "--wiki", f"{golden}/wiki.xml.bz2"]
    for param in ("max_seq_length = 64", "max_predictions = 10", "eval_fraction = 0.25", *params):
        flags += ["--gin_param", f"BuildConfig.{param}"]
    return [sys.executable, "-m", "data.build", *flags]


def all_files(directory) -> dict[str, str]:
    return {
        path.relative_to(directory).as_posix(): sha256_of(path)
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def test_a_task_that_is_done_is_not_done_again(tmp_path):
    calls = []

    def make():
        calls.append(1)
        (tmp_path / "f").write_text("content")
        return {"n": 5}, ["f"]

    first = Journal(str(tmp_path)).once("kind/name", make)
    assert Journal(str(tmp_path)).once("kind/name", make) == first
    assert first[0] == {"n": 5}
    assert len(calls) == 1
    assert Journal(str(tmp_path)).finished() == {"kind": 1}
    (tmp_path / "f").write_text("changed")
    assert Journal(str(tmp_path)).once("kind/name", make) == first
    assert len(calls) == 2
    (tmp_path / "f").unlink()
    Journal(str(tmp_path)).once("kind/name", make)
    assert len(calls) == 3


@pytest.fixture
def interrupted(small_config, vocab, inputs, tmp_path, monkeypatch):
    """A build that was stopped after four masked copies, and the arguments to go on with."""
    written = []

    def stop_after_four(path, chunks):
        if len(written) == 4:
            raise RuntimeError("stopped by the test")
        written.append(path)
        return write_records(path, chunks)

    arguments = {"vocab": vocab, "inputs": inputs, "output_dir": str(tmp_path / "d")}
    monkeypatch.setattr("data.shards.write_records", stop_after_four)
    with pytest.raises(RuntimeError, match="stopped by the test"):
        build(config=small_config, **arguments)
    monkeypatch.undo()
    return arguments


def test_a_build_goes_on_where_it_stopped(
    interrupted, small_config, small_build, tmp_path, monkeypatch, capsys
):
    assert not (tmp_path / "d" / schema.MANIFEST_FILE).exists()
    assert len(list((tmp_path / "d/masked").rglob("*.tfrecord"))) == 4
    written = []

    def counting(path, chunks):
        written.append(path)
        return write_records(path, chunks)

    monkeypatch.setattr("data.shards.write_records", counting)
    monkeypatch.setattr("data.pipeline.UnitExtractor", None)  # reading is done
    build(config=small_config, **interrupted)
    assert "going on with the unfinished build" in capsys.readouterr().out
    assert len(written) == 7 - 4
    assert all_files(tmp_path / "d") == all_files(small_build)


def test_a_half_written_shard_is_made_again(interrupted, small_config, small_build, tmp_path):
    path = next((tmp_path / "d/packed").rglob("*.npy"))
    path.write_bytes(path.read_bytes()[:-64])
    path = next((tmp_path / "d/masked").rglob("*.tfrecord"))
    path.write_bytes(bytes(path.stat().st_size))
    (tmp_path / "d/masked/train/.tmp-0-shard-00000.tfrecord").touch()
    build(config=small_config, **interrupted)
    assert all_files(tmp_path / "d") == all_files(small_build)


def test_an_unfinished_build_of_other_settings_is_left_alone(interrupted, small_config, tmp_path):
    before = all_files(tmp_path / "d")
    other = dataclasses.replace(small_config, seed=8)
    with pytest.raises(UserError, match=r"\(not finished\) holds another build: .*seed is 7 there"):
        build(config=other, **interrupted)
    assert all_files(tmp_path / "d") == before


def test_a_directory_of_something_else_is_left_alone(golden, vocab, tmp_path):
    (tmp_path / "packed").mkdir()
    with pytest.raises(UserError, match=r"has a folder packed/ but no manifest\.json"):
        build(
            config=BuildConfig(copies=0, eval_fraction=0.0),
            vocab=vocab,
            inputs=find_inputs("books", f"{golden}/books/*"),
            output_dir=str(tmp_path),
        )


def test_ctrl_c_stops_with_one_line(golden, tmp_path):
    process = subprocess.Popen(
        command(golden, tmp_path / "d", "copies = 400", "num_shards = 2"),
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not list((tmp_path / "d").glob("masked/**/*.tfrecord")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert errors.strip() == "interrupted; run the same command again to go on"
    assert not (tmp_path / "d" / schema.MANIFEST_FILE).exists()


@pytest.mark.slow
def test_ten_kills_at_random_moments_change_nothing(golden, tmp_path):
    """SIGKILL of all processes of a build with two workers; what is finished is always right."""
    flags = ["--direct_num_workers=2", "--direct_running_mode=multi_processing"]
    params = ("copies = 40", "num_shards = 4")
    whole = tmp_path / "whole"
    started = time.monotonic()
    subprocess.run([*command(golden, whole, *params), *flags], check=True, capture_output=True)
    duration = time.monotonic() - started
    rng = random.Random(0)
    directory = tmp_path / "d"
    for _ in range(10):
        process = subprocess.Popen(
            [*command(golden, directory, *params), *flags],
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(rng.uniform(0.2, 0.9) * duration)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if (directory / schema.MANIFEST_FILE).exists():
            verify(str(directory))
    subprocess.run([*command(golden, directory, *params), *flags], check=True, capture_output=True)
    assert all_files(directory) == all_files(whole)


def test_disk_full_is_one_line(golden, tmp_path):
    """A file system of one megabyte would need root; a limit on file sizes says the same."""
    done = subprocess.run(
        ["bash", "-c", 'ulimit -f 60; exec "$@"', "-", *command(golden, tmp_path / "d")],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 2
    assert done.stderr == "error: File too large\n"
    assert not (tmp_path / "d" / schema.MANIFEST_FILE).exists()


def test_an_unwritable_directory_is_one_line(golden, tmp_path):
    (tmp_path / "file").touch()
    done = subprocess.run(
        command(golden, tmp_path / "file/d"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_manifest_is_the_last_thing_written(small_build):
    manifest = json.loads((small_build / schema.MANIFEST_FILE).read_text())
    newest = (small_build / schema.MANIFEST_FILE).stat().st_mtime_ns
    assert manifest == json.loads(Manifest.load(small_build).to_json())
    for path in small_build.rglob("*"):
        assert path.stat().st_mtime_ns <= newest or path.is_dir()
    assert not (small_build / "unfinished").exists()
