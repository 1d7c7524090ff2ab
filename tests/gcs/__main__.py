"""Run the tests of buckets against a server of Google's storage protocol on this machine.

    python -m tests.gcs [arguments of pytest]

TensorFlow's client knows one address, https://storage.googleapis.com. So the tests run in a network of their
own, with loopback only, in which the names of Google's servers are 127.0.0.1, and with the certificate of
their own server. This needs root and Linux; without them the tests are skipped, with the reason.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SERVER = ROOT / ".venv-gcs/bin/fake-gcs-server"
HOSTS = (
    "storage.googleapis.com",
    "www.googleapis.com",
    "oauth2.googleapis.com",
    "metadata.google.internal",
)
# Switch on loopback, and give the names to this network only.
_ENTER = 'ip link set lo up && mount --bind "$0/hosts" /etc/hosts && exec "$@"'
# TensorFlow waits from 1 to 32 s before each of 10 retries, and 60 s for the next byte of an answer.
_QUICK = {
    "GCS_RETRY_CONFIG_INIT_DELAY_TIME_US": "20000",
    "GCS_RETRY_CONFIG_MAX_DELAY_TIME_US": "200000",
    "GCS_REQUEST_IDLE_TIMEOUT_SECS": "4",
}


def obstacle() -> str | None:
    """Return why the tests cannot run here; None if they can."""
    if not SERVER.is_file():
        return f"{SERVER} is missing: make test-gcs"
    command = ["unshare", "--net", "--mount", "ip", "link", "set", "lo", "up"]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        return "needs Linux with unshare"
    return f"needs a network namespace, so root: {done.stderr.strip()}" if done.returncode else None


def make_certificate(folder: Path) -> None:
    """Write a key and a certificate that is its own authority, for all names."""
    names = ",".join(f"DNS:{host}" for host in HOSTS)
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=tests", "-addext", f"subjectAltName={names}"),
            *("-keyout", folder / "key.pem", "-out", folder / "certificate.pem"),
        ],
        check=True,
        capture_output=True,
    )


def main(argv: Sequence[str]) -> int:
    """Enter the network and run pytest; return its exit code."""
    if reason := obstacle():
        print(f"test-gcs: skipped: {reason}")
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        make_certificate(folder)
        (folder / "hosts").write_text(f"127.0.0.1 localhost {' '.join(HOSTS)}\n")
        environment = {
            **{name: value for name, value in os.environ.items() if "proxy" not in name.lower()},
            **_QUICK,
            "LAMBERT_GCS_FOLDER": scratch,
            "CURL_CA_BUNDLE": str(folder / "certificate.pem"),
        }
        pytest = [sys.executable, "-m", "pytest", "-m", "gcs", *argv]
        enter = ["unshare", "--net", "--mount", "sh", "-c", _ENTER, scratch]
        return subprocess.run([*enter, *pytest], cwd=ROOT, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
