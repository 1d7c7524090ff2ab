"""Jobs on a Cloud TPU VM: the commands, and the loop of `launch.tpu run`."""

import pytest

from data.errors import UserError
from launch import gke, tpu
from launch.config import LaunchConfig
from launch.jobs.job import Job
from tests.support.jobs import JOB_DIR, RUN_GIN, make_job, split_commands
from tests.support.paths import ROOT

# State of the request and status of the job.
RUNNING, PREEMPTED = ("ACTIVE", "running on vm"), ("SUSPENDED", "running on vm")


def test_create_uploads_the_job_and_requests_the_tpu():
    action = tpu.create(make_job(spot=True, network="n", valid_until_duration="6h"), "W")
    assert list(action.files) == [
        "W/job.json",
        "W/run.gin",
        "W/source.tar.gz",
        "W/status",
    ]
    assert action.files["W/run.gin"] == RUN_GIN.encode()
    assert list(map(tuple, action.commands)) == split_commands(
        f"""
gcloud storage cp W/job.json W/run.gin W/source.tar.gz W/status {JOB_DIR}/
gcloud compute tpus queued-resources create large --project=p --zone=us-west4-a --node-id=large --accelerator-type=v5litepod-8 --runtime-version=v2-alpha-tpuv5-lite --service-account=trainer --metadata=lambert-job={JOB_DIR} --metadata-from-file=startup-script={ROOT}/launch/tpu_startup.sh --network=n --valid-until-duration=6h --internal-ips --spot
"""  # noqa: E501
    )


def test_slice_has_states_of_its_hosts_and_only_internal_addresses():
    action = tpu.create(make_job(accelerator="v5e-16"), "W")
    states = [f"W/hosts/{name}" for name in ("hub", "0", "1", "2", "3")]
    assert list(action.files)[4:] == states
    assert {action.files[path] for path in states} == {b"submitted\n"}
    assert list(map(tuple, action.commands[1:])) == split_commands(
        f"""
gcloud storage cp {" ".join(states)} {JOB_DIR}/hosts/
gcloud compute tpus queued-resources create large --project=p --zone=us-west4-a --node-id=large --accelerator-type=v5litepod-16 --runtime-version=v2-alpha-tpuv5-lite --service-account=trainer --metadata=lambert-job={JOB_DIR},lambert-hosts=4 --metadata-from-file=startup-script={ROOT}/launch/tpu_startup.sh --internal-ips --tags=lambert-slice
"""  # noqa: E501
    )
    status = tpu.status(make_job(accelerator="v6e-256")).commands
    assert status[2] == ("gcloud", "storage", "cat", f"{JOB_DIR}/hosts/*")


@pytest.mark.parametrize(
    ("accelerator", "hosts"), [("v5e-16", 4), ("v5e-256", 64), ("v6e-32", 8), ("v5p-16", 2)]
)
def test_slices_have_a_state_for_every_host(accelerator, hosts):
    assert len(tpu.request(make_job(accelerator=accelerator), "W").files) == hosts + 1


def test_commands_of_status_logs_and_delete():
    verbs = ("status", "logs", "delete")
    state = "--format='value(state.state)'"
    commands = [command for verb in verbs for command in tpu.VERBS[verb](make_job(), "W").commands]
    assert commands == split_commands(
        f"""
gcloud compute tpus queued-resources describe large --project=p --zone=us-west4-a {state}
gcloud storage cat {JOB_DIR}/status
gcloud storage cat {JOB_DIR}/logs/*
gcloud compute tpus queued-resources delete large --project=p --zone=us-west4-a --force --quiet
"""
    )


def test_our_name_and_googles_name_of_v5e_are_equivalent():
    ours, googles = (
        [
            tpu.create(make_job(accelerator=name), "W").commands,
            gke.jobset(make_job(accelerator=name)),
        ]
        for name in ("v5e-8", "v5litepod-8")
    )
    assert ours == googles
    assert "--accelerator-type=v5litepod-8" in ours[0][1]


def test_on_demand_with_external_addresses():
    (command,) = tpu.request(make_job(external_ips=True, accelerator="v4-8"), "W").commands
    assert {"--accelerator-type=v4-8", "--runtime-version=tpu-ubuntu2204-base"} <= {*command}
    assert not {"--spot", "--internal-ips"} & {*command}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(zone=""), r"LaunchConfig\.zone is missing"),
        (dict(service_account=""), r"LaunchConfig\.service_account is missing"),
        (dict(accelerator="v5litepod-12"), "no slice has this size; there are 1, 4, 8, 16, 32, 64"),
        (
            dict(accelerator="v4-16"),
            r"need v5e, v5p or v6e, because TensorFlow hangs .* those of v4 \(github.com/.*/93618\)",
        ),
        (dict(accelerator="v3-32"), r"those of v3 .* a single host has the sizes 8"),
        (dict(accelerator="v5e-16", external_ips=True), "external_ips=True: the hosts of a slice"),
        (dict(accelerator="h100"), "is not a TPU type; there are v3-8, v4-8, v5e-1"),
        (
            dict(bucket="/shared"),
            r"LaunchConfig\.bucket='/shared': must be in a bucket \(gs://\.\.\.\), where",
        ),
        (dict(data_dir="/shared/d"), r"LaunchConfig\.data_dir='/shared/d': must be in a bucket"),
        (dict(model_dir="/m"), r"LaunchConfig\.model_dir='/m': must be in a bucket"),
    ],
)
def test_invalid_settings_are_errors(settings, message):
    with pytest.raises(UserError, match=message):
        tpu.create(make_job(**settings), "W")


