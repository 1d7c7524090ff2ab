"""Runs that are killed, preempted or lose a worker: once resumed, they equal an uninterrupted run."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tensorflow as tf

from data.errors import StorageError, UserError
from launch.local import run_workers
from launch.strategy import Workers
from pretrain import run
from pretrain.checkpoints.catalog import committed
from pretrain.checkpoints.checkpoint import Checkpoints
from pretrain.train.exits import exit_on_stop
from pretrain.train.metrics_log import CLOCK_METRICS, read_metrics
from pretrain.train.trainer import Trainer
from tests.support.pretraining import arguments

# Checkpoints fall between rows, before and after them.
PARAMS = ("TrainConfig.log_interval = 3", "TrainConfig.train_steps = 9")

# pretrain.run in which a worker sends itself a signal before a step or before a commit record.
PROGRAM = """
import json, os, signal, sys
from data.cli.main import run_main
from pretrain import run
from pretrain.checkpoints import checkpoint
from pretrain.train.trainer import Trainer
from launch.strategy import Workers
where, step, number, worker, *argv = sys.argv[1:]
task = json.loads(os.environ.get("TF_CONFIG", "{}")).get("task", {"index": 0})
commit, train = checkpoint.Checkpoints._commit, Trainer.train

def hit(now):
    if now >= int(step) and task["index"] == int(worker) and not hit.done:
        hit.done = True
        os.kill(os.getpid(), int(number))

hit.done = False

def commit_or_die(self, ref, notes):
    if where == "save":
        hit(ref.step)
    commit(self, ref, notes)

def train_or_die(self, iterator, num_steps):
    if where == "step":
        hit(self.step + 1)
    return train(self, iterator, num_steps)

