"""Checkpoints: saving, verification, restoring, retention."""

import json
import resource
import shutil
import time

import pytest
import tensorflow as tf

from data import files
from data.errors import UserError
from pretrain.checkpoints import catalog, checkpoint
from pretrain.checkpoints.best import best_step, record_best
from pretrain.checkpoints.catalog import CheckpointRef, committed
from pretrain.checkpoints.checkpoint import Checkpoints
from tests.support.logged import messages

RUN = {"config_sha256": "c0", "data_sha256": "d0"}


def state(value: float) -> dict:
    return {
        "model": [tf.Variable([value] * 300), tf.Variable(value)],
        "step": tf.Variable(value, name="step"),
    }


def values(items) -> set[float]:
    return {float(x) for v in [*items["model"], items["step"]] for x in v.numpy().reshape(-1)}


def fill(model_dir, *steps: int, **options) -> None:
    items = state(0.0)
    saving = Checkpoints(model_dir, items=items, run=RUN, **{"keep": 9, **options})
    for step in steps:
        for variable in [*items["model"], items["step"]]:
            variable.assign(tf.fill(variable.shape, float(step)))
        saving.save(step, {"loss": step / 3})
    saving.wait()


def restore(model_dir, run=RUN):
    items = state(-1.0)
    restored = Checkpoints(model_dir, items=items, run=run, keep=9).restore_newest()
    return restored, values(items)


@pytest.fixture(params=["local", "ram"])
def model_dir(request, tmp_path):
    return str(tmp_path / "m") if request.param == "local" else f"ram://{tmp_path.name}/m"


def test_newest_checkpoint_is_restored_with_its_notes(model_dir):
    assert restore(model_dir) == (None, {-1.0})
    fill(model_dir, 2, 4, 10)
    restored, state_values = restore(model_dir)
    assert (restored.step, restored.notes, state_values) == (10, {"loss": 10 / 3}, {10.0})


def test_save_captures_the_state_at_the_call(tmp_path):
    """Updates made while the files are written do not change them."""
    items = state(1.0)
    saving = Checkpoints(tmp_path, items=items, run=RUN, keep=1)
    for step in (1, 2):  # TensorFlow takes another path for the first save
        saving.save(step)
        for variable in [*items["model"], items["step"]]:
            variable.assign_add(tf.ones_like(variable))
        saving.wait()
        assert restore(tmp_path)[1] == {float(step)}


def test_newest_and_every_nth_checkpoints_are_kept(model_dir):
    fill(model_dir, 10, 20, 30, 40, 50, keep=2, keep_every=20)
    assert [ref.step for ref in committed(model_dir)] == [20, 40, 50]
    assert files.list_dir(files.join(model_dir, "checkpoints"))[:2] == [
        "newest.json",
        "step-00000020",
    ]


def truncate(folder):
    path = folder / "ckpt.data-00000-of-00001"
    path.write_bytes(path.read_bytes()[:-1])


def flip(folder):
    path = folder / "ckpt.data-00000-of-00001"
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)


def drop_index(folder):
    (folder / "ckpt.index").unlink()


def truncate_record(folder):
    (folder / "COMMIT.json").write_text('{"step": 4, "fi')


def copy_record_of_other_step(folder):
    shutil.copy(folder.parent / "step-00000002/COMMIT.json", folder)


def link_index_to_nowhere(folder):
    (folder / "ckpt.index").unlink()
    (folder / "ckpt.index").symlink_to("nowhere")


def lose_variable(folder):
    """Replace the files by intact files of a smaller model."""
    shutil.rmtree(folder)
    items = {name: value for name, value in state(4.0).items() if name != "step"}
    saving = Checkpoints(folder.parent.parent, items=items, run=RUN, keep=9)
    saving.save(4)
    saving.wait()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, r"is damaged: ckpt\.data-00000-of-00001 has \d+ bytes of \d+"),
        (flip, r"is damaged: the content of ckpt\.data-00000-of-00001 has changed"),
        (drop_index, r"is damaged: ckpt\.index is missing"),
        (link_index_to_nowhere, r"is damaged: ckpt\.index is missing"),
        (truncate_record, r"COMMIT\.json is damaged: it is not JSON"),
        (copy_record_of_other_step, r"COMMIT\.json is damaged: it belongs to step 2"),
        (lose_variable, r"cannot be restored: .*step"),
    ],
)
def test_damaged_checkpoint_is_reported_and_skipped(tmp_path, capsys, damage, message):
    fill(tmp_path, 2, 4)
    damage(tmp_path / "checkpoints/step-00000004")
    restored, state_values = restore(tmp_path)
    assert (restored.step, state_values) == (2, {2.0})
    (line,) = messages(capsys.readouterr().err)
    assert line.startswith(f"training: checkpoint {tmp_path}/checkpoints/step-00000004")
    assert line.endswith("; trying the one before")
    with pytest.raises(UserError, match=message):
        ref = CheckpointRef(step=4, folder=f"{tmp_path}/checkpoints/step-00000004")
        catalog.verify(ref)
        checkpoint.read(tf.train.Checkpoint(**state(0.0)), ref)


