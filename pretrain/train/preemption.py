"""Notices that the machine will be taken away: SIGTERM, or the metadata server of Google Cloud.

A notice is only remembered; the run looks at it between two loops of steps, saves and ends with
`launch.config.RESTART_CODE`.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import threading
import time
import urllib.request

# Empty turns the question off.
URL_VARIABLE = "LAMBERT_PREEMPTION_URL"
_URL = "http://metadata.google.internal/computeMetadata/v1/instance/preempted"
_SECONDS_BETWEEN_QUESTIONS = 2.0
# A machine that is not on Google Cloud has no such server, and is not asked for ever.
_FIRST_QUESTIONS = 5
# One notice may come twice: to all processes of a machine, and handed on by launch.supervise.
_SECONDS_OF_ONE_NOTICE = 5.0


class Preempted(Exception):  # noqa: N818  nothing went wrong
    """The run has saved its state and stops before its end."""

    def __init__(self, step: int, reason: str | None):
        """`reason` is None where another worker was told."""
        super().__init__(step, reason)
        self.step, self.reason = step, reason or "another worker's notice"


class PreemptionNotice:
    """A context in which notices are taken; `reason` says which one came, if any.

    A second SIGTERM, some seconds after the first, ends the process at once, as it would without this.
    """

    def __init__(self):
        self.reason: str | None = None
        self._told_at: float | None = None
        self._url = os.environ.get(URL_VARIABLE, _URL)
        self._left = threading.Event()

    def __enter__(self) -> PreemptionNotice:
        self._handler_before = signal.signal(signal.SIGTERM, self._on_sigterm)
        if self._url:
            threading.Thread(target=self._ask_again_and_again, daemon=True).start()
        return self

    def __exit__(self, *exception) -> None:
        self._left.set()
        signal.signal(signal.SIGTERM, self._handler_before)

    def _on_sigterm(self, *_) -> None:
        now = time.monotonic()
        if self._told_at is None:
            self.reason, self._told_at = "SIGTERM", now
        elif now - self._told_at > _SECONDS_OF_ONE_NOTICE:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)

    def _ask_again_and_again(self) -> None:
        has_answered, questions = False, 0
        while has_answered or questions < _FIRST_QUESTIONS:
            questions += 1
            with contextlib.suppress(
                OSError, ValueError, http.client.HTTPException
            ):  # no answer, or no sensible one
                if _is_preempted(self._url):
                    self.reason = "the preemption notice of the metadata server"
                    return
                has_answered = True
            if self._left.wait(_SECONDS_BETWEEN_QUESTIONS):
                return


def _is_preempted(url: str) -> bool:
    request = urllib.request.Request(url, headers={"Metadata-Flavor": "Google"})
    # Never by way of a proxy: the server is on the machine's own network.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=5) as answer:
        return answer.read(16).strip() == b"TRUE"
