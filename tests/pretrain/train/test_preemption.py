"""Preemption notices from SIGTERM and from the metadata server."""

import http.server
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from pretrain.train import preemption
from pretrain.train.preemption import URL_VARIABLE, PreemptionNotice


def wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert condition()


@pytest.fixture
def server(monkeypatch):
    """A local metadata server that sends its `answers` one after the other."""

    class Handler(http.server.BaseHTTPRequestHandler):
        answers, flavors = [], []

        def do_GET(self):
            self.flavors.append(self.headers["Metadata-Flavor"])
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            self.send_response(200 if answer else 503)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("localhost", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv(URL_VARIABLE, f"http://localhost:{server.server_port}/preempted")
        monkeypatch.setattr(preemption, "_POLL_SECONDS", 0.01)
        yield Handler
        server.shutdown()


def test_sigterm_is_noticed_once():
    before = signal.getsignal(signal.SIGTERM)
    with PreemptionNotice() as notice:
        assert notice.reason is None
        os.kill(os.getpid(), signal.SIGTERM)
        wait_for(lambda: notice.reason == "SIGTERM")
        os.kill(os.getpid(), signal.SIGTERM)  # the same notice, forwarded by a supervisor
    assert signal.getsignal(signal.SIGTERM) == before


def test_later_sigterm_ends_the_process():
    program = """
import os, signal, time
from pretrain.train import preemption
preemption._SAME_NOTICE_SECONDS = 0.0
with preemption.PreemptionNotice() as notice:
    os.kill(os.getpid(), signal.SIGTERM)
    print(notice.reason, flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    print("still here")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, "SIGTERM\n")


def test_notice_of_the_metadata_server(server):
    server.answers[:] = [b"FALSE", b"", b"FALSE", b"TRUE"]  # an error in between is ignored
    with PreemptionNotice() as notice:
        wait_for(lambda: notice.reason == "the preemption notice of the metadata server")
    assert server.flavors == ["Google"] * 4


def test_polling_ends_without_a_metadata_server(server):
    server.answers[:] = [b""]
    with PreemptionNotice() as notice:
        wait_for(lambda: len(server.flavors) == 5)
        time.sleep(0.1)
        assert notice.reason is None
    assert len(server.flavors) == 5
