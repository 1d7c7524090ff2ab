"""Decisions of the hub, with a clock of the test."""

import math

import pytest

from launch.slice.hub import Hub, Phase
from launch.slice.membership import Membership
from launch.slice.protocol import HostState, Orders
from launch.slice.settings import Times
from tests.support.slice_processes import IDENTITY

TIMES = Times(beat=2, lost=20, join=1800, server=300, save=180, end=30, wait=10)
SLICE = Membership(index=0, addresses=("10.0.0.1", "10.0.0.2"))


class Driven:
    """A hub of two hosts that both live, with the time and what it prints."""

    def __init__(self, **settings):
        self.now, self.said = 0.0, []
        usual = dict(instance="h", times=TIMES, crashes=2, num_programs=1)
        self.hub = Hub(SLICE, IDENTITY, now=0.0, say=self.said.append, **usual | settings)
        for host in range(2):
            assert self.hub.join(host, f"agent-{host}", IDENTITY, 0.0) is None

    def beat(self, seconds: float = 1.0, *, hosts=(0, 1), notice=(), **states) -> Orders:
        """Let time pass and hosts beat with servers in these states ("ready" of this attempt)."""
        for second in range(1, math.ceil(seconds)):
            self.hub.tick(self.now + second)
        self.now += seconds
        orders = None
        for host in hosts:
            state = HostState(
                server=self.hub.attempt,
                state=states.get("state", "ready"),
                endpoint=f"e{host}:1",
                notice="a notice" if host in notice else "",
                error=states.get("error", ""),
                is_final=states.get("is_final", False),
            )
            orders = self.hub.beat(host, f"agent-{host}", state, self.now) or orders
        self.hub.tick(self.now)
        return orders

    def run(self) -> "Driven":
        """Beat until the run starts."""
        for _ in range(5):
            self.beat(10.0)
        assert self.hub.phase is Phase.RUNNING
        return self


def test_attempt_begins_when_all_hosts_and_then_all_servers_are_there():
    driven = Driven()
    driven.beat(hosts=(0,))
    assert driven.hub.phase is Phase.JOINING
    driven.beat(5, hosts=(0,))
    assert driven.said == ["waiting for host 1 (10.0.0.2)"]
    driven.beat()
    assert (driven.hub.phase, driven.hub.attempt) == (Phase.SERVERS, "h-1")
    assert driven.beat(state="starting") == Orders(server="h-1")
    assert driven.hub.phase is Phase.SERVERS
    driven.beat()
    assert (driven.hub.phase, driven.hub.endpoints()) == (Phase.RUNNING, ["e0:1", "e1:1"])


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (0, (Phase.ENDING, 0)),
        (2, (Phase.ENDING, 2)),
        (130, (Phase.ENDING, 130)),
        (42, (Phase.JOINING, None)),
        (1, (Phase.JOINING, None)),
        (137, (Phase.JOINING, None)),
    ],
)
def test_exit_codes_of_the_run(code, expected):
    hub = Driven().run().hub
    hub.run_ended(code, 100.0)
    assert (hub.phase, hub.code) == expected


def test_failures_are_bounded_and_wait_longer_each_time():
    driven = Driven()
    for wait in (10, 20):
        driven.run().hub.run_ended(1, driven.now)
        assert f"the next attempt begins in {wait} s" in driven.said[-1]
    driven.run().hub.run_ended(1, driven.now)
    assert (driven.hub.code, driven.hub.reason) == (
        1,
        "the run ended with exit code 1; failure 3 in a row is the last",
    )


def test_a_checkpoint_between_failures_resets_their_number():
    driven = Driven()
    for step in range(10):
        driven.run().hub.note_saved(f"step {step}")
        driven.hub.run_ended(1, driven.now)
        assert "failure 1 of 3 in a row" in driven.said[-1]


def test_silence_of_a_host_ends_the_attempt_and_the_next_one_waits_for_it():
    driven = Driven().run()
    driven.beat(19, hosts=(0,))
    assert driven.hub.phase is Phase.RUNNING
    driven.beat(2, hosts=(0,))
    assert driven.hub.phase is Phase.JOINING
    assert driven.hub.reason == "host 1 (10.0.0.2): not a word for 20 s"
    for _ in range(10):
        driven.beat(10, hosts=(0,))
    assert driven.hub.phase is Phase.JOINING
    assert driven.hub.beat(1, "agent-1", HostState(), driven.now) is None  # it has to join again
    assert driven.hub.join(1, "another agent", IDENTITY, driven.now) is None


def test_time_in_which_the_hub_stood_still_is_not_silence_of_hosts():
    driven = Driven().run()
    driven.hub.tick(driven.now + 60)
    assert driven.hub.phase is Phase.RUNNING
    driven.now += 60
    driven.beat(19, hosts=(0,))
    assert driven.hub.phase is Phase.RUNNING
    driven.beat(2, hosts=(0,))
    assert driven.hub.reason == "host 1 (10.0.0.2): not a word for 20 s"


def test_a_crash_because_of_a_dead_host_counts_once():
    """The run notices a closed connection before its host has been silent for long."""
    driven = Driven().run()
    driven.hub.run_ended(1, driven.now)
    for _ in range(6):
        driven.beat(10, hosts=(0,))
    assert driven.hub.phase is Phase.JOINING
    assert len([line for line in driven.said if "failure" in line]) == 1


