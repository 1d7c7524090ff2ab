"""Interrupted builds: finished tasks are not run again, unfinished files do not survive."""

import dataclasses
import functools
import json
import os
import random
import re
import signal
import subprocess
import sys
import time

import pytest

from data import schema
from data.build import build, main, verify
from data.config import BuildConfig
from data.errors import UserError
from data.manifest import Manifest
from data.sources.documents import find_inputs
from data.stages.journal import MASKING, NO_RESULT, PACKING, READING, Journal
from data.storage.records import write_records
from data.vocab import Vocab


def command(golden, output_dir, *params) -> list[str]:
    flags = ["--vocab_file", f"{golden}/vocab.txt", "--output_dir", str(output_dir)]
    flags += ["--books", f"{golden}/books/*.txt", "--wiki", f"{golden}/wiki.xml.bz2"]
    for param in ("max_seq_length = 64", "max_predictions = 10", "eval_fraction = 0.25", *params):
        flags += ["--gin_param", f"BuildConfig.{param}"]
    return [sys.executable, "-m", "data.build", *flags]


def test_finished_task_is_not_run_again(tmp_path):
    calls = []

    def make():
        calls.append(1)
        (tmp_path / "f").write_text("content")
        return {"records": 5}, ["f"]

    first = Journal(str(tmp_path)).run_once("kind/name", make, key="k", paths=["f"])
    assert Journal(str(tmp_path)).run_once("kind/name", make, key="k", paths=["f"]) == first
    assert first[0] == {"records": 5}
    assert len(calls) == 1
    assert len(Journal(str(tmp_path)).finished("kind")) == 1
    (tmp_path / "f").write_text("changed")
    assert Journal(str(tmp_path)).run_once("kind/name", make, key="k", paths=["f"]) == first
    assert len(calls) == 2
    (tmp_path / "f").unlink()
    Journal(str(tmp_path)).run_once("kind/name", make, key="k", paths=["f"])
    assert len(calls) == 3


@pytest.fixture
def interrupted(small_config, vocab, inputs, tmp_path, monkeypatch):
    """The arguments of a build that was stopped after four masked copies."""
    written = []

    def stop_after_four(path, chunks):
        if len(written) == 4:
            raise RuntimeError("stopped by the test")
        written.append(path)
        return write_records(path, chunks)

    arguments = {"vocab": vocab, "inputs": inputs, "output_dir": str(tmp_path / "d")}
    monkeypatch.setattr("data.stages.shards.write_records", stop_after_four)
    with pytest.raises(RuntimeError, match="stopped by the test"):
        build(config=small_config, **arguments)
    monkeypatch.undo()
    return arguments


def test_interrupted_build_resumes(
    interrupted, small_config, small_build, tmp_path, monkeypatch, capsys, sums_of
):
    assert not (tmp_path / "d" / schema.MANIFEST_FILE).exists()
    assert len(list((tmp_path / "d/masked").rglob("*.tfrecord"))) == 4
    written = []

    def counting(path, chunks):
        written.append(path)
        return write_records(path, chunks)

    monkeypatch.setattr("data.stages.shards.write_records", counting)
    monkeypatch.setattr("data.pipeline.UnitExtractor", None)  # reading is finished
    build(config=small_config, **interrupted)
    assert "resuming the unfinished build" in capsys.readouterr().err
    assert len(written) == 7 - 4
    assert sums_of(tmp_path / "d") == sums_of(small_build)


def test_truncated_shard_is_written_again(
    interrupted, small_config, small_build, tmp_path, sums_of
):
    path = next((tmp_path / "d/packed").rglob("*.npy"))
    path.write_bytes(path.read_bytes()[:-64])
    path = next((tmp_path / "d/masked").rglob("*.tfrecord"))
    path.write_bytes(bytes(path.stat().st_size))
    (tmp_path / f"d/masked/train/.tmp-{'0' * 32}-shard-00000.tfrecord").touch()
    build(config=small_config, **interrupted)
    assert sums_of(tmp_path / "d") == sums_of(small_build)


