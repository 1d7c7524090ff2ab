"""The agent of a host, beyond what tests of whole slices show."""

import pytest

from data.errors import StorageError, UserError
from launch.slice.agent import Agent
from launch.slice.job_files import HubRecord
from launch.slice.membership import Membership
from launch.slice.protocol import HostState
from launch.slice.settings import Times
from tests.support.slice_processes import IDENTITY

SHARED = "t"


class NoServer:
    """A server that counts how often it is ended."""

    state, stops = HostState(), 0

    def start(self, attempt):
        """Must not be called."""
        pytest.fail()

    def stop(self):
        """Count."""
        self.stops += 1


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        (None, "it has not reported to the job's directory"),
        # Of the slice before this one: it is over, or was elsewhere.
        (
            HubRecord(instance="i", address="127.0.0.1", port=1, token=SHARED, end=42),
            "it has not rep",
        ),
        (HubRecord(instance="i", address="10.0.0.9", port=1, token=SHARED), "it has not reported"),
        (HubRecord(instance="i", address="127.0.0.1", port=1, token=SHARED), "Connection refused"),
        (StorageError(1, "unreachable", "gs://b"), "unreachable"),
    ],
)
def test_agent_without_a_hub_gives_up(record, problem):
    def read_hub():
        if isinstance(record, Exception):
            raise record
        return record

    said, server = [], NoServer()
    agent = Agent(
        Membership(index=1, addresses=("127.0.0.1", "127.0.0.2")),
        IDENTITY,
        instance="a",
        server=server,
        read_hub=read_hub,
        notice=str,
        trouble=str,
        times=Times(beat=0.01, lost=0.1, hub=0.3),
        say=said.append,
    )
    with pytest.raises(UserError) as caught:
        agent.run()
    message = f"the hub on host 0 (127.0.0.1) has not answered for 0.3 s ({problem}"
    assert message in str(caught.value)
    assert said == [
        f"waiting for the hub on host 0 (127.0.0.1): {caught.value.args[0].split('(')[2].split(')')[0]}"
    ]
    assert server.stops > 1
