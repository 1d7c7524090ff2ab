"""A server of Google's storage protocol (fake-gcs-server) behind a proxy that makes faults."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.gcs.__main__ import HOSTS, SERVER

_BACKEND, _CONTROL = ("127.0.0.1", 4443), ("127.0.0.1", 4444)
_TOKEN = {"access_token": "token-of-tests", "expires_in": 3600, "token_type": "Bearer"}
_HOP_HEADERS = {"connection", "transfer-encoding", "keep-alive", "content-length", "expect"}


@dataclasses.dataclass
class Fault:
    """A fault of the requests whose "METHOD /path" matches.

    Attributes:
      pattern: regular expression.
      kind: a status to answer in place of the server; "lost" to answer 503 after the server has done the
        work; "cut" to close the connection in the middle of the answer; "refuse" to close it without one.
      times: number of requests; None for all.
      seconds: how long to wait before the answer.
      every: 3 means each third of the requests that match.
    """

    pattern: str
    kind: int | str = "none"
    times: int | None = None
    seconds: float = 0.0
    every: int = 1
    seen: int = 0

    def applies(self, request: str) -> bool:
        """Return whether the fault happens to a request, and count it."""
        if self.times == 0 or not re.search(self.pattern, request):
            return False
        self.seen += 1
        if self.seen % self.every:
            return False
        if self.times is not None:
            self.times -= 1
        return True


class _State:
    """The faults of the server, and what it has seen."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.tokens: set[str | None] = set()
        self.uploads: dict[str, bytes] = {}  # answers to finished uploads, by path
        self._lock = threading.Lock()

    def fault_of(self, request: str, token: str | None) -> Fault | None:
        """Return what happens to a request."""
        with self._lock:
            self.tokens.add(token)
            return next((fault for fault in self.faults if fault.applies(request)), None)

    def as_json(self) -> bytes:
        """Return tokens and the numbers of requests that matched each fault."""
        with self._lock:
            seen = [fault.seen for fault in self.faults]
            return json.dumps({"tokens": list(self.tokens), "seen": seen}).encode()


class Storage:
    """The server, which runs in a process of its own: some calls of TensorFlow stop all of Python."""

    @contextlib.contextmanager
    def fault(self, pattern: str, kind: int | str = "none", **settings: float) -> Iterator[None]:
        """Make a fault as long as the block lasts; at least one request must match."""
        _request(*_CONTROL, "PUT", "/", {"pattern": pattern, "kind": kind, **settings})
        try:
            yield
            assert json.loads(_request(*_CONTROL, "GET", "/"))["seen"][0], pattern
        finally:
            _request(*_CONTROL, "DELETE", "/")

    @property
    def tokens(self) -> list[str | None]:
        """The values of the header Authorization of all requests."""
        return json.loads(_request(*_CONTROL, "GET", "/"))["tokens"]

    def create_bucket(self, name: str) -> None:
        """Create a bucket."""
        _request(*_BACKEND, "POST", "/storage/v1/b?project=p", {"name": name})


def _request(host: str, port: int, method: str, path: str, content: object = None) -> bytes:
    connection = http.client.HTTPConnection(host, port)
    connection.request(method, path, json.dumps(content), {"Host": HOSTS[0]})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    assert answer.status == 200, body
    return body


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: _State

    def log_message(self, *_: object) -> None:
        pass

    def _handle(self) -> None:
        body = self._body()
        request = f"{self.command} {self.path}"
        if self.path.startswith("/computeMetadata/"):
            self._reply(200, [("Content-Type", "application/json")], json.dumps(_TOKEN).encode())
            return
        fault = self.state.fault_of(request, self.headers.get("Authorization"))
        kind = fault.kind if fault else "none"
        if fault and fault.seconds:
            time.sleep(fault.seconds)
        if isinstance(kind, int):
            self._reply(kind, [], b'{"error": {"code": %d, "message": "a fault"}}' % kind)
            return
        if kind == "refuse":
            self._hang_up()
            return
        if re.fullmatch(r"bytes \*/[1-9]\d*", self.headers.get("Content-Range") or ""):
            self._reply_state()
            return
        connection = http.client.HTTPConnection(*_BACKEND)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP_HEADERS}
        headers |= {"Content-Length": str(len(body)), "Host": HOSTS[0]}
        connection.request(self.command, self.path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        if self.command == "PUT" and answer.status == 200:
            self.state.uploads[self.path] = content
        if kind == "lost":
            self._reply(503, [], b"")
            return
        self._reply(answer.status, answer.getheaders(), content, is_cut=kind == "cut")

    def _reply_state(self) -> None:
        """Say how much of an upload has arrived: all, or nothing; fake-gcs-server would end the upload."""
        content = self.state.uploads.get(self.path)
        self._reply(308 if content is None else 200, [], content or b"")

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _handle  # noqa: N815

    def _reply(
        self, status: int, headers: list[tuple[str, str]], content: bytes, *, is_cut: bool = False
    ) -> None:
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in _HOP_HEADERS:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content) + is_cut))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if is_cut else content)
        if is_cut:
            self._hang_up()

    def _hang_up(self) -> None:
        self.wfile.flush()
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(2)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that went away."""


class _ControlHandler(BaseHTTPRequestHandler):
    """Set (PUT) and remove (DELETE) the fault; report (GET)."""

    state: _State

    def log_message(self, *_: object) -> None:
        pass

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.command == "PUT":
            self.state.faults = [Fault(**json.loads(body))]
        if self.command == "DELETE":
            self.state.faults = []
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.state.as_json())

    do_GET = do_PUT = do_DELETE = _handle  # noqa: N815


@contextlib.contextmanager
def serve(folder: Path) -> Iterator[Storage]:
    """Run the server; `folder` has key and certificate."""
    with subprocess.Popen([sys.executable, "-m", "tests.gcs.server", folder]) as process:
        try:
            _wait_for(*_BACKEND)
            _wait_for(*_CONTROL)
            yield Storage()
        finally:
            process.terminate()


def _wait_for(host: str, port: int) -> None:
    for _ in range(600):
        with contextlib.suppress(OSError), socket.create_connection((host, port)):
            return
        time.sleep(0.05)
    raise AssertionError(f"nothing answers at {host}:{port}")


def main(folder: Path) -> None:
    """Serve until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    command = [
        *(SERVER, "-backend=memory", "-scheme=http", "-host=127.0.0.1", f"-port={_BACKEND[1]}"),
        *("-external-url=https://storage.googleapis.com", "-log-level=error"),
    ]
    state = _State()
    handlers = [type("H", (kind,), {"state": state}) for kind in (_Handler, _ControlHandler)]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    with subprocess.Popen(command) as process, contextlib.ExitStack() as stack:
        stack.callback(process.terminate)
        for port, handler in ((443, handlers[0]), (80, handlers[0]), (_CONTROL[1], handlers[1])):
            server = stack.enter_context(_Server(("127.0.0.1", port), handler))
            if port == 443:
                server.socket = context.wrap_socket(
                    server.socket, server_side=True, do_handshake_on_connect=False
                )
            threading.Thread(target=server.serve_forever, daemon=True).start()
        process.wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