@pytest.fixture
def tasks_run(monkeypatch) -> list[str]:
    """Tasks that are run from now on, by kind; finished ones that are skipped do not count."""
    ran, run_once = [], Journal.run_once

    def counting(journal, task, make, **arguments):
        def counted():
            ran.append(task.partition("/")[0])
            return make()

        return run_once(journal, task, counted, **arguments)

    monkeypatch.setattr(Journal, "run_once", counting)
    return ran


# A setting, its new value, and the first kind of tasks whose results it changes.
CHANGES = {
    "copies": (1, "mask"),
    "seed": (8, "mask"),
    "max_predictions": (9, "mask"),
    "masked_lm_rate": (0.2, "mask"),
    "mask_token_rate": (0.7, "mask"),
    "random_token_rate": (0.2, "mask"),
    "mask_unit": ("whole_word", "mask"),
    "max_ngram": (2, "mask"),
    "max_seq_length": (48, "pack"),
    "separators": ("sentence", "pack"),
    "num_shards": (3, "read"),
    "num_eval_shards": (2, "read"),
    "eval_fraction": (0.5, "read"),
    "max_document_bytes": (10**6, "read"),
    "lower_case": (False, "read"),
    "language": ("de", "read"),
    "drop_duplicates": (False, "read"),
    "duplicate_min_words": (4, "read"),
    "near_duplicate_threshold": (0.7, "read"),
    "max_reject_fraction": (0.5, "none"),
    "max_unknown_fraction": (0.9, "none"),
}


FAST = ("copies", "seed", "max_seq_length", "eval_fraction")


def test_every_setting_has_its_stage():
    assert {field.name for field in dataclasses.fields(BuildConfig)} == CHANGES.keys()
    by_stage = {"read": READING, "pack": PACKING, "mask": MASKING, "none": NO_RESULT}
    stages = {name: stage for stage, names in by_stage.items() for name in names}
    assert stages == {name: stage for name, (_, stage) in CHANGES.items()} | {"copies": "none"}


@pytest.mark.parametrize(
    "name",
    [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in CHANGES],
)
def test_changed_setting_repeats_only_what_it_changes(
    name, interrupted, small_config, tmp_path, tasks_run, sums_of, capsys
):
    """The result is that of a fresh build, to the byte."""
    value, stage = CHANGES[name]
    changed = dataclasses.replace(small_config, **{"max_unknown_fraction": 1.0, name: value})
    build(config=changed, **interrupted)
    kinds = ("read", "duplicates", "pack", "mask")
    first = kinds.index(stage) if stage in kinds else len(kinds)
    assert set(tasks_run) <= {*kinds[first:], "mask"}, tasks_run
    assert stage == "none" or name == "copies" or stage in tasks_run
    build(config=changed, **{**interrupted, "output_dir": str(tmp_path / "fresh")})
    assert sums_of(tmp_path / "d") == sums_of(tmp_path / "fresh")
    if name not in ("max_reject_fraction", "max_unknown_fraction"):
        assert f"with changes (BuildConfig.{name} is " in capsys.readouterr().err


@pytest.fixture
def build_until_packed(monkeypatch):
    """Function that begins a build, which fails in the check of the packed shards."""

    def stop(*_, **__):
        raise UserError("a late check")

    def run(**arguments):
        with monkeypatch.context() as patch, pytest.raises(UserError, match="a late check"):
            patch.setattr("data.pipeline.check_corpus", stop)
            build(**arguments)

    return run


def test_corrected_glob_reads_only_what_is_new(
    small_config,
    small_build,
    vocab,
    inputs,
    build_until_packed,
    tasks_run,
    tmp_path,
    sums_of,
    monkeypatch,
):
    monkeypatch.setattr("data.sources.formats._FILES_BETWEEN_CUTS", 1)  # each file is a unit
    arguments = {"config": small_config, "vocab": vocab, "output_dir": str(tmp_path / "d")}
    build_until_packed(inputs=inputs[:-2], **arguments)
    tasks_run.clear()
    changed = [inputs[0], *inputs[2:4]]  # one fewer, one more
    build_until_packed(inputs=changed, **arguments)
    assert tasks_run.count("read") == 1
    tasks_run.clear()
    build(inputs=inputs, **arguments)
    assert tasks_run.count("read") == 1  # that of the file which was there at first is still used
    assert sums_of(tmp_path / "d") == sums_of(small_build)


