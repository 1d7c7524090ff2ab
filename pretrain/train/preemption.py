"""Notice that a run is to stop: SIGTERM, Google Cloud's metadata server, or Ctrl-C.

A notice is only remembered. The training loop checks it between two loops on the devices, saves, and
ends the run with `launch.config.RESTART_CODE`, or with INTERRUPT_CODE after Ctrl-C.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import sys
import threading
import time
import urllib.request

# An empty value turns polling off.
URL_VARIABLE = "LAMBERT_PREEMPTION_URL"
_URL = "http://metadata.google.internal/computeMetadata/v1/instance/preempted"
_POLL_SECONDS = 2.0
# Machines outside Google Cloud have no metadata server: polling stops if it never answers.
_POLLS_WITHOUT_ANSWER = 5
# The same notice may arrive twice: sent to all processes of a machine, and forwarded by launch.supervise.
_SAME_NOTICE_SECONDS = 5.0
# Ctrl-C reaches all processes of a terminal, and wrappers such as `timeout` forward it.
_SAME_INTERRUPT_SECONDS = 0.5
# Long enough that returning to Python costs nothing, short enough to wait for.
_LOOP_SECONDS = 5.0
INTERRUPT = "Ctrl-C"
INTERRUPT_CODE = 130  # as shells report SIGINT; launch.supervise takes it for final


class Preempted(Exception):  # noqa: N818  nothing went wrong
    """The run has saved its state and stops before its last step."""

    def __init__(self, step: int, reason: str | None):
        """Take the step that was saved; `reason` is None if another worker got the notice."""
        super().__init__(step, reason)
        self.step, self.reason = step, reason or "another worker's notice"


class LoopLength:
    """Number of updates in a loop on the devices, adjusted so that a loop takes some seconds.

    Notices are seen between loops. Recipes cannot know how long an update takes on a machine.

    Attributes:
      num_steps: updates of the next loop.
    """

    def __init__(self, most: int):
        """Start with one update: the first loop also compiles, and should end soon.

        Args:
          most: maximum of `num_steps`.
        """
        self._most, self._is_compiled = most, False
        self.num_steps = 1

    def measure(self, num_steps: int, seconds: float) -> None:
        """Learn from a loop of `num_steps` updates. Workers must pass the same numbers."""
        if self._is_compiled:
            fitting = int(_LOOP_SECONDS * num_steps / max(seconds, 1e-9))
            self.num_steps = max(1, min(fitting, 4 * self.num_steps, self._most))
        self._is_compiled = True


class PreemptionNotice:
    """A context that watches for notices; `reason` describes the notice, None before it arrives.

    A second SIGTERM some seconds after the first ends the process immediately, as it would by default. So
    does a second Ctrl-C, even while the main thread waits for the devices.
    """

    def __init__(self) -> None:
        self.reason: str | None = None
        self._noticed_at: float | None = None
        self._url = os.environ.get(URL_VARIABLE, _URL)
        self._is_left = threading.Event()

    def __enter__(self) -> PreemptionNotice:
        # Python runs handlers in the main thread, and only between two loops on the devices. The wakeup
        # descriptor gets the signal's number at once, and another thread reads it.
        self._receiver, self._sender = socket.socketpair()
        self._sender.setblocking(False)
        self._previous_descriptor = signal.set_wakeup_fd(
            self._sender.fileno(), warn_on_full_buffer=False
        )
        self._previous_handlers = {
            signal.SIGTERM: signal.signal(signal.SIGTERM, self._on_sigterm),
            signal.SIGINT: signal.signal(signal.SIGINT, lambda *_: None),
        }
        self._watcher = threading.Thread(target=self._watch_interrupts, daemon=True)
        self._watcher.start()
        if self._url:
            threading.Thread(target=self._poll, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._is_left.set()
        for number, handler in self._previous_handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._previous_descriptor)
        self._sender.close()  # ends the thread
        self._watcher.join()
        self._receiver.close()

    def _on_sigterm(self, *_: object) -> None:
        now = time.monotonic()
        if self._noticed_at is None:
            self.reason, self._noticed_at = "SIGTERM", now
        elif now - self._noticed_at > _SAME_NOTICE_SECONDS:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)

    def _watch_interrupts(self) -> None:
        interrupted_at: float | None = None
        while numbers := self._receiver.recv(64):
            for _ in range(numbers.count(signal.SIGINT)):
                now = time.monotonic()
                if interrupted_at is not None:
                    if now - interrupted_at > _SAME_INTERRUPT_SECONDS:
                        os._exit(INTERRUPT_CODE)
                    continue
                interrupted_at = now
                self.reason = self.reason or INTERRUPT
                print(
                    "\nstopping: the run first saves its state, which may take a while; Ctrl-C again"
                    " ends it at once, without the updates since its newest checkpoint",
                    file=sys.stderr,
                    flush=True,
                )

    def _poll(self) -> None:
        has_answered, polls = False, 0
        while has_answered or polls < _POLLS_WITHOUT_ANSWER:
            polls += 1
            # No answer, or a malformed one: try again.
            with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
                if _is_preempted(self._url):
                    self.reason = "the preemption notice of the metadata server"
                    return
                has_answered = True
            if self._is_left.wait(_POLL_SECONDS):
                return


def _is_preempted(url: str) -> bool:
    request = urllib.request.Request(url, headers={"Metadata-Flavor": "Google"})
    # Without proxies: the metadata server is on the machine's own network.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=5) as answer:
        return answer.read(16).strip() == b"TRUE"
