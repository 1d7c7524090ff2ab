"""Directories that are made once for all processes of a test session."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.sharing import shared_directory


class Factory:
    """Temporary paths of one worker of pytest-xdist."""

    def __init__(self, root, worker):
        self.path = root / worker
        self.path.mkdir()

    def getbasetemp(self):
        return self.path


def test_workers_share_a_directory_that_is_made_once(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw0")
    made = []

    def make(path):
        made.append(path)
        (path / "file").write_text("content")

    factories = [Factory(tmp_path, f"popen-gw{worker}") for worker in range(4)]
    with ThreadPoolExecutor() as threads:
        paths = list(threads.map(lambda f: shared_directory(f, "data", make), factories))
    assert set(paths) == {tmp_path / "data"} == set(made)
    assert len(made) == 1
    assert (paths[0] / "file").read_text() == "content"


def test_a_directory_whose_making_failed_is_made_again(tmp_path, monkeypatch):
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    factory = Factory(tmp_path, "session")

    def fail(path):
        (path / "partial").touch()
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        shared_directory(factory, "data", fail)
    path = shared_directory(factory, "data", lambda path: (path / "whole").touch())
    assert path == tmp_path / "session" / "data"
    assert [file.name for file in path.iterdir()] == ["whole"]
