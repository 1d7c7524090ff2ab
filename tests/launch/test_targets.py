"""Jobs as commands and files: literal, and by the strictest reading that there is without an account."""

import json
import shlex
import subprocess
import sys

import jsonschema
import kubernetes_validate
import pytest

from data.errors import UserError
from launch import dataflow, gke, tpu, vertex
from launch.config import LaunchConfig
from launch.jobs.job import Action, Job, package_folders, source_archive
from launch.jobs.settings import load_job_config
from tests.support.paths import GOLDEN, ROOT

SETTINGS = dict(
    name="large",
    project="p",
    zone="us-west4-a",
    bucket="gs://b/jobs",
    data_dir="gs://b/data",
    image="registry/trainer:1",
    service_account="trainer",
)
GPUS = dict(accelerator="nvidia-h100-80gb", machine_type="a3-highgpu-8g", nodes=2)
DIR = "gs://b/jobs/large"


def job(**settings) -> Job:
    return Job(config=LaunchConfig(**SETTINGS | settings), run_gin="TrainConfig.train_steps = 7\n")


def words(text: str) -> list[tuple[str, ...]]:
    return [tuple(shlex.split(line)) for line in text.strip().splitlines()]


class TestSettings:
    def test_one_file_for_the_machines(self):
        files = ["gin/lambert_tiny.gin"]
        config, text = load_job_config(
            files, ["LaunchConfig.name = 'a'", "STEPS = 9", "TrainConfig.train_steps = %STEPS"]
        )
        assert config == LaunchConfig(name="a")
        assert "LaunchConfig" not in text
        assert "TrainConfig.train_steps = %STEPS" in text
        assert "EncoderConfig.hidden_size = 128" in text

    def test_what_runs_code_is_refused(self):
        with pytest.raises(UserError, match="which --strict_gin refuses"):
            load_job_config([], ["TrainConfig.precision = @TrainConfig()"])

    def test_a_wrong_setting_of_the_run_is_told_before_anything_is_paid(self):
        argv = ["create", "--gin_param", "TrainConfig.train_steps = 5"]
        with pytest.raises(UserError, match=r"warmup_steps=\d+ leaves nothing of TrainConfig"):
            tpu.main(argv)

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            (dict(name="Large"), "LaunchConfig.name='Large': must be up to 40 small letters"),
            (dict(name="a" * 41), "must be up to 40"),
            (dict(nodes=0), "LaunchConfig.nodes=0: must be at least 1"),
            (dict(zone="a; rm -rf /"), "LaunchConfig.zone='a; rm -rf /': only letters"),
            (dict(image="a\nb"), "only letters"),
            (dict(bucket="gs://b/ä"), "only letters"),
            (
                dict(zone="us-west4"),
                "LaunchConfig.zone='us-west4': must be a zone, like 'us-west4-a'",
            ),
            (dict(scratch_dir=""), "gs://b/data is not on a disk; name a folder"),
            (dict(processes=2, nodes=2), "processes=2: is for one machine without GPUs"),
            (dict(processes=2, accelerator="nvidia-l4"), "is for one machine without GPUs"),
        ],
    )
    def test_wrong_settings_are_one_line(self, settings, message):
        with pytest.raises(UserError) as caught:
            job(**settings)
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_a_job_reads_back(self):
        from data import files

        for name, content in job(bucket="ram://jobs").files().items():
            files.write_atomically(f"ram://jobs/large/{name}", content)
        assert Job.load("ram://jobs/large") == job(bucket="ram://jobs")
        with pytest.raises(UserError, match="ram://jobs/none is not a job"):
            Job.load("ram://jobs/none")
        files.write_atomically("ram://jobs/large/job.json", b'{"nam": 1}')
        with pytest.raises(UserError, match="of another version of this program"):
            Job.load("ram://jobs/large")


