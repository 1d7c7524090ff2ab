"""A slice of real processes on loopback: what ends it, and what it survives."""

import dataclasses
import os
import signal
import socket

import pytest

from data.errors import UserError
from launch.slice import coordinator
from launch.slice.job_files import HubRecord, JobFiles
from launch.slice.processes import MachineLock
from launch.slice.protocol import Connection, ConnectionLost, prove_to_hub
from tests.support.slice_host import STEPS
from tests.support.slice_processes import Slice, wait_until


@pytest.fixture
def new_slice(tmp_path):
    """A function that makes a slice; its processes end with the test."""
    slices = []

    def make(**settings) -> Slice:
        folder = tmp_path / str(len(slices))
        folder.mkdir()
        slices.append(Slice(folder, **settings))
        return slices[-1]

    yield make
    for each in slices:
        each.close()


def test_the_run_ends_and_all_hosts_with_it(new_slice):
    machines = new_slice()
    machines.start()
    assert machines.codes() == {0: 0, 1: 0, 2: 0, 3: 0}
    assert (len(machines.starts()), machines.step() >= STEPS) == (1, True)
    assert len(set(machines.starts()[0].split(","))) == 4
    record = JobFiles(job_dir=str(machines.folder)).read_hub()
    assert (record.end, record.address) == (0, machines.addresses[0])
    state = (machines.folder / "hosts/hub").read_text()
    assert state.startswith("hub: ended with exit code 0; attempt 1, 0 of 4 failures in a row\n")
    assert record.token not in machines.log(0) + machines.log(1) + state


def test_a_missing_host_is_named_and_ends_the_job(new_slice):
    machines = new_slice(times=dict(join=1.5))
    machines.start(0, 1, 3)
    assert machines.codes() == {0: 1, 1: 1, 3: 1}
    host = f"host 2 ({machines.addresses[2]})"
    assert f"waiting for {host}" in machines.log()
    message = f"error: {host} did not report within 1.5 s; see the logs of these hosts"
    assert [machines.error(host) for host in (0, 1, 3)] == [message] * 3
    assert machines.starts() == []


def test_hosts_that_disagree_are_refused_before_the_first_step(new_slice):
    machines = new_slice(times=dict(end=20.0))
    machines.start(0, 1, 3)
    machines.start(2, identity=dict(build="dddd", package="0.2.0 sha256 eeee"))
    assert machines.codes() == {0: 2, 1: 2, 3: 2, 2: 2}
    message = (
        f"error: host 2 ({machines.addresses[2]}) differs from host 0: package 0.2.0 sha256 eeee, not"
        " 0.1.0 sha256 aaaa, build sha256 dddd, not bbbb; install and copy the same on every host"
    )
    assert {machines.error(host) for host in range(4)} == {message}
    assert machines.starts() == []


def test_hosts_that_start_late_learn_why_the_job_has_ended(new_slice):
    machines = new_slice(times=dict(end=20.0))
    machines.start(0, 1)
    machines.start(2, identity=dict(build="dddd"))
    assert {machines.wait(host) for host in (1, 2)} == {2}
    machines.start(3)
    assert machines.codes() == {0: 2, 1: 2, 2: 2, 3: 2}
    assert "differs from host 0: build sha256 dddd" in machines.error(3)
    assert {machines.error(host) for host in range(4)} == {machines.error(3)}


def test_notice_on_another_host_saves_and_ends_all(new_slice):
    machines = new_slice()
    machines.start()
    machines.wait_for_step(4)
    (machines.folder / "notice-2").touch()
    assert machines.codes() == {0: 42, 1: 42, 2: 42, 3: 42}
    assert (
        f"host 2 ({machines.addresses[2]}) has a notice: the run is told to save" in machines.log()
    )
    assert machines.step() > 4
    (machines.folder / "notice-2").unlink()
    machines.start()  # the next slice resumes
    assert machines.codes() == {0: 0, 1: 0, 2: 0, 3: 0}
    assert machines.step() >= STEPS


def test_killed_server_gives_new_servers_to_all_hosts(new_slice):
    machines = new_slice()
    machines.start()
    machines.wait_for_step(4)
    machines.kill_server(1)
    assert machines.codes() == {0: 0, 1: 0, 2: 0, 3: 0}
    first, second = (start.split(",") for start in machines.starts())
    assert not set(first) & set(second)
    assert machines.step() >= STEPS


def test_vanished_host_is_noticed_and_may_come_back(new_slice):
    machines = new_slice()
    machines.start()
    machines.wait_for_step(4)
    machines.hosts[3].send_signal(signal.SIGSTOP)
    wait_until(lambda: "not a word for 2 s; failure 1 of 4 in a row" in machines.log())
    wait_until(lambda: f"waiting for host 3 ({machines.addresses[3]})" in machines.log())
    machines.hosts[3].send_signal(signal.SIGCONT)
    assert machines.codes() == {0: 0, 1: 0, 2: 0, 3: 0}
    assert (len(machines.starts()), machines.step() >= STEPS) == (2, True)


def test_killed_host_may_be_replaced(new_slice):
    machines = new_slice()
    machines.start()
    machines.wait_for_step(4)
    machines.hosts[1].kill()
    machines.hosts[1].wait()
    machines.start(1)
    assert machines.codes() == {0: 0, 1: 0, 2: 0, 3: 0}
    assert (len(machines.starts()), machines.step() >= STEPS) == (2, True)


