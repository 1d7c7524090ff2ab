"""Notice that the machine is about to be taken away: SIGTERM, or Google Cloud's metadata server.

A notice is only remembered. The training loop checks it between two loops on the devices, saves, and
ends the run with `launch.config.RESTART_CODE`.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
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


class Preempted(Exception):  # noqa: N818  nothing went wrong
    """The run has saved its state and stops before its last step."""

    def __init__(self, step: int, reason: str | None):
        """Take the step that was saved; `reason` is None if another worker got the notice."""
        super().__init__(step, reason)
        self.step, self.reason = step, reason or "another worker's notice"


class PreemptionNotice:
    """A context that watches for notices; `reason` describes the notice, None before it arrives.

    A second SIGTERM some seconds after the first ends the process immediately, as it would by default.
    """

    def __init__(self) -> None:
        self.reason: str | None = None
        self._noticed_at: float | None = None
        self._url = os.environ.get(URL_VARIABLE, _URL)
        self._is_left = threading.Event()

    def __enter__(self) -> PreemptionNotice:
        self._previous_handler = signal.signal(signal.SIGTERM, self._on_sigterm)
        if self._url:
            threading.Thread(target=self._poll, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._is_left.set()
        signal.signal(signal.SIGTERM, self._previous_handler)

    def _on_sigterm(self, *_: object) -> None:
        now = time.monotonic()
        if self._noticed_at is None:
            self.reason, self._noticed_at = "SIGTERM", now
        elif now - self._noticed_at > _SAME_NOTICE_SECONDS:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)

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