def test_corrected_vocabulary_replaces_the_other(
    small_config, small_build, vocab, inputs, build_until_packed, tmp_path, sums_of
):
    arguments = {"config": small_config, "inputs": inputs, "output_dir": str(tmp_path / "d")}
    build_until_packed(vocab=Vocab((*vocab.pieces[:-1], "##zyx")), **arguments)
    build(vocab=vocab, **arguments)
    assert sums_of(tmp_path / "d") == sums_of(small_build)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--vocab_file={tmp}/none"], "none does not exist"),
        (["--gin_param=BuildConfig.copies = -1"], "BuildConfig.copies=-1: must be between"),
        (["--gin_param=BuildConfig.max_ngram = 0"], "BuildConfig.max_ngram=0"),
        (["--num_workers=2"], "has no effect on this machine"),
        (["--output_dir={tmp}"], "is not empty"),
        (["--output_dir={build}"], "holds another build: BuildConfig.copies is 3 there"),
        (["--decontaminate={tmp}/short.txt"], "no run of 13 words"),
    ],
)
def test_mistakes_are_found_before_any_text_is_read(
    golden, small_build, tmp_path, monkeypatch, flags, message
):
    """Heads of the inputs may be read by then, but no file as a whole, not even for its hash."""
    (tmp_path / "short.txt").write_text("too short")
    monkeypatch.setattr("data.build.files.sha256_of", None)
    monkeypatch.setattr("data.pipeline.UnitExtractor", None)
    given = [flag.format(tmp=tmp_path, build=small_build) for flag in flags]
    defaults = [f"--books={golden}/books/*.txt", f"--vocab_file={golden}/vocab.txt"]
    with pytest.raises(UserError, match=re.escape(message)):
        main([*defaults, f"--output_dir={tmp_path}/d", *given])
    assert not (tmp_path / "d/unfinished").exists()


def test_directory_with_other_files_is_not_touched(golden, vocab, tmp_path):
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "unfinished/thesis.txt").touch()
    (tmp_path / ".tmp-mine").touch()
    arguments = {
        "config": BuildConfig(copies=0, eval_fraction=0.0),
        "vocab": vocab,
        "inputs": find_inputs("books", f"{golden}/books/*"),
        "output_dir": str(tmp_path),
    }
    with pytest.raises(
        UserError, match=r"is not empty \(\.tmp-mine, unfinished\) and holds no build"
    ):
        build(**arguments)
    assert (tmp_path / "unfinished/thesis.txt").exists()
    (tmp_path / "unfinished/thesis.txt").unlink()
    (tmp_path / ".tmp-mine").rename(tmp_path / f".tmp-{'0' * 32}-x")
    (tmp_path / "vocab.txt").write_text(vocab.text)  # is accepted in the directory
    build(**arguments)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("manifest.json", "packed", "rejects", "sources", "vocab.txt")
    ]


def test_unfinished_build_of_another_version_is_not_used(
    interrupted, small_config, monkeypatch, tasks_run, capsys
):
    monkeypatch.setattr("data.build.versions", lambda: {"sentencex": "99"})
    build(config=small_config, **interrupted)
    assert re.search(
        r"with changes \(.*sentencex is [\d.]+ there and 99 now", capsys.readouterr().err
    )
    assert set(tasks_run) == {"read", "duplicates", "pack", "mask"}


