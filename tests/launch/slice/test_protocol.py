"""Messages between agents and the hub."""

import socket
import threading

import pytest

from launch.slice.protocol import (
    Connection,
    ConnectionLost,
    HostState,
    Orders,
    parse,
    prove_to_agent,
    prove_to_hub,
)


@pytest.fixture
def pair():
    """The connection of an agent and that of its hub."""
    ends = [Connection(end, 5.0) for end in socket.socketpair()]
    yield ends
    for end in ends:
        end.close()


def prove(pair, agent_token: str, hub_token: str) -> list[str]:
    """Return the errors of both sides."""
    errors = ["", ""]

    def side(number, function, token):
        try:
            function(pair[number], token)
        except ConnectionLost as error:
            errors[number] = str(error)
            pair[number].close()

    threads = [
        threading.Thread(target=side, args=arguments)
        for arguments in ((0, prove_to_hub, agent_token), (1, prove_to_agent, hub_token))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def test_both_sides_prove_that_they_have_the_token(pair):
    assert prove(pair, "t", "t") == ["", ""]


def test_wrong_token_is_noticed(pair):
    agent, hub = prove(pair, "t", "u")
    assert hub == "the other side does not have the token of this job"
    assert agent


def test_agent_does_not_serve_a_hub_without_the_token(pair):
    agent, hub = pair
    hub.send({"nonce": "n"})
    hub.send({"proof": "0" * 64})
    with pytest.raises(ConnectionLost, match="does not have the token"):
        prove_to_hub(agent, "t")


@pytest.mark.parametrize(
    "line", [b"[]\n", b"1\n", b"\xff\n", b"{\n", b"[" * 60_000 + b"\n", b"a" * 70_000]
)
def test_other_lines_are_errors(line):
    ends = socket.socketpair()
    threading.Thread(target=lambda: (ends[0].sendall(line), ends[0].close()), daemon=True).start()
    with pytest.raises(ConnectionLost):
        Connection(ends[1], 5.0).receive()
    ends[1].close()


def test_silence_is_an_error(pair):
    pair[0].set_timeout(0.05)
    with pytest.raises(ConnectionLost, match="timed out"):
        pair[0].receive()


def test_messages_become_states_and_orders():
    state = HostState(server="a", state="ready", endpoint="e:1", notice="n")
    assert parse(vars(state), HostState) == state
    assert parse(vars(Orders(end=42, reason="r")) | {"more": 1}, Orders) == Orders(
        end=42, reason="r"
    )


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (HostState, {"state": "lost"}),
        (HostState, {"is_final": 1}),
        (HostState, {"error": None}),
        (Orders, {"end": "0"}),
        (Orders, {"server": None}),
    ],
)
def test_malformed_messages_are_errors(kind, change):
    with pytest.raises(ConnectionLost, match=f"the field '{next(iter(change))}' of a message is"):
        parse(vars(kind()) | change, kind)
    with pytest.raises(ConnectionLost, match="is None"):
        parse({}, kind)