checkpoint.Checkpoints._commit, Trainer.train = commit_or_die, train_or_die
run_main(run.main, argv)
"""


def command(where, step, number, argv, worker=0) -> list[str]:
    return [sys.executable, "-c", PROGRAM, where, str(step), str(int(number)), str(worker), *argv]


def rows(model_dir) -> list[dict]:
    """Return the rows of metrics without what depends on the clock."""
    return [
        {name: value for name, value in row.items() if name not in CLOCK_METRICS}
        for row in read_metrics(model_dir)
    ]


@pytest.fixture(scope="module")
def whole(small_build, tmp_path_factory) -> list[dict]:
    """Return the rows of an uninterrupted run."""
    path = tmp_path_factory.mktemp("whole") / "m"
    run.main(arguments(small_build, path, *PARAMS))
    found = rows(path)
    assert [row["step"] for row in found] == [3, 4, 6, 8, 9, 9]
    return found


@pytest.mark.slow
def test_run_killed_twice_equals_an_uninterrupted_run(small_build, whole, tmp_path):
    argv = arguments(small_build, tmp_path / "m", *PARAMS)
    # The save of step 6 may be pending when the process is killed before step 7.
    for where, step, left in (("save", 4, [[2]]), ("step", 7, [[2, 4], [4, 6]])):
        done = subprocess.run(command(where, step, signal.SIGKILL, argv), capture_output=True)
        assert done.returncode == -signal.SIGKILL
        assert [ref.step for ref in committed(tmp_path / "m")] in left
    run.main(argv)
    assert rows(tmp_path / "m") == whole


def test_sigterm_saves_and_asks_for_a_restart(small_build, whole, tmp_path, monkeypatch, capsys):
    train = Trainer.train

    def train_and_preempt(self, iterator, num_steps):
        if self.step == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return train(self, iterator, num_steps)

    argv = arguments(small_build, tmp_path / "m", *PARAMS, "TrainConfig.steps_per_loop = 1")
    monkeypatch.setattr(Trainer, "train", train_and_preempt)
    with pytest.raises(SystemExit) as caught:
        run.main(argv)
    assert caught.value.code == 42
    assert "stopped after step 5 by SIGTERM" in capsys.readouterr().err
    assert committed(tmp_path / "m")[-1].step == 5
    monkeypatch.undo()
    run.main(argv)
    assert rows(tmp_path / "m") == whole


def test_ctrl_c_saves_and_the_same_command_resumes(
    small_build, whole, tmp_path, monkeypatch, capsys
):
    train = Trainer.train

    def train_and_interrupt(self, iterator, num_steps):
        metrics = train(self, iterator, num_steps)
        if self.step == 5:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.5)  # the thread that watches for interrupts reads it
        return metrics

    argv = arguments(small_build, tmp_path / "m", *PARAMS, "TrainConfig.steps_per_loop = 1")
    monkeypatch.setattr(Trainer, "train", train_and_interrupt)
    with pytest.raises(SystemExit) as caught:
        run.main(argv)
    assert caught.value.code == 130
    printed = capsys.readouterr()
    assert "stopping: the run first saves its state" in printed.err
    assert (
        "stopped after step 5 by Ctrl-C; everything is saved, the same command resumes"
        in printed.err
    )
    assert committed(tmp_path / "m")[-1].step == 5
    monkeypatch.undo()
    run.main(argv)
    assert rows(tmp_path / "m") == whole


def test_workers_wait_for_the_last_commit_of_the_chief(small_build, tmp_path, monkeypatch):
    """`Workers.any` waits for all workers; after the last commit each of them calls it."""
    calls = []

    def record(owner, name):
        real = getattr(owner, name)

        def recorded(self, *args):
            calls.append(name)
            return real(self, *args)

        monkeypatch.setattr(owner, name, recorded)

    record(Checkpoints, "finish")
    record(Workers, "any")
    run.main([*arguments(small_build, tmp_path / "m", *PARAMS), "--mode=train"])
    assert calls[-2:] == ["finish", "any"]


def test_full_disk_ends_the_run_after_the_loop_in_which_a_save_fails(small_build, tmp_path):
    """Files are limited to 100 kB: rows of metrics fit in, checkpoints do not."""
    params = ("TrainConfig.train_steps = 400", "TrainConfig.checkpoint_interval = 200")
    params += ("TrainConfig.steps_per_loop = 1", "TrainConfig.eval_interval = 0")
    argv = arguments(small_build, tmp_path / "m", *params, "TrainConfig.log_interval = 100")
    command = [sys.executable, "-m", "pretrain.run", *argv]
    done = subprocess.run(
        ["bash", "-c", 'ulimit -f 100; exec "$@"', "-", *command], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "Propagating" not in done.stderr  # TensorFlow's own message
    *_, line = done.stderr.splitlines()  # XLA may have written others
    folder = tmp_path / "m/checkpoints/step-00000200"
    assert line.startswith(f"error: the checkpoint of step 200 could not be written to {folder}: ")
    assert "File too large" in line
    assert line.endswith("make room, and run the same command again")
    assert 200 <= read_metrics(tmp_path / "m")[-1]["step"] < 400


@pytest.mark.slow
def test_two_workers_resume_after_a_preemption_and_a_kill(small_build, whole, tmp_path, capfd):
    """One is preempted, then one is killed; the pair resumes and trains as one process does."""
    model_dir = tmp_path / "m"
    cluster = "ClusterConfig.strategy = 'multi_worker'"
    argv = arguments(small_build, model_dir, *PARAMS, cluster)
    # Both stop after the same step, though only one of them got the notice.
    assert run_workers(command("step", 5, signal.SIGTERM, argv, worker=1), 2) == 42
    output = capfd.readouterr().out
    assert "INFO worker 0: running on 2 x CPU (multi_worker strategy)" in output
    assert "INFO worker 0: pretraining: stopped after step 6 by another worker's notice" in output
    assert "INFO worker 1: pretraining: stopped after step 6 by SIGTERM" in output
    assert committed(model_dir)[-1].step == 6

    assert run_workers(command("step", 7, signal.SIGKILL, argv, worker=1), 2) == 137
    output, errors = capfd.readouterr()
    assert "error: worker 1 ended by signal SIGKILL; the others are stopped" in errors
    assert "[worker 0] error: lost the connection to the other workers" in output

    assert run_workers([sys.executable, "-m", "pretrain.run", *argv], 2) == 0
    found = rows(model_dir)  # written by the chief alone
    assert [row["step"] for row in found] == [row["step"] for row in whole]
    for row, expected in zip(found, whole, strict=True):
        name = "loss" if "loss" in expected else "eval_loss"
        assert row[name] == pytest.approx(expected[name], rel=1e-5)


def test_worker_lost_in_eval_mode_is_one_line(small_build, tmp_path, monkeypatch, capsys):
    """Errors of the runtime are translated outside the training loop too."""

    def lose_connection(self, iterator, num_steps):
        raise tf.errors.UnavailableError(None, None, "Connection reset by peer")

    argv = arguments(small_build, tmp_path / "m", "TrainConfig.train_steps = 3")
    run.main([*argv, "--mode", "train"])
    monkeypatch.setattr(Workers, "are_several", True)
    monkeypatch.setattr(Trainer, "evaluate", lose_connection)
    monkeypatch.setattr(os, "_exit", sys.exit)
    with pytest.raises(SystemExit) as caught:
        run.main([*argv, "--mode", "eval"])
    assert caught.value.code == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("error: lost the connection to the other workers")


def test_full_memory_of_a_device_is_one_line(small_build, tmp_path, monkeypatch):
    """A tensor of 2**47 bytes is allocated in a step, or in an evaluation."""

    def allocate(self, iterator, num_steps):
        return tf.zeros([2**45])

    argv = arguments(small_build, tmp_path / "m", "TrainConfig.micro_batch_size = 2")
    for name, settings in (
        ("train", "lower TrainConfig.micro_batch_size=2 .*rematerialize_blocks = True"),
        ("evaluate", "lower TrainConfig.eval_batch_size=16"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(Trainer, name, allocate)
            with pytest.raises(UserError, match=f"run out of memory: .*{settings}") as caught:
                run.main(argv)
        assert "\n" not in str(caught.value)


def test_worker_without_storage_does_not_wait_for_the_others(monkeypatch, capsys):
    monkeypatch.setattr(os, "_exit", sys.exit)
    for is_multi_worker, expected in ((True, SystemExit), (False, StorageError)):
        with pytest.raises(expected), exit_on_stop("pretraining", is_multi_worker=is_multi_worker):
            raise StorageError(5, "Connection reset by peer", "gs://b/m/metrics.jsonl")
    assert capsys.readouterr().err == "error: gs://b/m/metrics.jsonl: Connection reset by peer\n"


@pytest.mark.slow
def test_workers_with_separate_model_dirs_are_refused(small_build, tmp_path, capfd):
    argv = arguments(small_build, "M", "ClusterConfig.strategy = 'multi_worker'")
    run.main(arguments(small_build, tmp_path / "0"))
    program = (
        "import json, os, sys; from data.cli.main import run_main; from pretrain import run;"
        "index = json.loads(os.environ['TF_CONFIG'])['task']['index'];"
        f"run_main(run.main, [arg.replace('M', f'{tmp_path}/{{index}}') if arg == 'M' else arg"
        " for arg in sys.argv[1:]] + ['--gin_param', 'TrainConfig.train_steps = 8'])"
    )
    assert run_workers([sys.executable, "-c", program, *argv], 2) == 2
    output = capfd.readouterr().out
    for worker, step in ((0, 6), (1, 0)):
        assert f"[worker {worker}] error: this worker resumes at step {step}" in output


@pytest.mark.slow
def test_run_killed_twenty_times_equals_an_uninterrupted_run(small_build, whole, tmp_path):
    """At random moments: some during a save, before the first checkpoint, or after the end."""
    argv = arguments(small_build, tmp_path / "m", *PARAMS)
    rng = random.Random(0)
    kills = 0
    while kills < 20:
        if kills % 4 == 0:
            process = subprocess.Popen(
                command("save", rng.randrange(1, 10), signal.SIGKILL, argv),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        else:
            process = subprocess.Popen(
                [sys.executable, "-m", "pretrain.run", *argv],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            time.sleep(rng.uniform(3, 12))
            process.kill()
        kills += 1
        if process.wait() == 0:
            shutil.rmtree(tmp_path / "m/checkpoints/step-00000009")
    run.main(argv)
    assert rows(tmp_path / "m") == whole


def test_two_runs_do_not_share_a_directory(small_build, tmp_path, monkeypatch):
    """The second is refused while the first runs; the lock of a dead process does not count."""
    argv = arguments(small_build, tmp_path / "m", "TrainConfig.train_steps = 3")
    train, refused = Trainer.train, []

    def train_and_start_another(self, iterator, num_steps):
        if not refused:
            with pytest.raises(UserError, match=rf"is in use by process {os.getpid()} on ") as e:
                run.main(argv)
            refused.append(e)
        return train(self, iterator, num_steps)

    (tmp_path / "m").mkdir()
    (tmp_path / "m/.lock").write_text("process 1 on another machine, long dead")
    monkeypatch.setattr(Trainer, "train", train_and_start_another)
    run.main(argv)
    assert refused


class TestData:
    """Data that changes or vanishes during a run."""

    def run_with(self, monkeypatch, small_build, tmp_path, change, *params):
        data_dir = shutil.copytree(small_build, tmp_path / "data")
        train = Trainer.train

        def train_and_change(trainer, iterator, num_steps):
            if trainer.step == 2:
                change(data_dir)
            return train(trainer, iterator, num_steps)

        monkeypatch.setattr(Trainer, "train", train_and_change)
        params = ("TrainConfig.train_steps = 400", "TrainConfig.eval_interval = 0", *params)
        run.main(arguments(data_dir, tmp_path / "m", *params))

    def test_replaced_manifest_is_refused(self, monkeypatch, small_build, tmp_path):
        def change(data_dir: Path):
            path = data_dir / "manifest.json"
            content = json.loads(path.read_text())
            path.write_text(json.dumps({**content, "rejected": 7}))

        with pytest.raises(UserError, match=r"manifest\.json has changed since the start"):
            self.run_with(monkeypatch, small_build, tmp_path, change)
        assert [ref.step for ref in committed(tmp_path / "m")] == [2]

    def test_removed_build_is_refused(self, monkeypatch, small_build, tmp_path):
        with pytest.raises(UserError, match=r"cannot be read: No such file|changed since the st"):
            self.run_with(monkeypatch, small_build, tmp_path, shutil.rmtree)
        assert [ref.step for ref in committed(tmp_path / "m")] == [2]

    def test_damaged_record_is_named(self, monkeypatch, small_build, tmp_path):
        def change(data_dir: Path):
            for path in data_dir.glob("masked/train/*/*.tfrecord"):
                content = bytearray(path.read_bytes())
                for offset in range(100, len(content), 50):
                    content[offset] ^= 1
                path.write_bytes(content)

        with pytest.raises(UserError, match=r"shard-\S+\.tfrecord: record \d+"):
            self.run_with(
                monkeypatch, small_build, tmp_path, change, "TrainConfig.checkpoint_interval = 0"
            )
