"""Run a job on a Cloud TPU: a VM, or a slice of several, as a queued resource.

    python -m launch.tpu run --gin_file gin/lambert_large.gin --gin_file job.gin

create uploads the job and requests the TPU. run does the same, watches the job, requests another TPU when a
spot TPU is preempted, and deletes the TPU when the run has ended; if run is interrupted and started again, it
resumes watching. status, logs and delete act on an existing job. docs/launching.md has the settings.

On every machine, launch/tpu_startup.sh starts launch.node. On a slice the job's end is that of host 0, or the
failure of any host.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from absl import logging

from data.cli.main import run_main
from data.errors import UserError
from launch.accelerators.tpu_types import google_type, hosts_of, request_of
from launch.jobs.commands import Verb, build_parser, execute, load_job, output_of
from launch.jobs.job import ROOT, SOURCE_FILE, Action, Job, source_archive, upload
from launch.slice.job_files import HOSTS_FOLDER, HUB_STATE, SUBMITTED

STARTUP_SCRIPT = "launch/tpu_startup.sh"
# Written by the machine: "running on HOST", and at the end "ended CODE".
_STATUS_FILE = "status"
_SUBMITTED = SUBMITTED.encode()
# Firewall rules of docs/security.md keep others away from the ports of machines with this tag.
SLICE_TAG = "lambert-slice"
# Consecutive polls that may fail, because the network here is not the network of the job.
_MAX_FAILED_POLLS = 30
_PREEMPTED_STATES = ("SUSPENDING", "SUSPENDED")
# Polls of an active TPU after which its machine should have reported.
_MAX_SILENT_POLLS = 15


def create(job: Job, work_dir: str) -> Action:
    """Return the action that packs the checkout, uploads the job and requests the TPU."""
    requested = request(job, work_dir)
    uploaded = upload(job, work_dir, {SOURCE_FILE: source_archive(), _STATUS_FILE: _SUBMITTED})
    return Action(
        files={**uploaded.files, **requested.files},
        commands=[*uploaded.commands, *requested.commands],
        exists_command=_state_command(job),
    )


def request(job: Job, work_dir: str) -> Action:
    """Return the action that requests the TPU of an uploaded job, with new states of a slice's hosts."""
    config = job.config
    # Without its own service account the machine would have the rights of the default one.
    config.require("project", "zone", "bucket", "data_dir", "service_account")
    config.require_reachable("bucket", "data_dir", "model_dir")
    chip, num_hosts = request_of(config.accelerator)[0], hosts_of(config.accelerator)
    metadata, states = f"lambert-job={config.job_dir}", {}
    if num_hosts > 1:
        if config.external_ips:
            raise UserError(
                "LaunchConfig.external_ips=True: the hosts of a slice run any program for whoever reaches"
                " their TensorFlow servers, so they have internal addresses only; set up Cloud NAT"
                " (docs/launching.md)"
            )
        metadata += f",lambert-hosts={num_hosts}"
        names = [HUB_STATE, *map(str, range(num_hosts))]
        states = {f"{work_dir}/{HOSTS_FOLDER}/{name}": _SUBMITTED for name in names}
    copy = ("gcloud", "storage", "cp", *states, f"{config.job_dir}/{HOSTS_FOLDER}/")
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
        f"--metadata={metadata}",
        f"--metadata-from-file=startup-script={ROOT / STARTUP_SCRIPT}",
        *(f"{flag}={value}" for flag, value in options.items() if value),
        *(() if config.external_ips else ("--internal-ips",)),
        *(("--spot",) if config.spot else ()),
        *((f"--tags={SLICE_TAG}",) if states else ()),
    ]
    return Action(files=states, commands=[copy, command] if states else [command])


def status(job: Job, _: str = "") -> Action:
    """Return the action that prints the state of the request, of the job and of the hosts of a slice."""
    hosts = [_hosts_command(job)] if _is_slice(job) else []
    return Action(commands=[_state_command(job), _status_command(job), *hosts])


def logs(job: Job, _: str = "") -> Action:
    """Return the action that prints the logs of all machines of the job."""
    return Action(commands=[_cat(job, "logs/*")])


def delete(job: Job, _: str = "") -> Action:
    """Return the action that deletes the TPU; the directory of the job remains."""
    return Action(commands=[(*_gcloud(job, "delete"), "--force", "--quiet")])


def run(job: Job, work_dir: str) -> Action:
    """Return each command of `run_to_completion` once, for --print."""
    parts = (create(job, work_dir), status(job), delete(job))
    commands = [command for part in parts for command in part.commands]
    return Action(files=parts[0].files, commands=commands)


VERBS: dict[str, Verb] = dict(create=create, run=run, status=status, logs=logs, delete=delete)