class TestTpu:
    def test_create(self):
        action = tpu.create(job(spot=True, network="n", valid_until_duration="6h"), "W")
        assert list(action.files) == [
            "W/job.json",
            "W/run.gin",
            "W/source.tar.gz",
            "W/status",
        ]
        assert action.files["W/run.gin"] == b"TrainConfig.train_steps = 7\n"
        assert list(map(tuple, action.commands)) == words(
            f"""
gcloud storage cp W/job.json W/run.gin W/source.tar.gz W/status {DIR}/
gcloud compute tpus queued-resources create large --project=p --zone=us-west4-a --node-id=large --accelerator-type=v5litepod-8 --runtime-version=v2-alpha-tpuv5-lite --service-account=trainer --metadata=lambert-job={DIR} --metadata-from-file=startup-script={ROOT}/launch/tpu_startup.sh --network=n --valid-until-duration=6h --internal-ips --spot
"""  # noqa: E501
        )

    def test_the_other_verbs(self):
        verbs = ("status", "logs", "delete")
        state = "--format='value(state.state)'"
        found = [command for verb in verbs for command in tpu.VERBS[verb](job(), "W").commands]
        assert found == words(
            f"""
gcloud compute tpus queued-resources describe large --project=p --zone=us-west4-a {state}
gcloud storage cat {DIR}/status
gcloud storage cat {DIR}/logs/*
gcloud compute tpus queued-resources delete large --project=p --zone=us-west4-a --force --quiet
"""
        )

    def test_both_names_of_v5e_are_understood(self):
        ours, googles = (
            [
                tpu.create(job(accelerator=name), "W").commands,
                gke.jobset(job(accelerator=name)),
            ]
            for name in ("v5e-8", "v5litepod-8")
        )
        assert ours == googles
        assert "--accelerator-type=v5litepod-8" in ours[0][1]

    def test_on_demand_with_addresses(self):
        (command,) = tpu.request(job(external_ips=True, accelerator="v4-8")).commands
        assert {"--accelerator-type=v4-8", "--runtime-version=tpu-ubuntu2204-base"} <= {*command}
        assert not {"--spot", "--internal-ips"} & {*command}

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            (dict(zone=""), r"LaunchConfig\.zone is missing"),
            (dict(service_account=""), r"LaunchConfig\.service_account is missing"),
            (dict(accelerator="v5litepod-16"), r"is not a TPU of a single host \(sizes 1, 4, 8\)"),
            (dict(accelerator="h100"), "is not a TPU type; there are v3-8, v4-8, v5e-1"),
            (
                dict(bucket="/shared"),
                r"bucket='/shared': must be where the machines reach it: in a bucket \(gs://\.\.\.\)$",
            ),
            (dict(data_dir="/shared/d"), "data_dir='/shared/d': must be where"),
            (dict(model_dir="/m"), "model_dir='/m': must be where"),
        ],
    )
    def test_errors(self, settings, message):
        with pytest.raises(UserError, match=message):
            tpu.create(job(**settings), "W")

    def test_the_source_is_whole_and_always_the_same(self, tmp_path):
        (tmp_path / "a.tar.gz").write_bytes(source_archive())
        assert source_archive() == (tmp_path / "a.tar.gz").read_bytes()
        listed = subprocess.run(
            ["tar", "tzf", tmp_path / "a.tar.gz"], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        assert {"launch/install.sh", "gin/lambert_tiny.gin", "requirements.lock"} <= {*listed}
        assert not [name for name in listed if "__pycache__" in name or name.startswith(".")]
        folders = tuple(f"{folder}/" for folder in package_folders())
        assert all(name.startswith(folders) for name in listed if "/" in name)
        assert all(any(name.startswith(folder) for name in listed) for folder in folders)
        with pytest.raises(UserError, match="is not a checkout"):
            source_archive(tmp_path)


class TestGke:
    def test_create(self):
        action = gke.create(job(**GPUS), "W")
        assert list(map(tuple, action.commands)) == words(
            f"""
gcloud storage cp W/job.json W/run.gin {DIR}/
kubectl create --filename=W/jobset.json
"""
        )
        assert json.loads(action.files["W/jobset.json"]) == gke.jobset(job(**GPUS))

    def test_workers_know_each_other(self):
        environment = _container(gke.jobset(job(**GPUS)))["env"]
        assert environment[0]["name"] == "WORKER_INDEX"  # defined before it is referred to
        text = environment[1]["value"].replace("$(WORKER_INDEX)", "1")
        assert json.loads(text) == {
            "cluster": {"worker": ["large-worker-0-0.large:2222", "large-worker-0-1.large:2222"]},
            "task": {"type": "worker", "index": 1},
        }

    def test_a_tpu_of_one_host(self):
        found = gke.jobset(job(spot=True, queue="tpus", accelerator="v6e-8"))
        pod = found["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
        assert pod["nodeSelector"] == {
            "cloud.google.com/gke-tpu-accelerator": "tpu-v6e-slice",
            "cloud.google.com/gke-tpu-topology": "2x4",
            "cloud.google.com/gke-spot": "true",
        }
        assert _container(found)["resources"]["limits"] == {"google.com/tpu": 8}
        assert _container(found)["env"] == []
        assert found["metadata"]["labels"] == {"kueue.x-k8s.io/queue-name": "tpus"}

    @pytest.mark.parametrize("settings", [GPUS, dict(accelerator="v5litepod-8", spot=True)])
    def test_the_object_is_as_kubernetes_and_jobset_want_it(self, settings):
        found = gke.jobset(job(queue="q", **settings))
        schema = json.loads((GOLDEN / "jobset.schema.json").read_text())
        jsonschema.validate(found, schema)
        template = found["spec"]["replicatedJobs"][0]["template"]
        as_job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"}, **template}
        kubernetes_validate.validate(as_job, "1.31", strict=True)
        # Both can fail.
        template["spec"]["template"]["spec"]["containers"][0]["imag"] = "x"
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(as_job, "1.31", strict=True)
        found["spec"]["failurePolicy"]["rules"][0]["action"] = "FailJob"
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(found, schema)

    def test_errors(self):
        with pytest.raises(UserError, match="is the name of a Kubernetes service account"):
            gke.create(job(service_account="a@b.iam.gserviceaccount.com"), "W")
        with pytest.raises(UserError, match=r"gpus_per_node=0: must be at least 1"):
            gke.create(job(**GPUS, gpus_per_node=0), "W")


class TestVertex:
    def test_create(self):
        network = "projects/123/global/networks/n"
        action = vertex.create(job(**GPUS, spot=True, network=network), "W")
        assert list(map(tuple, action.commands)) == words(
            f"""
gcloud storage cp W/job.json W/run.gin {DIR}/
gcloud ai custom-jobs create --project=p --region=us-west4 --display-name=large --config=W/custom_job.json
"""
        )
        machine = {
            "machineType": "a3-highgpu-8g",
            "acceleratorType": "NVIDIA_H100_80GB",
            "acceleratorCount": 8,
        }
        pool = {
            "machineSpec": machine,
            "diskSpec": {"bootDiskType": "pd-ssd", "bootDiskSizeGb": 200},
            "containerSpec": {"imageUri": "registry/trainer:1", "args": ["launch.node", DIR]},
            "replicaCount": 1,
        }
        assert json.loads(action.files["W/custom_job.json"]) == {
            "workerPoolSpecs": [pool, pool],
            "scheduling": {"strategy": "SPOT", "restartJobOnWorkerRestart": True},
            "serviceAccount": "trainer",
            "network": network,
        }

    def test_errors(self):
        with pytest.raises(UserError, match=r"launch\.vertex is for GPUs"):
            vertex.create(job(machine_type="a"), "W")
        vertex.create(job(**GPUS, data_dir="/gcs/b/data"), "W")
        with pytest.raises(UserError, match=r"data_dir='/d': must be where .* or below /gcs/ on"):
            vertex.create(job(**GPUS, data_dir="/d"), "W")
        with pytest.raises(
            UserError, match=r"network='n': on Vertex must be like 'projects/123/glob"
        ):
            vertex.create(job(**GPUS, network="n"), "W")


class TestDataflow:
    def action(self, **settings) -> Action:
        config = job(**dict(worker_image="registry/worker:1") | settings).config
        arguments = ["--text", "gs://b/t/*", "--output_dir", "gs://b/d"]
        return dataflow.build_action(config, "BuildConfig.copies = 0\n", arguments, "W")

    def test_the_build(self):
        action = self.action(subnetwork="s", worker_machine_type="n2-standard-4")
        assert action.files == {"W/build.gin": b"BuildConfig.copies = 0\n"}
        python, *command = action.commands[0]
        assert (python, [tuple(command)]) == (
            sys.executable,
            words(
                f"""
-m data.build --strict_gin --gin_file W/build.gin --text 'gs://b/t/*' --output_dir gs://b/d --runner=DataflowRunner --project=p --region=us-west4 --job_name=large --temp_location={DIR}/tmp --staging_location={DIR}/staging --sdk_container_image=registry/worker:1 --max_num_workers=100 --worker_machine_type=n2-standard-4 --service_account_email=trainer --subnetwork=regions/us-west4/subnetworks/s --no_use_public_ips --no_save_main_session
"""  # noqa: E501, S108
            ),
        )

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            (dict(worker_image=""), r"LaunchConfig\.worker_image is missing"),
            (dict(service_account=""), r"LaunchConfig\.service_account is missing"),
            (dict(bucket="/b"), r"bucket='/b': must be where the machines reach it"),
        ],
    )
    def test_errors(self, settings, message):
        with pytest.raises(UserError, match=message):
            self.action(**settings)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ([], "there is nothing to build"),
            (["--", "--gin_param", "BuildConfig.copies=1"], "--gin_param stands after --"),
        ],
    )
    def test_what_stands_where(self, arguments, message):
        with pytest.raises(UserError, match=message):
            dataflow.main(arguments)


def _container(jobset: dict) -> dict:
    pod = jobset["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    return container
