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


def test_slice_is_a_pod_for_each_host_that_only_they_reach():
    action = gke.create(make_job(accelerator="v5e-16"), "W")
    assert list(map(tuple, action.commands[1:])) == split_commands(
        """
kubectl apply --filename=W/network_policy.json
kubectl create --filename=W/jobset.json
"""
    )
    jobset = json.loads(action.files["W/jobset.json"])
    job = jobset["spec"]["replicatedJobs"][0]["template"]["spec"]
    assert (job["parallelism"], job["completions"]) == (4, 4)
    assert jobset["metadata"]["annotations"] == {
        "alpha.jobset.sigs.k8s.io/exclusive-topology": "cloud.google.com/gke-nodepool"
    }
    assert pod(jobset)["nodeSelector"]["cloud.google.com/gke-tpu-topology"] == "4x4"
    assert container(jobset)["resources"]["limits"] == {"google.com/tpu": 4}
    index, hosts = container(jobset)["env"]
    assert index["name"] == "LAMBERT_SLICE_INDEX"
    assert hosts == {
        "name": "LAMBERT_SLICE_HOSTS",
        "value": "large-worker-0-0.large,large-worker-0-1.large,large-worker-0-2.large"
        ",large-worker-0-3.large",
    }
    pods = {"matchLabels": {"jobset.sigs.k8s.io/jobset-name": "large"}}
    policy = json.loads(action.files["W/network_policy.json"])
    assert policy["spec"] == {
        "podSelector": pods,
        "policyTypes": ["Ingress"],
        "ingress": [{"from": [{"podSelector": pods}]}],
    }
    kubernetes_validate.validate(policy, "1.31", strict=True)
    assert gke.delete(make_job(accelerator="v5e-16"), "").commands == split_commands(
        """
kubectl delete jobset large
kubectl delete networkpolicy large
"""
    )


def test_slices_of_v4_are_refused():
    with pytest.raises(UserError, match="tensorflow/issues/93618"):
        gke.create(make_job(accelerator="v4-16"), "W")


@pytest.mark.parametrize(
    "settings",
    [GPUS, dict(accelerator="v5litepod-8", spot=True), dict(accelerator="v5p-64")],
)
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