def test_full_disk_of_a_host_is_named(new_slice):
    machines = new_slice()
    machines.start(0, 2, 3)
    with open("/dev/full", "w") as full:
        machines.start(1, stdout=full)
    assert machines.codes() == {0: 2, 2: 2, 3: 2, 1: 2}
    assert machines.error(0) == (
        f"error: host 1 ({machines.addresses[1]}): its TensorFlow server could not start: No space left on"
        " device"
    )


def test_restarts_are_bounded(new_slice):
    machines = new_slice(crash=True, crashes=2)
    machines.start()
    assert set(machines.codes().values()) == {1}
    assert len(machines.starts()) == 3
    reason = "error: the run ended with exit code 7; failure 3 in a row is the last"
    assert machines.error(0) == machines.error(2) == reason


def test_server_that_never_comes_is_named(new_slice):
    machines = new_slice(crashes=0, times=dict(server=1.0))
    machines.start(0, 1, 2)
    machines.start(3, is_silent=True)
    assert set(machines.codes().values()) == {1}
    assert machines.error(0) == (
        f"error: host 3 ({machines.addresses[3]}): the TensorFlow server was not ready after 1 s; failure 1"
        " in a row is the last"
    )
    assert machines.starts() == []


def test_taken_port_is_named(new_slice):
    machines = new_slice()
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        machines.start(0, 1, 3)
        machines.start(2, port=port)
        assert set(machines.codes().values()) == {2}
    assert machines.error(1).startswith(
        f"error: host 2 ({machines.addresses[2]}): port {port} is taken by another program: stop it"
    )
    assert machines.starts() == []


def test_second_start_on_a_machine_is_refused(new_slice):
    machines = new_slice()
    machines.start()
    machines.wait_for_step(4)
    first = dict(machines.hosts)
    machines.start(0, 2)
    for host in (0, 2):
        assert machines.wait(host) == 2
        assert machines.error(host) == (
            "error: another job, or another start of this one, runs on this machine"
            f" ({machines.addresses[host]}): wait for its end, or stop it"
        )
    machines.hosts = first
    assert machines.codes() == {0: 0, 1: 0, 2: 0, 3: 0}
    assert len(machines.starts()) == 1


def test_job_of_another_slice_is_refused(new_slice):
    machines = new_slice()
    machines.start()
    machines.wait_for_step(4)
    others = Slice(machines.folder, times=dict(report=0.3))
    try:
        others.start(0)
        assert others.wait(0) == 2
    finally:
        others.close()
    assert f"is run by another slice, whose hub is on {machines.addresses[0]}" in others.error(0)
    assert machines.codes() == {0: 0, 1: 0, 2: 0, 3: 0}


def test_hub_that_was_replaced_stops(new_slice):
    machines = new_slice()
    machines.start()
    machines.wait_for_step(4)
    job = JobFiles(job_dir=str(machines.folder))
    job.write_hub(dataclasses.replace(job.read_hub(), instance="other", address="10.0.0.9"))
    assert machines.wait(0) == 2
    assert machines.error(0) == "error: the hub on 10.0.0.9 has taken over this job"


def test_hub_that_starts_again_resumes_the_job(new_slice):
    machines = new_slice()
    machines.start()
    machines.wait_for_step(4)
    machines.hosts[0].kill()  # its server ends with it, and so does the run
    machines.wait(0)
    wait_until(lambda: is_free(machines.addresses[0]))
    machines.start(0)
    assert machines.codes() == {0: 0, 1: 0, 2: 0, 3: 0}
    assert (len(machines.starts()), machines.step() >= STEPS) == (2, True)


def is_free(address: str) -> bool:
    """Return whether no process of a job is left on a machine."""
    try:
        MachineLock(address).release()
    except UserError:
        return False
    return True


def test_host_that_fails_before_its_agent_ends_the_job(new_slice):
    machines = new_slice()
    JobFiles(job_dir=str(machines.folder)).write_state("3", "host 3: ended 2 on vm-3: no space\n")
    machines.start(0, 1, 2)
    assert set(machines.codes().values()) == {2}
    assert (
        machines.error(1)
        == f"error: host 3 ({machines.addresses[3]}) ended with exit code 2 on vm-3: no space"
    )


def test_strangers_are_not_served(new_slice):
    machines = new_slice()
    machines.start(0)
    job = JobFiles(job_dir=str(machines.folder))
    wait_until(lambda: job.read_hub())
    record: HubRecord = job.read_hub()
    with pytest.raises(ConnectionRefusedError):  # only the internal address listens
        socket.create_connection(("127.0.0.1", record.port), 5)
    connection = Connection(socket.create_connection((record.address, record.port)), 5)
    with pytest.raises(ConnectionLost):
        prove_to_hub(connection, "a" * 64)
    for data in (b"x" * 10**6, b"[]\n", b'{"nonce": 1}\n', b"[" * 60000 + b"\n"):
        with socket.create_connection((record.address, record.port)) as stranger:
            stranger.sendall(data)
    machines.start(1, 2, 3)
    assert machines.codes() == {0: 0, 1: 0, 2: 0, 3: 0}
    assert os.stat(machines.folder / "slice").st_mode & 0o077 == 0


def test_hub_needs_its_port_and_the_address_of_its_host(monkeypatch):
    monkeypatch.setattr(coordinator, "_RESOLVE_SECONDS", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            UserError, match=f"cannot listen on 127.0.0.1:{port} .*another job runs"
        ):
            coordinator._listen("127.0.0.1", port)
    with pytest.raises(UserError, match=r"host-0\.invalid, host 0 of the slice, has no address"):
        coordinator._listen("host-0.invalid", 0)
