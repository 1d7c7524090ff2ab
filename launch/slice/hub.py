"""Decisions of the hub of a slice: a state machine without clock, sockets or processes.

    JOINING    hosts are missing, or the next attempt has to wait
    SERVERS    all hosts are here and start their TensorFlow servers
    RUNNING    all servers are ready: the coordinator runs
    STOPPING   a host has a preemption notice: the coordinator has received SIGTERM and saves
    ENDING     every host is told the exit code

A host that is lost, a server that ends and a run that crashes end the attempt, and the hub is JOINING again.
Every attempt has new servers, because a server keeps the memory of a coordinator that died.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Sequence

from launch.config import RESTART_CODE
from launch.slice.identity import Identity, difference
from launch.slice.membership import Membership
from launch.slice.protocol import HostState, Orders
from launch.slice.settings import Times

# The run has not saved, and the job is not over: as if SIGTERM had ended it.
TERMINATED_CODE = 143
# Exit codes of a run that another attempt would not change.
_FINAL_CODES = (0, 2, 130)
_LONGEST_WAIT_SECONDS = 600.0


class Phase(enum.Enum):
    """Phase of the hub, see above."""

    JOINING = "waiting for hosts"
    SERVERS = "starting servers"
    RUNNING = "running"
    STOPPING = "saving"
    ENDING = "ended"


@dataclasses.dataclass
class _Host:
    instance: str
    heard: float
    is_connected: bool = True
    is_told: bool = False  # why the job has ended
    state: HostState = dataclasses.field(default_factory=HostState)


class Hub:
    """The hub of a slice; all methods take the time in seconds and none of them waits.

    Attributes:
      phase: current phase.
      attempt: name of the current attempt, which its servers have too.
      code: exit code of the job, from phase ENDING on.
      reason: why the job ended, or why the last attempt did.
      program: number of the program to run: those of a job run one after the other.
    """

    def __init__(
        self,
        membership: Membership,
        identity: Identity,
        *,
        instance: str,
        times: Times,
        crashes: int,
        num_programs: int,
        now: float,
        say: Callable[[str], None],
    ):
        """Take the slice, what its hosts must have in common, and the number of tolerated failures.

        Args:
          membership: place of host 0, with the addresses of all hosts.
          identity: identity of host 0.
          instance: name of this hub, which no other hub has.
          times: longest waits.
          crashes: consecutive failures, without a checkpoint between them, after which another attempt
            follows.
          num_programs: number of programs that must succeed one after the other.
          now: time.
          say: prints a line.
        """
        self._membership, self._identity, self._instance = membership, identity, instance
        self._times, self._crashes, self._num_programs = times, crashes, num_programs
        self._say = say
        self._hosts: dict[int, _Host] = {}
        self._failed: set[int] = set()  # hosts that will never have an agent
        self._attempts = self._failures = 0
        self._saved = self._saved_at_failure = ""
        self._missing: list[int] = []
        self._ticked = now
        self.phase = Phase.JOINING
        self.program, self.attempt, self.reason = 0, "", ""
        self.code: int | None = None
        self._enter_joining(now, now)

    # What hosts say.

    def join(
        self, host: int, instance: str, identity: Identity, now: float
    ) -> tuple[str, bool] | None:
        """Admit an agent, or return why it is refused and whether a later try may succeed."""
        if not 0 <= host < len(self._membership.addresses):
            return f"there is no host {host} in a slice of {len(self._membership.addresses)}", False
        name, known = self._membership.describe(host), self._hosts.get(host)
        is_here = known is not None and known.is_connected and self._is_heard(known, now)
        if known and known.instance != instance and is_here:
            return f"{name} runs this job already; another start of it is refused", True
        if differs := difference(identity, self._identity):
            reason = (
                f"{name} differs from host 0: {differs}; install and copy the same on every host"
            )
            self._end(2, reason, now)
            self._hosts[host] = _Host(instance=instance, heard=now, is_told=True)
            return reason, False
        if known and known.instance != instance and self._has_attempt:
            self._lose(f"{name} has started again", now)
        self._hosts[host] = _Host(instance=instance, heard=now)
        return None

    def beat(self, host: int, instance: str, state: HostState, now: float) -> Orders | None:
        """Take the state of a host, and return its orders; None if another agent is this host by now."""
        known = self._hosts.get(host)
        if not known or known.instance != instance:
            return None
        if state.error and state.error != known.state.error:
            self._say(f"{self._membership.describe(host)}: {state.error}")
        known.heard, known.state, known.is_connected = now, state, True
        known.is_told = self.phase is Phase.ENDING
        return self._orders()

    def leave(self, host: int, instance: str) -> None:
        """Note that the connection of a host is closed; its agent may connect again."""
        known = self._hosts.get(host)
        if known and known.instance == instance:
            known.is_connected = False

    def note_failed_host(self, host: int, text: str, now: float) -> None:
        """End the job if a host that never joined has failed before it had an agent."""
        if host not in self._hosts and self.phase is not Phase.ENDING:
            self._failed.add(host)
            self._end(2, f"{self._membership.describe(host)} {text}", now)

    # What the run does.

    def note_saved(self, marker: str) -> None:
        """Note the newest checkpoint: another one than at the last failure means progress."""
        self._saved = marker

    def run_ended(self, code: int, now: float) -> None:
        """Note that the run has ended by itself or after SIGTERM.

        Args:
          code: exit code; 128 + n if signal n ended it.
          now: time.
        """
        if self.phase is Phase.STOPPING and code not in (0, 2, RESTART_CODE):
            self._end(
                TERMINATED_CODE, f"the run ended with exit code {code} before it had saved", now
            )
        elif code == RESTART_CODE and self._notice():
            self._end(code, self._notice(), now)
        elif self.phase is Phase.STOPPING:
            self._end(code, f"the run has ended with exit code {code}" if code else "", now)
        elif self.phase is not Phase.RUNNING:
            return
        elif code == 0 and self.program + 1 < self._num_programs:
            self.program += 1
            self._enter_joining(now, now)
        elif code in _FINAL_CODES:
            self._end(code, f"the run has ended with exit code {code}" if code else "", now)
        elif code == RESTART_CODE:
            self._say("the run has saved its state; starting it again")
            self._enter_joining(now, now)
        else:
            self._fail(f"the run ended with exit code {code}", now)

    def stop(self, code: int, reason: str, now: float) -> None:
        """End the job: the hub itself cannot continue."""
        self._end(code, reason, now)

    # What follows from the time.

    def tick(self, now: float) -> None:
        """Act on what hosts said, on silence and on deadlines."""
        if self.phase is Phase.ENDING:
            return
        pause, self._ticked = now - self._ticked, now
        # This machine stood still, and could not hear anybody. Shorter pauses make nobody seem lost.
        if pause > self._times.lost / 4:
            for known in self._hosts.values():
                known.heard = min(known.heard + pause, now)
        lost = [host for host, known in self._hosts.items() if not self._is_heard(known, now)]
        for host in lost:
            del self._hosts[host]
        if lost and self._has_attempt:
            names = ", ".join(map(self._membership.describe, lost))
            self._lose(f"{names}: not a word for {self._times.lost:g} s", now)
        if (notice := self._notice()) and self.phase is Phase.RUNNING:
            self._say(f"{notice}: the run is told to save")
            self.phase, self._deadline = Phase.STOPPING, now + self._times.save
        elif notice and self.phase in (Phase.JOINING, Phase.SERVERS):
            self._end(RESTART_CODE, notice, now)
        ticks: dict[Phase, Callable[[float], object]] = {
            Phase.JOINING: self._tick_joining,
            Phase.SERVERS: self._tick_servers,
            Phase.RUNNING: lambda now: self._check_servers(now, {"ready"}),
            Phase.STOPPING: self._tick_stopping,
        }
        if act := ticks.get(self.phase):
            act(now)

    def _tick_joining(self, now: float) -> None:
        missing = [
            host
            for host in range(len(self._membership.addresses))
            if host not in self._hosts or self._hosts[host].heard <= self._entered
        ]
        if missing != self._missing and now - self._entered > 2 * self._times.beat:
            self._missing = missing
            if missing:
                self._say(f"waiting for {self._names(missing)}")
        if missing and now > self._deadline:
            self._end(
                1,
                f"{self._names(missing)} did not report within {self._times.join:g} s; see the logs of these"
                " hosts",
                now,
            )
        elif not missing and now >= self._not_before:
            self._attempts += 1
            self.attempt = f"{self._instance}-{self._attempts}"
            self.phase, self._deadline = Phase.SERVERS, now + self._times.server
            self._say(f"all {len(self._hosts)} hosts are here; attempt {self._attempts}")

    def _tick_servers(self, now: float) -> None:
        if self._check_servers(now, {"none", "starting", "ready"}):
            waiting = [host for host, known in self._hosts.items() if not self._is_ready(known)]
            if not waiting:
                self.phase = Phase.RUNNING
                self._say(f"all {len(self._hosts)} TensorFlow servers are ready")
            elif now > self._deadline:
                self._fail(
                    f"{self._names(sorted(waiting))}: the TensorFlow server was not ready after"
                    f" {self._times.server:g} s",
                    now,
                )

    def _tick_stopping(self, now: float) -> None:
        if now > self._deadline:
            self._end(TERMINATED_CODE, f"the run did not save within {self._times.save:g} s", now)

    def _check_servers(self, now: float, expected: set[str]) -> bool:
        """Return whether all servers are as expected; otherwise the attempt, or the job, has ended."""
        for host, known in sorted(self._hosts.items()):
            state, name = known.state, self._membership.describe(host)
            is_ours = state.server == self.attempt
            if is_ours and state.state == "failed" and state.is_final:
                self._end(2, f"{name}: {state.error}", now)
                return False
            if (is_ours and state.state not in expected) or (
                not is_ours and "none" not in expected
            ):
                self._fail(f"{name}: {state.error or 'its TensorFlow server has ended'}", now)
                return False
        return True

    # What the program around the hub needs.

    def endpoints(self) -> list[str]:
        """Return the addresses of the TensorFlow servers, by number of the host."""
        return [self._hosts[host].state.endpoint for host in sorted(self._hosts)]

    def is_over(self, now: float) -> bool:
        """Return whether the job has ended and every host has been told why, or had time enough.

        Hosts that start late, or whose connection is lost, would look for the hub in vain otherwise.
        """
        if self.phase is not Phase.ENDING:
            return False
        hosts = set(range(len(self._membership.addresses)))
        told = {h for h, known in self._hosts.items() if known.is_told and not known.is_connected}
        return now > self._deadline or hosts == told | self._failed

    def lines(self, now: float) -> list[str]:
        """Return the state of the slice for people, a line for the hub and one for each host."""
        tries = (
            f"attempt {self._attempts}, {self._failures} of {self._crashes + 1} failures in a row"
        )
        code = "" if self.code is None else f" with exit code {self.code}"
        last = f"; {self.reason}" if self.reason else ""
        lines = [f"hub: {self.phase.value}{code}; {tries}{last}"]
        for host in range(len(self._membership.addresses)):
            known, name = self._hosts.get(host), self._membership.describe(host)
            if known is None:
                lines.append(f"hub: {name}: not here")
                continue
            state = known.state
            more = "".join(f"; {text}" for text in (state.notice, state.error) if text)
            heard = f"heard {max(now - known.heard, 0):.0f} s ago"
            lines.append(f"hub: {name}: server {state.state}, {heard}{more}")
        return lines

    # Transitions.

    def _orders(self) -> Orders:
        if self.phase is Phase.ENDING:
            return Orders(end=self.code, reason=self.reason)
        return Orders(server=self.attempt)

    @property
    def _has_attempt(self) -> bool:
        return self.phase in (Phase.SERVERS, Phase.RUNNING, Phase.STOPPING)

    def _enter_joining(self, now: float, not_before: float) -> None:
        self.phase, self.attempt, self._missing = Phase.JOINING, "", []
        self._entered, self._not_before = now, not_before
        self._deadline = not_before + self._times.join

    def _lose(self, reason: str, now: float) -> None:
        if self.phase is Phase.STOPPING:
            self._end(TERMINATED_CODE, f"{reason}, while the run was saving", now)
        else:
            self._fail(reason, now)

    def _fail(self, reason: str, now: float) -> None:
        """End the attempt, and the job after too many failures without a checkpoint between them."""
        if self._saved != self._saved_at_failure:
            self._failures = 0
        self._saved_at_failure = self._saved
        self._failures += 1
        if self._failures > self._crashes:
            self._end(1, f"{reason}; failure {self._failures} in a row is the last", now)
            return
        wait = min(self._times.wait * 2 ** (self._failures - 1), _LONGEST_WAIT_SECONDS)
        self.reason = reason
        self._say(
            f"{reason}; failure {self._failures} of {self._crashes + 1} in a row, the next attempt begins in"
            f" {wait:g} s"
        )
        self._enter_joining(now, now + wait)

    def _end(self, code: int, reason: str, now: float) -> None:
        if self.phase is Phase.ENDING:
            return
        self.phase, self.attempt, self.code, self.reason = Phase.ENDING, "", code, reason
        self._deadline = now + self._times.end
        self._say(f"the job ends with exit code {code}{f': {reason}' if reason else ''}")

    def _notice(self) -> str:
        for host, known in sorted(self._hosts.items()):
            if known.state.notice:
                return f"{self._membership.describe(host)} has {known.state.notice}"
        return ""

    def _is_heard(self, known: _Host, now: float) -> bool:
        return now - known.heard <= self._times.lost

    def _is_ready(self, known: _Host) -> bool:
        return known.state.server == self.attempt and known.state.state == "ready"

    def _names(self, hosts: Sequence[int]) -> str:
        shown = ", ".join(map(self._membership.describe, hosts[:8]))
        return f"{shown} and {len(hosts) - 8} more" if len(hosts) > 8 else shown
