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
from pretrain.train.preemption import INTERRUPT, URL_VARIABLE, LoopLength, PreemptionNotice


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


def test_first_ctrl_c_is_a_notice(capsys):
    before = signal.getsignal(signal.SIGINT)
    with PreemptionNotice() as notice:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)  # the same, forwarded by a wrapper
        wait_for(lambda: notice.reason == INTERRUPT)
    assert "Ctrl-C again ends it at once" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) == before
    with PreemptionNotice() as notice:  # the wakeup descriptor was given back
        assert notice.reason is None


def test_second_ctrl_c_ends_the_process_while_the_main_thread_is_busy():
    program = """
import ctypes, os, subprocess
from pretrain.train.preemption import PreemptionNotice
interrupt = f"sleep 1; kill -INT {os.getpid()}"
with PreemptionNotice():
    subprocess.Popen(["sh", "-c", f"{interrupt}; {interrupt}"])
    # Calls of C code, like loops on the devices. Each signal ends one of them.
    for _ in range(3):
        ctypes.CDLL(None).poll(None, 0, 60_000)
    print("still here")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr.count("Ctrl-C again") == 1


def test_loops_take_some_seconds():
    def lengths(*seconds_per_step, most=100):
        length, chosen = LoopLength(most), []
        for seconds in seconds_per_step:
            chosen.append(length.num_steps)
            length.measure(length.num_steps, length.num_steps * seconds)
        return [*chosen, length.num_steps]

    # The first loop compiles, which says nothing of the next.
    assert lengths(60.0, 0.01, 0.01, 0.01, 0.01, 0.01) == [1, 1, 4, 16, 64, 100, 100]
    assert lengths(60.0, 0.3, 0.3, 0.3) == [1, 1, 4, 16, 16]
    assert lengths(60.0, 0.3, 0.3, 0.3, 2.0, 2.0) == [1, 1, 4, 16, 16, 2, 2]
    assert lengths(60.0, 30.0, 30.0) == [1, 1, 1, 1]
    assert lengths(1.0, 0.0, 0.0, 0.0, most=10) == [1, 1, 4, 10, 10]


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