@pytest.mark.parametrize(
    "record",
    [
        *("", "{", "[]", "[" * 100_000, '{"result": {"records": 1}}'),
        '{"result": [], "files": []}',
        '{"result": {"records": "1"}, "files": []}',
        '{"result": {"records": -1}, "files": []}',
        '{"result": {"records": 1}, "files": []}',
        '{"result": {"records": 0}, "files": [{"path": "../x"}]}',
        '{"result": {"records": 1}, "files": [{"path": "f", "bytes": 0, "sha256": "0"}]}',
        f"""{{"result": {{"records": 1}}, "files":
            [{{"path": "other", "records": 0, "bytes": 1, "sha256": "{"0" * 64}"}}]}}""",
    ],
)
def test_task_with_a_damaged_record_runs_again(tmp_path, record):
    """A power cut can leave an empty file, for example."""
    path = tmp_path / "unfinished/done/kind/name.json"
    path.parent.mkdir(parents=True)
    path.write_text(record)

    def make():
        (tmp_path / "f").write_text("content")
        return {"records": 1}, ["f"]

    task = dict(key="k", paths=["f"], fields=["records"])
    result, (file,) = Journal(str(tmp_path)).run_once("kind/name", make, **task)
    assert (result, file.path, file.bytes) == ({"records": 1}, "f", 7)
    assert Journal(str(tmp_path)).run_once("kind/name", None, **task) == (result, [file])


def wait_for_masks(process: subprocess.Popen, directory) -> None:
    """Wait until a running build has written its first masked copy."""
    deadline = time.monotonic() + 120
    while not list(directory.glob("masked/**/*.tfrecord")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)


def without_progress(errors: str) -> list[str]:
    """Return the lines on standard error but for those that come once a minute."""
    return [line for line in errors.strip().splitlines() if line and " INFO data: " not in line]


def children(pid: int) -> list[int]:
    found = subprocess.run(["pgrep", "--parent", str(pid)], capture_output=True, text=True)
    return list(map(int, found.stdout.split()))


def test_killed_worker_is_an_error_of_one_line(golden, tmp_path):
    """As when the system kills a process that uses too much memory."""
    process = subprocess.Popen(
        [
            *command(golden, tmp_path / "d", "copies = 400", "num_shards = 2"),
            *("--direct_num_workers=2", "--direct_running_mode=multi_processing"),
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for_masks(process, tmp_path / "d")
    shell = children(process.pid)[0]
    os.kill((children(shell) or [shell])[0], signal.SIGKILL)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 2
    (line,) = without_progress(errors)
    assert line.startswith("error: a worker process died")


def test_ctrl_c_prints_one_line(golden, tmp_path):
    process = subprocess.Popen(
        command(golden, tmp_path / "d", "copies = 1000", "num_shards = 2"),
        stderr=subprocess.PIPE,
        text=True,
        # Processes that a shell starts in the background, such as these tests, ignore the signal.
        preexec_fn=functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    wait_for_masks(process, tmp_path / "d")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert without_progress(errors) == ["interrupted; run the same command again to resume"]
    assert not (tmp_path / "d" / schema.MANIFEST_FILE).exists()


@pytest.mark.slow
def test_build_killed_ten_times_has_the_same_bytes(golden, tmp_path, sums_of):
    """SIGKILL all processes of a build with two workers; a finished build is always intact."""
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
    assert sums_of(directory) == sums_of(whole)


def test_full_disk_is_an_error_of_one_line(golden, tmp_path):
    """A limit on file sizes stands in for a full file system, which would need root."""
    done = subprocess.run(
        ["bash", "-c", 'ulimit -f 60; exec "$@"', "-", *command(golden, tmp_path / "d")],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 2
    assert re.fullmatch(r"error: File too large: '.*/unfinished/.*'\n", done.stderr)
    assert not (tmp_path / "d" / schema.MANIFEST_FILE).exists()


def test_unwritable_directory_is_an_error_of_one_line(golden, tmp_path):
    (tmp_path / "file").touch()
    done = subprocess.run(
        command(golden, tmp_path / "file/d"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.strip().splitlines()) == 1


def test_manifest_is_written_last(small_build):
    manifest = json.loads((small_build / schema.MANIFEST_FILE).read_text())
    newest = (small_build / schema.MANIFEST_FILE).stat().st_mtime_ns
    assert manifest == json.loads(Manifest.load(small_build).to_json())
    for path in small_build.rglob("*"):
        assert path.stat().st_mtime_ns <= newest or path.is_dir()
    assert not (small_build / "unfinished").exists()
