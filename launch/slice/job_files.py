"""Files of a slice in the job's directory: where the hub is, its token, and the state of every host.

JOB/slice/hub.json    address, port and token of the hub, which only the job's machines can read
JOB/hosts/K           line about host K before its agent reports to the hub, and its exit code
JOB/hosts/hub         lines of the hub: its own state and that of every host, rewritten while it lives
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable

from data import files
from data.checked_json import DamagedRecord, read_json
from data.errors import UserError

HOSTS_FOLDER = "hosts"
HUB_STATE = "hub"
SUBMITTED = "submitted\n"
# File on this machine for the reason of its exit; tpu_startup.sh copies it to JOB/hosts/K.
REASON_VARIABLE = "LAMBERT_REASON_FILE"
_HUB_FILE = "slice/hub.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class HubRecord:
    """Where the hub of a job is.

    Attributes:
      instance: name of the hub, which no other hub has.
      address: internal address of host 0.
      port: port of the hub.
      token: secret of the job's agents and its hub.
      end: exit code of the job; None while it runs.
      reason: why it ended.
    """

    instance: str
    address: str
    port: int
    token: str = dataclasses.field(repr=False)
    end: int | None = None
    reason: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class JobFiles:
    """The files of a slice.

    Attributes:
      job_dir: directory of the job.
    """

    job_dir: str

    def write_hub(self, record: HubRecord) -> None:
        """Publish the hub for the agents of the job."""
        content = json.dumps(dataclasses.asdict(record)).encode()
        path = files.join(self.job_dir, _HUB_FILE)
        if not files.is_remote(path):
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        files.write_atomically(path, content)

    def read_hub(self) -> HubRecord | None:
        """Return the newest hub; None if there is none, or its record is not readable."""
        try:
            record = read_json(files.join(self.job_dir, _HUB_FILE))
            return HubRecord(
                instance=record.text("instance"),
                address=record.text("address"),
                port=record.integer("port", minimum=0, maximum=65535),
                token=record.text("token"),
                end=record.integer("end", default=None),
                reason=record.text("reason"),
            )
        except (FileNotFoundError, DamagedRecord):
            return None

    def write_state(self, name: str, text: str) -> None:
        """Write the lines of a host, by its number, or of the hub."""
        path = files.join(self.job_dir, HOSTS_FOLDER, name)
        if not files.is_remote(path):
            os.makedirs(os.path.dirname(path), exist_ok=True)
        files.write_atomically(path, text.encode())

    def read_state(self, name: str) -> str:
        """Return the lines of a host or of the hub; "" if there are none."""
        try:
            return files.read_bytes(files.join(self.job_dir, HOSTS_FOLDER, name)).decode(
                "utf-8", "replace"
            )
        except FileNotFoundError:
            return ""


def require_no_other_hub(
    job: JobFiles, own_address: str, seconds: float, sleep: Callable[[float], None]
) -> None:
    """Raise a UserError if a hub on another machine runs this job.

    A hub that has not ended rewrites its state; if the state stays the same for a time, the hub is dead.

    Args:
      job: files of the job.
      own_address: address of this machine, where the machine's lock keeps a second hub away.
      seconds: time to watch the state.
      sleep: waits for a number of seconds.
    """
    other = job.read_hub()
    if other is None or other.end is not None or other.address == own_address:
        return
    before = job.read_state(HUB_STATE)
    sleep(seconds)
    if job.read_state(HUB_STATE) != before:
        raise UserError(
            f"{job.job_dir} is run by another slice, whose hub is on {other.address}: two runs would write"
            " the same checkpoints; delete one of the jobs, or give this one another LaunchConfig.name"
        )
