"""A run on a Cloud TPU VM, as a queued resource.

    python -m launch.tpu run --gin_file gin/lambert_large.gin --gin_file job.gin

create puts the job into the bucket and asks for the TPU; run does the same, watches the job, asks again
when a spot TPU is taken away, and deletes the TPU when the run has ended. Stopped and started again, run
goes on watching. status, logs and delete say what they do. docs/launching.md has the settings.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from data.errors import UserError, run_main
from launch.accelerators.tpu_types import google_type, single_host
from launch.jobs.commands import execute, load_job, output_of, parser
from launch.jobs.job import ROOT, SOURCE_FILE, Action, Job, source_archive, upload

STARTUP_SCRIPT = "launch/tpu_startup.sh"
# What the machine says of the job: "running on HOST", and at last "ended CODE".
_STATUS_FILE = "status"
_SUBMITTED = b"submitted\n"
# Looks at the state that may fail in a row: the network of who watches is not the job's.
_FORGIVEN_LOOKS = 30
_GONE = ("SUSPENDING", "SUSPENDED")
# After so many looks at a TPU that is there and paid for, its machine should have begun.
_SILENT_LOOKS = 15


def create(job: Job, work_dir: str) -> Action:
    """Packs the checkout, puts the job into the bucket and asks for the TPU."""
    asked = request(job)
    put = upload(job, work_dir, {SOURCE_FILE: source_archive(), _STATUS_FILE: _SUBMITTED})
    return Action(
        files=put.files,
        commands=[*put.commands, *asked.commands],
        exists=_state_command(job),
    )


def request(job: Job, _: str = "") -> Action:
    """Asks for the TPU of a job that is in the bucket."""
    config = job.config
    # Without an account of its own the machine would have the rights of the project's default one.
    config.require("project", "zone", "bucket", "data_dir", "service_account")
    config.require_reachable("bucket", "data_dir", "model_dir")
    chip, _, _ = single_host(config.accelerator)
    options = {
        "--network": config.network,
        "--subnetwork": config.subnetwork,
        "--valid-until-duration": config.valid_until_duration,
    }
    command = [
        *_gcloud(job, "create"),
        f"--node-id={config.name}",
        f"--accelerator-type={google_type(config.accelerator)}",
        f"--runtime-version={config.runtime_version or chip.runtime_version}",
        f"--service-account={config.service_account}",
        f"--metadata=lambert-job={config.job_dir}",
        f"--metadata-from-file=startup-script={ROOT / STARTUP_SCRIPT}",
        *(f"{flag}={value}" for flag, value in options.items() if value),
        *(() if config.external_ips else ("--internal-ips",)),
        *(("--spot",) if config.spot else ()),
    ]
    return Action(commands=[command])


def status(job: Job, _: str = "") -> Action:
    """Says what became of the request, and what the job says of itself."""
    return Action(commands=[_state_command(job), _status_command(job)])


def logs(job: Job, _: str = "") -> Action:
    """Prints the logs of all machines that had the job."""
    return Action(commands=[_cat(job, "logs/*")])


def delete(job: Job, _: str = "") -> Action:
    """Gives the TPU back. The folder of the job stays."""
    return Action(commands=[(*_gcloud(job, "delete"), "--force", "--quiet")])


def run(job: Job, work_dir: str) -> Action:
    """The commands of `keep_running`, each once."""
    parts = (create(job, work_dir), status(job), delete(job))
    commands = [command for part in parts for command in part.commands]
    return Action(files=parts[0].files, commands=commands)


VERBS = dict(create=create, run=run, status=status, logs=logs, delete=delete)


def keep_running(job: Job, work_dir: str, poll_seconds: float) -> None:
    """Sees a job through to its end, and gives the TPU back whatever that is.

    Args:
      job: to run.
      work_dir: local folder for its files.
      poll_seconds: between two looks.

    Raises:
      UserError: the run failed, the request failed, or the TPU was lost too often.
    """
    submission = create(job, work_dir)  # wrong settings are told before anything is asked
    if _state(job):
        print(f"launch: {job.config.name} exists; watching it", flush=True)
    else:
        execute(submission)
    for restarts in range(job.config.max_restarts + 1):
        if restarts:
            print("launch: the TPU was taken away; asking for another one", flush=True)
            execute(request(job))
        code = _watch(job, poll_seconds)
        execute(delete(job))
        if code is not None:
            _conclude(job, code)
            return
    raise UserError(
        f"the TPU was taken away {job.config.max_restarts + 1} times; the run goes on from its"
        " newest checkpoint if you start this command again (LaunchConfig.max_restarts)"
    )


def _watch(job: Job, poll_seconds: float) -> int | None:
    """Waits for the end of a job: the exit code of the run, None if its TPU was taken away."""
    failures, silent, shown = 0, 0, ""
    while True:
        state, report = _state(job), output_of(_status_command(job)) or ""
        if report.startswith("ended"):  # see tpu_startup.sh
            return int(report.split()[1])
        if state in _GONE:
            return None
        if state == "FAILED":
            execute(delete(job))
            raise UserError(
                f"the request for a TPU failed: {job.config.accelerator} in {job.config.zone}, valid for"
                f" {job.config.valid_until_duration or 'ever'}; try another zone or a longer time"
            )
        failures = failures + 1 if state is None else 0
        if failures > _FORGIVEN_LOOKS:
            raise UserError(
                f"`gcloud compute tpus queued-resources describe {job.config.name}` has failed"
                f" {failures} times in a row; the job may be running: see `launch.tpu status`, and start"
                " this command again"
            )
        if state and state != shown:
            print(f"launch: {job.config.name} is {state}", flush=True)
            shown = state
        is_silent = state == "ACTIVE" and report == _SUBMITTED.decode().strip()
        silent += is_silent
        if is_silent and silent == _SILENT_LOOKS:
            print(
                f"launch: {job.config.name} is ACTIVE and paid for, but its machine has not said a word:"
                " does it reach the bucket and the package index? See docs/operations.md",
                flush=True,
            )
        time.sleep(poll_seconds)


def _conclude(job: Job, code: int) -> None:
    if code:
        raise UserError(
            f"the run ended with exit code {code}; `launch.tpu logs` shows why"
            f" ({job.config.job_dir}/logs)"
        )
    print(f"launch: trained; the model is in {job.model_dir}", flush=True)


def _state(job: Job) -> str | None:
    """Of the request, like "ACTIVE"; None if there is none or nobody answers."""
    return output_of(_state_command(job)) or None


def _gcloud(job: Job, verb: str) -> tuple[str, ...]:
    job.config.require("project", "zone")
    command = ("gcloud", "compute", "tpus", "queued-resources", verb, job.config.name)
    return (*command, f"--project={job.config.project}", f"--zone={job.config.zone}")


def _state_command(job: Job) -> tuple[str, ...]:
    return (*_gcloud(job, "describe"), "--format=value(state.state)")


def _status_command(job: Job) -> tuple[str, ...]:
    return _cat(job, _STATUS_FILE)


def _cat(job: Job, name: str) -> tuple[str, ...]:
    job.config.require("bucket")
    return ("gcloud", "storage", "cat", f"{job.config.job_dir}/{name}")


def main(argv: Sequence[str]) -> None:
    """Parses the command line and does what it says."""
    found = parser("python -m launch.tpu", __doc__, list(VERBS))
    found.add_argument(
        "--poll_seconds", type=float, default=60.0, help="between two looks of run; 60 without it"
    )
    args = found.parse_args(argv)
    if not 0 < args.poll_seconds < math.inf:
        raise UserError(f"--poll_seconds {args.poll_seconds:g}: must be above 0")
    job = load_job(args)
    if args.verb == "run" and not args.print_only:
        keep_running(job, args.work_dir, args.poll_seconds)
    else:
        execute(VERBS[args.verb](job, args.work_dir), print_only=args.print_only)


if __name__ == "__main__":
    run_main(main)