@pytest.fixture
def run(monkeypatch):
    """A function that runs a job with (state, status) of each poll, and returns the verbs of gcloud."""
    config = LaunchConfig(
        project="p",
        zone="z-a",
        bucket="gs://b",
        data_dir="gs://b/d",
        service_account="a",
        max_restarts=2,
    )
    called, states, statuses = [], [], []

    def execute(action):
        called.extend(command[4] for command in action.commands if command[1] == "compute")

    def run(*polls, initial_state=None):
        called.clear()
        states[:] = [initial_state, *(state for state, _ in polls)]
        statuses[:] = [status for _, status in polls]
        try:
            tpu.run_to_completion(Job(config=config, run_gin=""), "W", 1.0)
        finally:
            assert (states, statuses) == ([], [])
        return called

    monkeypatch.setattr(tpu, "execute", execute)
    monkeypatch.setattr(
        tpu, "output_of", lambda c: (statuses if c[1] == "storage" else states).pop(0)
    )
    monkeypatch.setattr(tpu.time, "sleep", lambda _: None)
    run.called = called
    return run


def test_preempted_machine_is_replaced(run, capsys):
    polls = [("WAITING_FOR_RESOURCES", "submitted"), RUNNING, (None, None), PREEMPTED]
    assert run(*polls, ("PROVISIONING", "running on vm"), RUNNING, ("ACTIVE", "ended 0")) == [
        *("create", "delete", "create", "delete")
    ]
    assert "launch: done; the model is in gs://b/lambert/model" in capsys.readouterr().out


def test_watching_resumes_if_the_job_exists(run):
    assert run(RUNNING, ("ACTIVE", "ended 0"), initial_state="ACTIVE") == ["delete"]


def test_ended_run_is_not_repeated_if_its_machine_is_preempted(run):
    assert run(RUNNING, ("SUSPENDED", "ended 0")) == ["create", "delete"]


def test_failed_run_is_an_error_and_deletes_the_tpu(run):
    with pytest.raises(UserError, match=r"the run ended with exit code 2; see `launch\.tpu logs`"):
        run(RUNNING, ("ACTIVE", "ended 2"))
    assert run.called == ["create", "delete"]


def test_too_many_preemptions_are_an_error(run):
    with pytest.raises(UserError, match=r"preempted 3 times \(LaunchConfig\.max_restarts=2\)"):
        run(PREEMPTED, RUNNING, PREEMPTED, PREEMPTED)
    assert run.called == ["create", "delete"] * 3


def test_failed_request_is_an_error_and_is_deleted(run):
    with pytest.raises(UserError, match=r"v5litepod-8 in z-a, valid for ever; try another zone"):
        run(("FAILED", "submitted"))
    assert run.called == ["create", "delete"]


@pytest.fixture
def run_slice(monkeypatch):
    """A function that runs a slice whose first poll finds these states; it returns the verbs of gcloud."""
    called = []

    def execute(action):
        called.extend(command[4] for command in action.commands if command[1] == "compute")

    def run(status, hosts) -> list[str]:
        answers = {"status": status, "hosts/*": hosts}
        states = [None, "ACTIVE"]

        def output_of(command):
            is_state = command[1] == "compute"
            return states.pop(0) if is_state else answers[command[-1].partition("large/")[2]]

        monkeypatch.setattr(tpu, "output_of", output_of)
        tpu.run_to_completion(make_job(accelerator="v5e-16"), "W", 1.0)
        return called

    monkeypatch.setattr(tpu, "execute", execute)
    run.called = called
    return run


def test_slice_ends_with_its_first_host(run_slice):
    assert run_slice("ended 0", "hub: ended\nhost 0: ended 0 on a\nhost 1: running on b") == [
        *("create", "delete")
    ]


@pytest.mark.parametrize("status", ["running on a", "ended 2"])
def test_failure_of_any_host_ends_the_job_by_name(run_slice, status):
    hosts = "hub: waiting for hosts\nhost 0: waits for the hub on a\nhost 3: ended 2 on d: no space"
    with pytest.raises(UserError) as caught:
        run_slice(status, hosts)
    assert str(caught.value) == (
        "the run ended with exit code 2 (host 3: ended 2 on d: no space); see `launch.tpu logs`"
        " (gs://b/jobs/large/logs)"
    )
    assert run_slice.called == ["create", "delete"]


def test_silent_machine_is_reported_once(run, capsys):
    silent = [("ACTIVE", "submitted")] * 15
    run(*silent, RUNNING, ("ACTIVE", "ended 0"))
    assert capsys.readouterr().err.count("but its machine has not reported yet") == 1
    run(*silent[1:], RUNNING, ("ACTIVE", "ended 0"))
    assert "has not reported yet" not in capsys.readouterr().err


def test_poll_interval_must_be_positive():
    with pytest.raises(UserError, match="--poll_seconds -1: must be above 0"):
        tpu.main(["run", "--poll_seconds", "-1"])


def test_lost_network_ends_the_watch_and_keeps_the_tpu(run):
    with pytest.raises(UserError, match="has failed 31 times in a row; the job may be running"):
        run(*[(None, None)] * 31)
    assert run.called == ["create"]
