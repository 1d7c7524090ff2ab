"""The lock of a machine and its TensorFlow server."""

import socket
import subprocess
import sys

import pytest

from data.errors import UserError
from launch.slice.processes import MachineLock, Server, taken_port
from tests.support.slice_processes import wait_until

READY = "import sys; print('ready h:1', flush=True); sys.stdin.read()"


def test_lock_is_held_by_processes_that_inherit_it():
    lock = MachineLock("test-1")
    with pytest.raises(UserError, match=r"runs on this machine \(test-1\): wait for its end"):
        MachineLock("test-1")
    child = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[lock.fileno()]
    )
    lock.release()
    with pytest.raises(UserError):
        MachineLock("test-1")
    child.communicate(b"\n")
    MachineLock("test-1").release()


def server(program: str, said=None, **options) -> Server:
    said = [] if said is None else said
    return Server([sys.executable, "-c", program], port=0, say=said.append, **options)


def test_server_is_ready_and_is_replaced():
    said = []
    machine = server(READY, said)
    machine.start("a1")
    wait_until(lambda: machine.state.state == "ready")
    assert (machine.state.server, machine.state.endpoint) == ("a1", "h:1")
    machine.start("a2")
    wait_until(lambda: machine.state.state == "ready")
    assert machine.state.server == "a2"
    machine.stop()
    assert machine.state.state == "none"
    assert said[::2] == ["server of attempt a1", "server of attempt a2"]
    assert said[1::2] == ["server: ready h:1"] * 2


@pytest.mark.parametrize(
    ("program", "error", "is_final"),
    [
        ("print('x'); exit(1)", "its TensorFlow server ended with exit code 1: x", False),
        ("import os; os.abort()", "its TensorFlow server ended by signal 6", False),
        ("print('error: no libtpu'); exit(2)", "with exit code 2: error: no libtpu", True),
    ],
)
def test_server_that_ends_has_an_error(program, error, is_final):
    machine = server(program)
    machine.start("a")
    wait_until(lambda: machine.state.state == "failed")
    assert error in machine.state.error
    assert machine.state.is_final == is_final


def test_server_that_cannot_start_is_final():
    machine = Server(["/no/such/program"], port=0, say=lambda _: None)
    machine.start("a")
    assert (machine.state.state, machine.state.is_final) == ("failed", True)
    assert machine.state.error == "its TensorFlow server could not start: No such file or directory"


def test_taken_port():
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        assert taken_port(port).startswith(f"port {port} is taken by another program: stop it")
    assert taken_port(port) == taken_port(0) == ""
