"""Storage that fails: what it does is retried, or the program ends with one line."""

from pathlib import Path

import pytest

from data import files
from data.cli.main import run_main
from data.errors import StorageError, UserError
from data.manifest import Manifest
from data.storage.staging import stage
from pretrain.export import __main__ as export
from pretrain.export.load import local_copy
from tests.gcs.conftest import BUCKET

pytestmark = pytest.mark.gcs


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (503, {"times": 6}),
        (429, {"times": 6}),
        ("cut", {"every": 3}),
        ("refuse", {"every": 3}),
        ("none", {"times": 2, "seconds": 6.0}),
        (503, {"every": 2}),
    ],
    ids=["503", "429", "cut", "refused", "slow", "half of all 503"],
)
def test_build_is_staged_in_spite_of_faults(data, storage, tmp_path, sums_of, kind, settings):
    expected = {file.path: file.sha256 for file in Manifest.load(data).files}
    with storage.fault("GET /lambert/", kind, **settings):
        directory = stage(data, str(tmp_path), setting="--scratch_dir")
    assert expected.items() <= sums_of(Path(directory)).items()


def fails(capsys, main, argv):
    """Run a command; return exit code and the last line on standard error, the only one of an error."""
    with pytest.raises(SystemExit) as stop:
        run_main(main, argv)
    lines = capsys.readouterr().err.strip().splitlines()
    assert "Traceback" not in "\n".join(lines)
    return stop.value.code, lines[-1]


def test_storage_that_never_answers_is_one_line(data, storage, tmp_path):
    with (
        storage.fault("GET /lambert/data", 503),
        pytest.raises(StorageError, match="503") as caught,
    ):
        stage(data, str(tmp_path), setting="--scratch_dir")
    assert caught.value.filename.startswith(data)
    assert not list(tmp_path.rglob("manifest.json"))


@pytest.mark.parametrize(
    ("kind", "pattern"), [("lost", "upload|rewriteTo"), ("cut", "."), ("refuse", "."), (503, ".")]
)
def test_export_is_whole_in_spite_of_faults(trained, storage, kind, pattern):
    target = f"{BUCKET}/e-{kind}"
    with storage.fault(pattern, kind, every=6):
        export.main([f"--model_dir={trained[0]}", f"--output_dir={BUCKET}/x-{kind}"])
        export.main([f"--model_dir={trained[0]}", f"--output_dir={target}"])
    with local_copy("--model_dir", target):
        pass


def test_interrupted_export_is_no_export_and_is_written_again(trained, storage, capsys):
    argv = [f"--model_dir={trained[0]}", f"--output_dir={BUCKET}/half"]
    with storage.fault("POST /upload.*half.*preprocessor", 503):
        code, line = fails(capsys, export.main, argv)
    assert code == 1
    assert line.startswith(f"error: {BUCKET}/half/preprocessor/"), line
    assert not files.exists(f"{BUCKET}/half/encoder/saved_model.pb")
    assert not files.exists(f"{BUCKET}/half/export.json")
    with (
        pytest.raises(UserError, match=r"^--model_dir gs://lambert/half is not complete: its"),
        local_copy("--model_dir", f"{BUCKET}/half"),
    ):
        pass
    export.main(argv)
    with local_copy("--model_dir", f"{BUCKET}/half"):
        pass


@pytest.mark.parametrize("status", [401, 403])
def test_denied_access_is_one_line(data, storage, tmp_path, status):
    with (
        storage.fault("GET", status),
        pytest.raises(StorageError),
    ):
        stage(data, str(tmp_path), setting="--scratch_dir")


def test_missing_names_are_one_line(storage, tmp_path):
    with (
        pytest.raises(UserError, match="nothing of this name"),
        local_copy("--model_dir", f"{BUCKET}/nothing"),
    ):
        pass
    with pytest.raises(UserError, match=r"manifest\.json is missing"):
        stage("gs://no-such-bucket/data", str(tmp_path), setting="--scratch_dir")
