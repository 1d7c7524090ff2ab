"""Jobs on Google Kubernetes Engine: literal, and by the schemas of Kubernetes and JobSet."""

import json

import jsonschema
import kubernetes_validate
import pytest

from data.errors import UserError
from launch import gke
from tests.support.jobs import GPUS, JOB_DIR, make_job, split_commands
from tests.support.paths import GOLDEN


def pod(jobset: dict) -> dict:
    return jobset["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]


def container(jobset: dict) -> dict:
    (only,) = pod(jobset)["containers"]
    return only


def test_create_uploads_the_job_and_creates_the_jobset():
    action = gke.create(make_job(**GPUS), "W")
    assert list(map(tuple, action.commands)) == split_commands(
        f"""
gcloud storage cp W/job.json W/run.gin {JOB_DIR}/
kubectl create --filename=W/jobset.json
"""
    )
    assert json.loads(action.files["W/jobset.json"]) == gke.jobset(make_job(**GPUS))


def test_tf_config_lists_all_workers():
    environment = container(gke.jobset(make_job(**GPUS)))["env"]
    assert environment[0]["name"] == "WORKER_INDEX"  # defined before it is referred to
    text = environment[1]["value"].replace("$(WORKER_INDEX)", "1")
    assert json.loads(text) == {
        "cluster": {"worker": ["large-worker-0-0.large:2222", "large-worker-0-1.large:2222"]},
        "task": {"type": "worker", "index": 1},
    }


def test_tpu_of_a_single_host():
    jobset = gke.jobset(make_job(spot=True, queue="tpus", accelerator="v6e-8"))
    assert pod(jobset)["nodeSelector"] == {
        "cloud.google.com/gke-tpu-accelerator": "tpu-v6e-slice",
        "cloud.google.com/gke-tpu-topology": "2x4",
        "cloud.google.com/gke-spot": "true",
    }
    assert container(jobset)["resources"]["limits"] == {"google.com/tpu": 8}
    assert container(jobset)["env"] == []
    assert jobset["metadata"]["labels"] == {"kueue.x-k8s.io/queue-name": "tpus"}


@pytest.mark.parametrize("settings", [GPUS, dict(accelerator="v5litepod-8", spot=True)])
def test_jobset_is_valid_by_the_schemas(settings):
    jobset = gke.jobset(make_job(queue="q", **settings))
    schema = json.loads((GOLDEN / "jobset.schema.json").read_text())
    jsonschema.validate(jobset, schema)
    template = jobset["spec"]["replicatedJobs"][0]["template"]
    as_job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"}, **template}
    kubernetes_validate.validate(as_job, "1.31", strict=True)
    # Both schemas can fail.
    container(jobset)["imag"] = "x"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(as_job, "1.31", strict=True)
    jobset["spec"]["failurePolicy"]["rules"][0]["action"] = "FailJob"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(jobset, schema)


def test_service_account_must_be_one_of_kubernetes():
    with pytest.raises(UserError, match=r"service_account='a@b\..*': on GKE must be the name of"):
        gke.create(make_job(service_account="a@b.iam.gserviceaccount.com"), "W")