def run_to_completion(job: Job, work_dir: str, poll_seconds: float) -> None:
    """Submit a job, watch it to its end, and delete the TPU, also if the run fails.

    Args:
      job: job to run.
      work_dir: local folder for its files.
      poll_seconds: seconds between polls of the state.

    Raises:
      UserError: the run failed, the request failed, or the TPU was preempted too often.
    """
    submission = create(job, work_dir)  # checks the settings before any request
    if _state(job):
        logging.info(f"launch: {job.config.name} exists; watching it")
    else:
        execute(submission)
    for restarts in range(job.config.max_restarts + 1):
        if restarts:
            logging.warning("launch: the TPU was preempted; requesting another one")
            execute(request(job, work_dir))
        end = _watch(job, poll_seconds)
        execute(delete(job))
        if end is not None:
            _report_result(job, *end)
            return
    raise UserError(
        f"the TPU was preempted {job.config.max_restarts + 1} times"
        f" (LaunchConfig.max_restarts={job.config.max_restarts}); start this command again to resume the"
        " run from its newest checkpoint"
    )


def _watch(job: Job, poll_seconds: float) -> tuple[int, str] | None:
    """Wait for the end of a job.

    Returns:
      Exit code of the run and, on a slice, the line of a host that says why; None if the TPU was preempted.
    """
    failed_polls, silent_polls, printed_state = 0, 0, ""
    while True:
        state, report = _state(job), output_of(_status_command(job)) or ""
        hosts = (output_of(_hosts_command(job)) or "") if _is_slice(job) else ""
        failed = _failed_host(hosts)
        if report.startswith("ended"):  # see tpu_startup.sh
            code = int(report.split()[1])
            return code, failed[1] if code and failed else ""
        if failed:
            return failed
        if state in _PREEMPTED_STATES:
            return None
        if state == "FAILED":
            execute(delete(job))
            raise UserError(
                f"the request for a TPU failed: {job.config.accelerator} in {job.config.zone}, valid for"
                f" {job.config.valid_until_duration or 'ever'}; try another zone or a longer duration"
            )
        failed_polls = failed_polls + 1 if state is None else 0
        if failed_polls > _MAX_FAILED_POLLS:
            raise UserError(
                f"`gcloud compute tpus queued-resources describe {job.config.name}` has failed"
                f" {failed_polls} times in a row; the job may be running: check `launch.tpu status`, and"
                " start this command again"
            )
        if state and state != printed_state:
            logging.info(f"launch: {job.config.name} is {state}")
            printed_state = state
        is_silent = state == "ACTIVE" and report == _SUBMITTED.decode().strip()
        silent_polls += is_silent
        if is_silent and silent_polls == _MAX_SILENT_POLLS:
            logging.warning(
                f"launch: {job.config.name} is ACTIVE and billed, but its machine has not reported yet:"
                " does it reach the bucket and the package index? See docs/operations.md"
            )
        time.sleep(poll_seconds)


def _failed_host(hosts: str) -> tuple[int, str] | None:
    """Return exit code and line of the first host that has failed: "host 3: ended 2 on vm: no space"."""
    for line in hosts.splitlines():
        name, _, ended = line.partition(": ended ")
        if name.startswith("host ") and (code := ended.partition(" ")[0]).isdecimal() and int(code):
            return int(code), line
    return None


def _report_result(job: Job, code: int, line: str) -> None:
    if code:
        raise UserError(
            f"the run ended with exit code {code}{f' ({line})' if line else ''}; see `launch.tpu logs`"
            f" ({job.config.job_dir}/logs)"
        )
    print(f"launch: done; the model is in {job.model_dir}", flush=True)


def _state(job: Job) -> str | None:
    """Return the state of the request, such as "ACTIVE"; None without a request or an answer."""
    return output_of(_state_command(job)) or None


def _gcloud(job: Job, verb: str) -> tuple[str, ...]:
    job.config.require("project", "zone")
    command = ("gcloud", "compute", "tpus", "queued-resources", verb, job.config.name)
    return (*command, f"--project={job.config.project}", f"--zone={job.config.zone}")


def _state_command(job: Job) -> tuple[str, ...]:
    return (*_gcloud(job, "describe"), "--format=value(state.state)")


def _status_command(job: Job) -> tuple[str, ...]:
    return _cat(job, _STATUS_FILE)


def _is_slice(job: Job) -> bool:
    return hosts_of(job.config.accelerator) > 1


def _hosts_command(job: Job) -> tuple[str, ...]:
    return _cat(job, f"{HOSTS_FOLDER}/*")


def _cat(job: Job, name: str) -> tuple[str, ...]:
    job.config.require("bucket")
    return ("gcloud", "storage", "cat", f"{job.config.job_dir}/{name}")


def main(argv: Sequence[str]) -> None:
    """Parse the command line and run the verb."""
    parser = build_parser("python -m launch.tpu", __doc__, list(VERBS))
    parser.add_argument(
        "--poll_seconds", type=float, default=60.0, help="seconds between polls of run"
    )
    args = parser.parse_args(argv)
    if not 0 < args.poll_seconds < math.inf:
        raise UserError(f"--poll_seconds {args.poll_seconds:g}: must be above 0")
    job = load_job(args)
    if args.verb == "run" and not args.print_only:
        run_to_completion(job, args.work_dir, args.poll_seconds)
    else:
        execute(VERBS[args.verb](job, args.work_dir), print_only=args.print_only)


if __name__ == "__main__":
    run_main(main)