def test_hosts_that_never_come_end_the_job():
    driven = Driven()
    for _ in range(181):
        driven.beat(10, hosts=(0,))
    assert driven.hub.code == 1
    assert driven.hub.reason.startswith("host 1 (10.0.0.2) did not report within 1800 s; see")


@pytest.mark.parametrize(
    ("code", "expected"), [(42, 42), (0, 0), (2, 2), (1, 143), (137, 143), (130, 143)]
)
def test_notice_lets_the_run_save_and_ends_with_its_code(code, expected):
    driven = Driven().run()
    driven.beat(notice=(1,))
    assert driven.hub.phase is Phase.STOPPING
    assert driven.hub.attempt  # the servers stay
    driven.hub.run_ended(code, driven.now)
    assert driven.beat().end == driven.hub.code == expected


def test_notice_before_the_run_ends_the_job():
    driven = Driven()
    driven.beat(notice=(0,))
    assert (driven.hub.code, driven.hub.reason) == (42, "host 0 (10.0.0.1) has a notice")


def test_run_that_cannot_save_is_not_waited_for():
    late, lost = Driven().run(), Driven().run()
    for driven in (late, lost):
        driven.beat(notice=(1,))
    for _ in range(19):
        late.beat(10, notice=(1,))
        lost.beat(10, hosts=(0,))
    assert (late.hub.code, late.hub.reason) == (143, "the run did not save within 180 s")
    assert (lost.hub.code, lost.hub.reason) == (
        143,
        "host 1 (10.0.0.2): not a word for 20 s, while the run was saving",
    )


def test_server_that_ends_fails_the_attempt_or_the_job():
    again, final = Driven().run(), Driven().run()
    again.beat(state="failed", error="its TensorFlow server ended with exit code 1")
    assert again.hub.phase is Phase.JOINING
    final.beat(state="failed", error="port 8470 is taken", is_final=True)
    assert (final.hub.code, final.hub.reason) == (2, "host 0 (10.0.0.1): port 8470 is taken")


def test_programs_run_one_after_the_other_on_new_servers():
    driven = Driven(num_programs=2)
    driven.run().hub.run_ended(0, driven.now)
    assert (driven.hub.phase, driven.hub.program) == (Phase.JOINING, 1)
    driven.run()
    assert driven.hub.attempt == "h-2"
    driven.hub.run_ended(0, driven.now)
    assert driven.hub.code == 0


def test_agents_that_are_refused():
    driven = Driven().run()
    assert driven.hub.join(2, "x", IDENTITY, driven.now) == (
        "there is no host 2 in a slice of 2",
        False,
    )
    assert driven.hub.join(1, "x", IDENTITY, driven.now) == (
        "host 1 (10.0.0.2) runs this job already; another start of it is refused",
        True,
    )
    assert driven.hub.phase is Phase.RUNNING
    assert driven.hub.join(1, "agent-1", IDENTITY, driven.now) is None  # the same agent, again


def test_lines_for_people():
    driven = Driven()
    driven.beat()
    driven.beat(5, hosts=(0,))
    assert driven.hub.lines(driven.now) == [
        "hub: starting servers; attempt 1, 0 of 3 failures in a row",
        "hub: host 0 (10.0.0.1): server ready, heard 0 s ago",
        "hub: host 1 (10.0.0.2): server ready, heard 5 s ago",
    ]


def test_job_is_over_when_all_hosts_have_been_told_or_are_late():
    driven = Driven()
    driven.hub.stop(0, "", driven.now)
    assert driven.hub.is_over(driven.now + 31)
    driven.hub.leave(0, "agent-0")
    driven.hub.leave(1, "agent-1")
    assert not driven.hub.is_over(driven.now)  # the connections were lost before the end was told
    assert driven.beat() == Orders(end=0)
    assert not driven.hub.is_over(driven.now)  # the answers may be on their way
    driven.hub.leave(0, "agent-0")
    driven.hub.leave(1, "agent-1")
    assert driven.hub.is_over(driven.now)


def test_hosts_that_join_after_the_end_are_told():
    hub = Hub(
        SLICE, IDENTITY, instance="h", times=TIMES, crashes=0, num_programs=1, now=0.0, say=print
    )
    reason, retry = hub.join(0, "agent-0", IDENTITY | {"build": "dddd"}, 0.0)
    assert ("differs from host 0: build" in reason, retry, hub.code) == (True, False, 2)
    hub.leave(0, "agent-0")
    assert (hub.is_over(29.0), hub.is_over(31.0)) == (False, True)
    assert hub.join(1, "agent-1", IDENTITY, 5.0) is None
    assert hub.beat(1, "agent-1", HostState(), 5.0) == Orders(end=2, reason=reason)
    hub.leave(1, "agent-1")
    assert hub.is_over(6.0)


def test_hosts_that_failed_before_they_had_an_agent_are_not_waited_for():
    hub = Hub(
        SLICE, IDENTITY, instance="h", times=TIMES, crashes=0, num_programs=1, now=0.0, say=print
    )
    hub.join(0, "agent-0", IDENTITY, 0.0)
    hub.note_failed_host(1, "ended with exit code 2", 1.0)
    assert hub.beat(0, "agent-0", HostState(), 2.0).end == 2
    hub.leave(0, "agent-0")
    assert hub.is_over(3.0)
