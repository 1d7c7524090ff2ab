"""Messages between the agents of a slice and its hub: JSON lines over TCP.

The agent connects, and both sides prove that they know the job's token, which itself is never sent:

    hub    {"nonce": N}
    agent  {"nonce": M, "proof": HMAC-SHA256(token, "agent N M")}
    hub    {"proof": HMAC-SHA256(token, "hub N M")}

Then the agent says who it is, and is welcome or refused. `retry` is false if no later try can succeed:

    agent  {"host": 2, "instance": "5f...", "identity": {"package": "0.1.0 sha256 ...", ...}}
    hub    {"refused": ""}                          or {"refused": "host 2 (10.0.0.12) ...", "retry": false}

From then on the agent sends its whole state every other second, and the hub answers with all that it wants
of this host, so that a lost message or connection loses nothing:

    agent  {"server": "a1", "state": "ready", "endpoint": "10.0.0.12:8470", "error": "", "is_final": false,
            "notice": ""}
    hub    {"server": "a1", "end": null, "reason": ""}

`server` names the attempt whose TensorFlow server the host has, or should have; "" is none. `state` is
"none", "starting", "ready" or "failed", and `is_final` says that starting it again cannot help. `notice` is
the preemption notice of the host. `end` is the exit code with which the host is to end.
"""

from __future__ import annotations

import dataclasses
import hmac
import json
import secrets
import socket
from collections.abc import Mapping
from typing import Any

_MAX_LINE_BYTES = 2**16
_NONCE_BYTES = 16
# Types of fields in JSON, by their annotation.
_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "bool": (bool,),
    "int | None": (int, type(None)),
}
STATES = ("none", "starting", "ready", "failed")


class ConnectionLost(OSError):  # noqa: N818
    """The other side is gone, silent, or does not speak this protocol."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class HostState:
    """State of a host, see above."""

    server: str = ""
    state: str = "none"
    endpoint: str = ""
    error: str = ""
    is_final: bool = False
    notice: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Orders:
    """Orders of the hub to a host, see above."""

    server: str = ""
    end: int | None = None
    reason: str = ""


class Connection:
    """A connection that carries JSON objects, one a line."""

    def __init__(self, open_socket: socket.socket, timeout_seconds: float):
        """Take a connected socket; every message must pass within the timeout."""
        self._socket, self._rest = open_socket, b""
        self._socket.settimeout(timeout_seconds)

    def set_timeout(self, seconds: float) -> None:
        """Set the longest time that a message may take."""
        self._socket.settimeout(seconds)

    def send(self, message: Mapping[str, Any]) -> None:
        """Send an object.

        Raises:
          ConnectionLost: the connection is broken or the other side does not read.
        """
        try:
            self._socket.sendall(json.dumps(message).encode() + b"\n")
        except OSError as error:
            raise ConnectionLost(str(error)) from None

    def receive(self) -> dict[str, Any]:
        """Return the next object.

        Raises:
          ConnectionLost: the connection is broken, silent, or carries something else.
        """
        try:
            while b"\n" not in self._rest:
                if len(self._rest) > _MAX_LINE_BYTES:
                    raise ConnectionLost(f"a line has more than {_MAX_LINE_BYTES:,} bytes")
                block = self._socket.recv(_MAX_LINE_BYTES)
                if not block:
                    raise ConnectionLost("the connection is closed")
                self._rest += block
            line, _, self._rest = self._rest.partition(b"\n")
            message = json.loads(line)
        except ConnectionLost:
            raise
        except (OSError, ValueError, RecursionError) as error:
            raise ConnectionLost(str(error)) from None
        if not isinstance(message, dict):
            raise ConnectionLost("a line is not a JSON object")
        return message

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


def prove_to_hub(connection: Connection, token: str) -> None:
    """Prove to the hub that this agent belongs to the job, and let the hub prove it too.

    Raises:
      ConnectionLost: the other side has another token.
    """
    theirs, own = _text(connection.receive(), "nonce"), secrets.token_hex(_NONCE_BYTES)
    connection.send({"nonce": own, "proof": _proof(token, "agent", theirs, own)})
    _check(connection.receive(), _proof(token, "hub", theirs, own))


def prove_to_agent(connection: Connection, token: str) -> None:
    """Let an agent prove that it belongs to the job, and prove the same of this hub.

    Raises:
      ConnectionLost: the other side has another token.
    """
    own = secrets.token_hex(_NONCE_BYTES)
    connection.send({"nonce": own})
    answer = connection.receive()
    theirs = _text(answer, "nonce")
    _check(answer, _proof(token, "agent", own, theirs))
    connection.send({"proof": _proof(token, "hub", own, theirs)})


def parse(message: Mapping[str, Any], kind: type[Any]) -> Any:
    """Return a message as HostState or Orders.

    Raises:
      ConnectionLost: a field is missing or has a wrong type.
    """
    values = {}
    for field in dataclasses.fields(kind):
        value = message.get(field.name)
        if field.name not in message or not isinstance(value, _TYPES[str(field.type)]):
            raise ConnectionLost(f"the field {field.name!r} of a message is {value!r}")
        values[field.name] = value
    if kind is HostState and values["state"] not in STATES:
        raise ConnectionLost(f"the field 'state' of a message is {values['state']!r}")
    return kind(**values)


def _text(message: Mapping[str, Any], name: str) -> str:
    value = message.get(name)
    if not isinstance(value, str):
        raise ConnectionLost(f"the field {name!r} of a message is {value!r}")
    return value


def _proof(token: str, side: str, hub_nonce: str, agent_nonce: str) -> str:
    text = f"{side} {hub_nonce} {agent_nonce}"
    return hmac.new(token.encode(), text.encode(), "sha256").hexdigest()


def _check(message: Mapping[str, Any], expected: str) -> None:
    if not hmac.compare_digest(_text(message, "proof").encode(), expected.encode()):
        raise ConnectionLost("the other side does not have the token of this job")