def test_checkpoint_of_another_run_is_refused(tmp_path):
    fill(tmp_path, 2)
    with pytest.raises(UserError, match="belongs to another run: its data_sha256"):
        restore(tmp_path, run={**RUN, "data_sha256": "d1"})


def test_lost_checkpoints_are_an_error_until_discarded(tmp_path, capsys):
    fill(tmp_path, 2, 4)
    for folder in (tmp_path / "checkpoints").glob("step-*"):
        flip(folder)
    with pytest.raises(UserError, match=r"none that can be restored \(.*step-00000004.*00000002"):
        restore(tmp_path)
    for record in (tmp_path / "checkpoints").glob("*/COMMIT.json"):
        record.unlink()
    with pytest.raises(UserError, match=r"all commit records are missing\).*--discard_checkpoints"):
        restore(tmp_path)
    catalog.discard(tmp_path)
    assert restore(tmp_path)[0] is None


def test_unfinished_checkpoint_is_ignored_and_removed(model_dir, capsys):
    folder = files.join(model_dir, "checkpoints/step-00000003")
    files.write_atomically(files.join(folder, "ckpt.index"), b"half")
    files.write_atomically(files.join(folder, "ckpt_temp/part-0"), b"half")
    assert restore(model_dir)[0] is None
    catalog.remove_unfinished(model_dir)
    assert "removing the unfinished checkpoint of step 3" in capsys.readouterr().err
    assert not files.exists(folder)


def test_temporary_files_of_a_killed_run_are_removed(tmp_path):
    fill(tmp_path, 2)
    prefix = f".tmp-{'0a' * 16}-"
    for name in ("run.json", "checkpoints/newest.json", "report.html"):
        path = tmp_path / name
        path.with_name(f"{prefix}{path.name}").write_bytes(b"half")
    (tmp_path / ".tmp-mine").touch()
    catalog.remove_unfinished(tmp_path)
    left = [path.name for path in tmp_path.rglob(".tmp-*")]
    assert sorted(left) == [f"{prefix}report.html", ".tmp-mine"]


def test_full_disk_is_an_error_and_keeps_earlier_checkpoints(tmp_path):
    fill(tmp_path, 2)
    items = {**state(3.0), "large": tf.Variable(tf.zeros([100_000]))}
    saving = Checkpoints(tmp_path, items=items, run=RUN, keep=1)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        saving.save(4)
        with pytest.raises(UserError, match="the checkpoint of step 4 could not be written to"):
            saving.wait()
        saving.save(6)
        with pytest.raises(UserError, match="the checkpoint of step 6 could not be written to"):
            saving.save(8)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [ref.step for ref in committed(tmp_path)] == [2]
    assert not (tmp_path / "checkpoints/step-00000004").exists()
    saving.save(8)
    saving.wait()
    assert [ref.step for ref in committed(tmp_path)] == [8]


