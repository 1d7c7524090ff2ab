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
    "systemctl": 'echo "systemctl $*" >> "$LAMBERT_ROOT/record"',
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
  'case "$*" in *launch.node*) echo "node output"; printf "$REASON" > "$LAMBERT_REASON_FILE"' \
  'if [ -e "$LAMBERT_ROOT/again" ]; then rm "$LAMBERT_ROOT/again"; exit 42; fi' \
  'exit ${CODE:-0} ;; esac' > "$3/bin/python"
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
            value = metadata.get(self.path.removeprefix("/attributes/"))
            self.send_response(404 if value is None else 200)
            self.end_headers()
            self.wfile.write(("" if value is None else str(value)).encode())

        def log_message(self, *_):
            pass

    metadata = {"lambert-job": bucket}

    def run(code=0, reason="", **more_metadata) -> tuple[int, list[str], str, str]:
        metadata.update({name.replace("_", "-"): value for name, value in more_metadata.items()})
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
                "REASON": reason,
                "LAMBERT_RESTART_SECONDS": "0.1",
            },
            capture_output=True,
            text=True,
        )
        assert (done.stdout, done.stderr) == ("", "")
        record = (tmp_path / "root/record").read_text().splitlines()
        logs = "".join(path.read_text() for path in sorted((bucket / "logs").iterdir()))
        status = bucket / "status"
        return done.returncode, record, status.read_text() if status.exists() else "", logs

    with http.server.ThreadingHTTPServer(("localhost", 0), Metadata) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield run, bucket
        server.shutdown()


def test_environment_is_installed_once(boot):
    run, bucket = boot
    code, record, status, logs = run()
    pip = "python -m pip --disable-pip-version-check --no-cache-dir"
    hashed = "install --require-hashes"
    stop = "systemctl stop tpu-runtime"  # which system images start
    assert record == [
        stop,
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
    assert run()[1] == [stop, f"python -m launch.node {bucket}"]
    (bucket / "source.tar.gz").write_bytes(source_archive() + b"\0")
    assert len(run()[1]) == 7


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
    assert (code, len(record), status) == (1, 1, "ended 1\n")
    assert "source.tar.gz" in logs


@pytest.mark.parametrize(
    ("host", "code", "reason", "status", "state"),
    [
        (0, 0, "", "ended 0\n", "host 0: ended 0 on vm-0\n"),
        (0, 2, "host 3 differs", "ended 2\n", "host 0: ended 2 on vm-0: host 3 differs\n"),
        (3, 2, "no space", "", "host 3: ended 2 on vm-0: no space\n"),
        (3, 137, "killed", "", "host 3: running on vm-0\n"),
    ],
)
def test_every_host_of_a_slice_has_a_state(boot, host, code, reason, status, state):
    run, bucket = boot
    (bucket / "hosts").mkdir()
    done = run(code, reason, lambert_hosts=4, agent_worker_number=host)
    assert done[::2] == (code, status)
    assert (bucket / f"hosts/{host}").read_text() == state
    assert len(list((bucket / "hosts").iterdir())) == 1


def test_failed_installation_of_a_host_is_its_state(boot):
    run, bucket = boot
    (bucket / "source.tar.gz").unlink()
    run(lambert_hosts=4, agent_worker_number=2)
    assert (bucket / "hosts/2").read_text() == "host 2: ended 1 on vm-0\n"


def test_host_of_a_slice_that_lives_on_after_saving_starts_again(boot):
    """Only one host may have been told to stop."""
    run, bucket = boot
    for hosts, starts in ((4, 2), (1, 1)):
        (bucket.parent / "root").mkdir(exist_ok=True)
        (bucket.parent / "root/again").touch()
        code, record, _, logs = run(0, lambert_hosts=hosts, agent_worker_number=0)
        assert [line for line in record if "launch.node" in line] == [
            f"python -m launch.node {bucket}"
        ] * starts
        assert code == (0 if hosts > 1 else 42)
        assert (
            logs.count("launch: stopped; starting again in 0.1 s, unless this machine stops") == 1
        )
