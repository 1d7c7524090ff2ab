"""The start-up script of a TPU VM, run with small programs in place of gcloud, apt-get and Python."""

import http.server
import os
import subprocess
import threading

import pytest

from launch import tpu
from launch.jobs.job import source_archive
from tests.support.paths import ROOT

PROGRAMS = {
    "gcloud": """
for last; do :; done
case "$1 $2" in
  "storage cp") case $last in */) last="$last$(basename "$3")" ;; esac
    mkdir -p "$(dirname "$last")"; cp "$3" "$last" ;;
esac""",
    "hostname": "echo vm-0",
    "apt-get": 'echo "apt-get $*" >> "$LAMBERT_ROOT/record"',
    "python3.11": """
mkdir -p "$3/bin"; printf '%s\n' '#!/bin/sh' 'echo "python $*" >> "$LAMBERT_ROOT/record"' \
  'case "$*" in *launch.node*) echo "node output"; exit ${CODE:-0} ;; esac' > "$3/bin/python"
chmod +x "$3/bin/python"; echo "python3.11 $1 $2" >> "$LAMBERT_ROOT/record" """,
}


@pytest.fixture
def boot(tmp_path):
    """A function that boots the machine, and the directory of its job.

    It returns exit code, recorded commands, status and logs.
    """
    for name, body in PROGRAMS.items():
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    bucket = tmp_path / "job"
    bucket.mkdir()
    (bucket / "source.tar.gz").write_bytes(source_archive())

    class Metadata(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            assert self.headers["Metadata-Flavor"] == "Google"
            self.send_response(200 if self.path == "/attributes/lambert-job" else 404)
            self.end_headers()
            self.wfile.write(str(bucket).encode())

        def log_message(self, *_):
            pass

    def run(code=0) -> tuple[int, list[str], str, str]:
        (tmp_path / "root").mkdir(exist_ok=True)
        (tmp_path / "root/record").write_text("")
        done = subprocess.run(
            ["bash", ROOT / tpu.STARTUP_SCRIPT],
            env={
                **os.environ,
                "PATH": f"{tmp_path}/bin:{os.environ['PATH']}",
                "LAMBERT_METADATA_URL": f"http://localhost:{server.server_port}",
                "LAMBERT_ROOT": str(tmp_path / "root"),
                "LAMBERT_USER": "",
                "CODE": str(code),
            },
            capture_output=True,
            text=True,
        )
        assert (done.stdout, done.stderr) == ("", "")
        record = (tmp_path / "root/record").read_text().splitlines()
        logs = "".join(path.read_text() for path in sorted((bucket / "logs").iterdir()))
        return done.returncode, record, (bucket / "status").read_text(), logs

    with http.server.ThreadingHTTPServer(("localhost", 0), Metadata) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield run, bucket
        server.shutdown()


def test_environment_is_installed_once(boot):
    run, bucket = boot
    code, record, status, logs = run()
    pip = "python -m pip --disable-pip-version-check --no-cache-dir"
    hashed = "install --require-hashes"
    assert record == [
        "python3.11 -m venv",
        f"{pip} {hashed} --requirement requirements.lock",
        f"{pip} uninstall --yes tensorflow",
        f"{pip} {hashed} --no-deps --requirement launch/requirements-tpu.txt",
        f"python -m pip install --no-deps --no-build-isolation {bucket.parent}/root/source",
        f"python -m launch.node {bucket}",
    ]
    assert (code, status) == (0, "ended 0\n")
    assert "node output\nlaunch: ended with exit code 0 on vm-0\n" in logs
    # A reboot finds the environment; another source archive installs it again.
    assert run()[1] == [f"python -m launch.node {bucket}"]
    (bucket / "source.tar.gz").write_bytes(source_archive() + b"\0")
    assert len(run()[1]) == 6


@pytest.mark.parametrize(
    ("code", "status"),
    [(2, "ended 2\n"), (1, "ended 1\n"), (42, "running on vm-0\n"), (143, "running on vm-0\n")],
)
def test_status_is_ended_only_if_the_job_is_over(boot, code, status):
    run, _ = boot
    assert run(code)[::2] == (code, status)


def test_failure_before_the_run_ends_the_job(boot):
    run, bucket = boot
    (bucket / "source.tar.gz").unlink()
    code, record, status, logs = run()
    assert (code, record, status) == (1, [], "ended 1\n")
    assert "source.tar.gz" in logs