def test_failed_save_is_reported_without_another_save(tmp_path):
    items = {**state(3.0), "large": tf.Variable(tf.zeros([100_000]))}
    saving = Checkpoints(tmp_path, items=items, run=RUN, keep=1)
    saving.raise_failure()  # nothing was saved yet
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        saving.save(4)
        with pytest.raises(UserError, match=r"step 4 could not be written to .*step-00000004"):
            for _ in range(600):
                saving.raise_failure()
                time.sleep(0.1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    saving.raise_failure()  # is raised once
    saving.save(6)
    saving.wait()
    saving.raise_failure()
    assert [ref.step for ref in committed(tmp_path)] == [6]


def test_unwritable_commit_record_is_an_error(tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device", path)

    saving = Checkpoints(tmp_path, items=state(3.0), run=RUN, keep=1)
    monkeypatch.setattr(files, "write_atomically", full)
    saving.save(4)
    with pytest.raises(
        UserError, match=r"step 4 could not be written to .*No space left on device"
    ):
        saving.wait()
    assert committed(tmp_path) == []


def test_write_that_ends_without_a_result_is_an_error(tmp_path, monkeypatch):
    saving = Checkpoints(tmp_path, items=state(3.0), run=RUN, keep=1)
    monkeypatch.setattr(tf.train.Checkpoint, "write", lambda *args: None)
    saving.save(4)
    with pytest.raises(UserError, match=r"step 4 could not be written .*does not report why"):
        saving.wait()


def test_failure_after_the_commit_record_keeps_the_checkpoint(tmp_path):
    (tmp_path / "best.json").write_text("{")
    with pytest.raises(UserError, match=r"best\.json is damaged: .*; delete it"):
        fill(tmp_path, 2)
    assert [ref.step for ref in committed(tmp_path)] == [2]
    assert restore(tmp_path)[1] == {2.0}


def test_best_checkpoint_is_kept(model_dir):
    fill(model_dir, 10, keep=1)
    record_best(model_dir, 10, {"eval_loss": 3.0})
    fill(model_dir, 20, 30, keep=1)
    assert [ref.step for ref in committed(model_dir)] == [10, 30]
    catalog.discard(model_dir)
    assert best_step(model_dir) is None


@pytest.mark.parametrize(("which", "step"), [("latest", 30), ("best", 10), ("20", 20)])
def test_choosing_a_checkpoint(tmp_path, which, step):
    fill(tmp_path, 10, 20, 30)
    record_best(tmp_path, 10, {"eval_loss": 3.0})
    assert catalog.choose(tmp_path, which).step == step


@pytest.mark.parametrize(
    ("which", "message"),
    [
        ("best", "has no best.json, because no held-out text"),
        ("15", "has no checkpoint of step 15; it has those of step 10, 20$"),
        ("newest", "--checkpoint newest: must be best, latest or the number of a step"),
    ],
)
def test_choosing_a_missing_checkpoint_is_an_error(tmp_path, which, message):
    with pytest.raises(UserError, match="has no finished checkpoint; train first"):
        catalog.choose(tmp_path, which)
    fill(tmp_path, 10, 20)
    with pytest.raises(UserError, match=message):
        catalog.choose(tmp_path, which)


class TestRetention:
    """Checkpoints that a save removes if some of the existing ones are damaged."""

    def steps(self, model_dir):
        return [ref.step for ref in committed(model_dir)]

    def flip(self, tmp_path, *steps):
        for step in steps:
            flip(tmp_path / f"checkpoints/step-{step:08d}")

    def test_damaged_checkpoints_are_renamed_and_not_counted(self, tmp_path, capsys):
        fill(tmp_path, 20, 35, 40)
        self.flip(tmp_path, 35, 40)
        assert restore(tmp_path)[0].step == 20
        fill(tmp_path, 22, keep=2)
        assert self.steps(tmp_path) == [20, 22, 35, 40]  # later steps are left alone
        fill(tmp_path, 45, keep=2)
        assert self.steps(tmp_path) == [22, 45]
        aside = {p.name for p in (tmp_path / "checkpoints").glob("*.damaged")}
        assert aside == {"step-00000035.damaged", "step-00000040.damaged"}
        lines = messages(capsys.readouterr().err)
        assert [line.startswith("training: ") for line in lines] == [True] * len(lines)
        assert "has changed; renamed to" in lines[-1]
        assert restore(tmp_path)[1] == {45.0}

    def test_one_flipped_byte_does_not_lose_a_run_that_keeps_one(self, tmp_path):
        fill(tmp_path, 20, keep=1)
        self.flip(tmp_path, 20)
        fill(tmp_path, 10, keep=1)
        assert self.steps(tmp_path) == [10, 20]
        assert restore(tmp_path)[1] == {10.0}

    def test_nothing_is_removed_when_the_new_one_is_not_read_back(self, tmp_path, monkeypatch):
        fill(tmp_path, 10, 20, keep=1)
        drop = files.drop_cache

        def damage(path):
            if path.endswith(".data-00000-of-00001"):
                flip(tmp_path / "checkpoints/step-00000030")
            drop(path)

        monkeypatch.setattr(files, "drop_cache", damage)
        with pytest.raises(UserError, match=r"step-00000030 is damaged: .* from what was written"):
            fill(tmp_path, 30, keep=1)
        assert self.steps(tmp_path) == [20]
        assert restore(tmp_path)[1] == {20.0}

    def test_damage_in_between_two_saves_is_noticed(self, tmp_path):
        items = state(1.0)
        saving = Checkpoints(tmp_path, items=items, run=RUN, keep=2)
        for step in (1, 2, 3):
            saving.save(step)
            saving.wait()
        self.flip(tmp_path, 3)
        saving.save(4)
        saving.wait()
        assert self.steps(tmp_path) == [2, 4]

    def test_the_last_one_before_bad_steps_is_kept(self, tmp_path):
        saving = Checkpoints(tmp_path, items=state(1.0), run=RUN, keep=1)
        for step, first_bad_step in ((10, None), (20, None), (30, 25), (40, 25), (50, 45)):
            saving.save(step, first_bad_step=first_bad_step)
            saving.wait()
            kept = {30: [20, 30], 40: [20, 40], 50: [40, 50]}.get(step, [step])
            assert self.steps(tmp_path) == kept

    def test_an_urgent_save_leaves_the_removal_to_the_next(self, tmp_path):
        saving = Checkpoints(tmp_path, items=state(1.0), run=RUN, keep=1)
        for step in range(1, 5):
            saving.save(step, is_urgent=True)
        saving.wait()
        assert self.steps(tmp_path) == [1, 2, 3, 4]
        saving.save(5, is_urgent=True)  # too many by now
        saving.wait()
        assert self.steps(tmp_path) == [5]

    def test_a_lost_commit_record_sets_the_checkpoint_aside(self, model_dir, capsys):
        fill(model_dir, 10, 20, 30)
        files.remove(files.join(model_dir, "checkpoints/step-00000020/COMMIT.json"))
        catalog.remove_unfinished(model_dir)
        assert files.exists(files.join(model_dir, "checkpoints/step-00000020.damaged/ckpt.index"))
        assert "has lost its COMMIT.json" in capsys.readouterr().err

    def test_an_interrupted_removal_is_completed(self, tmp_path, monkeypatch):
        fill(tmp_path, 10, 20)
        monkeypatch.setattr(files, "remove_tree", lambda _: None)
        catalog.remove(catalog.ref_of(tmp_path, 10))
        monkeypatch.undo()
        assert (tmp_path / "checkpoints/step-00000010").exists()
        catalog.remove_unfinished(tmp_path)
        assert [p.name for p in (tmp_path / "checkpoints").glob("step-*")] == ["step-00000020"]

    def test_a_final_checkpoint_that_is_gone_is_an_error(self, tmp_path):
        saving = Checkpoints(tmp_path, items=state(1.0), run=RUN, keep=1)
        saving.save(4)
        saving.wait()
        shutil.rmtree(tmp_path / "checkpoints/step-00000004")
        with pytest.raises(UserError, match="step-00000004 was saved and is gone"):
            saving.finish(4)


# What may be wrong with a commit record; the checkpoint before is taken.
RECORD_DAMAGES = {
    "no hash of the settings": lambda r: r.pop("config_sha256"),
    "hash of the data is a number": lambda r: r.update(data_sha256=7),
    "notes are null": lambda r: r.update(notes=None),
    "notes are text": lambda r: r.update(notes="x"),
    "files are null": lambda r: r.update(files=None),
    "no files": lambda r: r.update(files={}),
    "files are a list": lambda r: r.update(files=["ckpt.index"]),
    "a file is text": lambda r: r["files"].update({"ckpt.index": "x"}),
    "a file without a size": lambda r: r["files"]["ckpt.index"].pop("bytes"),
    "a size is text": lambda r: r["files"]["ckpt.index"].update(bytes="1"),
    "a hash is null": lambda r: r["files"]["ckpt.index"].update(sha256=None),
    "a file outside": lambda r: r["files"].update({"../x": r["files"]["ckpt.index"]}),
    "step is text": lambda r: r.update(step="4"),
    "step is infinite": lambda r: r.update(step=float("inf")),
    "no step": lambda r: r.pop("step"),
}


@pytest.mark.parametrize("damage", RECORD_DAMAGES)
def test_checkpoint_before_a_damaged_commit_record_is_taken(tmp_path, capsys, damage):
    fill(tmp_path, 2, 4)
    path = tmp_path / "checkpoints/step-00000004/COMMIT.json"
    record = json.loads(path.read_text())
    RECORD_DAMAGES[damage](record)
    path.write_text(json.dumps(record))
    restored, state_values = restore(tmp_path)
    assert (restored.step, state_values) == (2, {2.0})
    (line,) = messages(capsys.readouterr().err)
    assert "COMMIT.json is damaged: " in line


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"\xff\xfe", b"[" * 100_000])
def test_checkpoint_before_an_unreadable_commit_record_is_taken(tmp_path, content):
    fill(tmp_path, 2, 4)
    (tmp_path / "checkpoints/step-00000004/COMMIT.json").write_bytes(content)
    assert restore(tmp_path)[0].step == 2


def test_commit_record_lists_every_file(tmp_path):
    fill(tmp_path, 2)
    folder = tmp_path / "checkpoints/step-00000002"
    record = json.loads((folder / "COMMIT.json").read_text())
    assert record.keys() == {"step", *RUN, "notes", "files"}
    assert record["files"].keys() == {p.name for p in folder.iterdir()} - {"COMMIT.json"}
    for name, file in record["files"].items():
        assert file == {
            "bytes": (folder / name).stat().st_size,
            "sha256": files.sha256_of(folder / name),
        }
