"""Engines give the bytes of the default runner, also when one of their processes is killed."""

import contextlib
import subprocess
import sys
import time

import pytest

from tests.engines import clusters, tools

pytestmark = pytest.mark.engines

_SECONDS = 1200  # for one build
_COPIES = 6


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """Sample text and its vocabulary: flags of data.build."""
    folder = tmp_path_factory.mktemp("sample")
    _python("data.samples", "--output_dir", folder)
    flags = ["--wiki", f"{folder}/wiki/*", "--books", f"{folder}/books/*"]
    vocab = folder / "vocab.txt"
    _python("data.vocab", *flags, "--vocab_size", 2000, "--output_file", vocab)
    gin = ("--gin_file", "gin/data_tiny.gin", "--gin_param", f"BuildConfig.copies={_COPIES}")
    return [*gin, *flags, "--vocab_file", vocab]


@pytest.fixture(scope="module")
def expected(sample, tmp_path_factory, sums_of):
    """Checksums of the files that the default runner writes."""
    folder = tmp_path_factory.mktemp("expected") / "d"
    _python("data.build", *sample, "--output_dir", folder)
    return sums_of(folder)


def _python(module, *arguments):
    command = [sys.executable, "-m", module, *map(str, arguments)]
    subprocess.run(command, check=True, timeout=_SECONDS, stdout=subprocess.DEVNULL)


@contextlib.contextmanager
def _started(*arguments):
    """Start a build; yield its process, and end it."""
    command = [sys.executable, "-m", "data.build", *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_prism(sample, expected, tmp_path, sums_of):
    flags = ("--runner=PrismRunner", f"--prism_location={tools.prism()}")
    _python("data.build", *sample, "--output_dir", tmp_path / "d", *flags)
    assert sums_of(tmp_path / "d") == expected


@pytest.mark.parametrize("engine", [clusters.Flink, clusters.Spark], ids=["flink", "spark"])
def test_cluster(engine, sample, expected, tmp_path, sums_of):
    """Build twice on a cluster; in the second build, a process of the cluster is killed."""
    with clusters.running(engine, tmp_path / "cluster") as (cluster, processes):
        _python("data.build", *sample, "--output_dir", tmp_path / "whole", *cluster.beam_args)
        assert sums_of(tmp_path / "whole") == expected
        assert cluster.failures() == []

        folder = tmp_path / "killed"
        with _started(*sample, "--output_dir", folder, *cluster.beam_args) as build:
            deadline = time.monotonic() + _SECONDS
            while len(list(folder.glob("masked/train/*/*.tfrecord"))) < 3:
                assert build.poll() is None and time.monotonic() < deadline, build.stdout.read()
                time.sleep(0.05)
            processes.kill(cluster.victims[0])
            output, _ = build.communicate(timeout=_SECONDS)
            assert build.returncode == 0 or not engine.survives, output
        assert cluster.failures() != []
        if build.returncode:
            assert "what is finished is kept: run the same command again" in output
            _python("data.build", *sample, "--output_dir", folder, *cluster.beam_args)
        assert sums_of(folder) == expected
