"""Requests to Google Cloud, parsed strictly into its message types. Needs the extra [gcp]."""

import importlib.util
import json

import pytest

from launch import tpu, vertex
from launch.config import LaunchConfig
from launch.jobs.job import Job

pytestmark = [
    pytest.mark.gcp,
    pytest.mark.skipif(
        not importlib.util.find_spec("google.cloud")
        or not importlib.util.find_spec("google.cloud.tpu_v2"),
        reason="needs the extra [gcp]: make test-gcp",
    ),
]
CONFIG = LaunchConfig(
    project="p",
    zone="us-west4-a",
    bucket="gs://b",
    data_dir="gs://b/d",
    image="registry/trainer:1",
    service_account="a@p.iam.gserviceaccount.com",
    machine_type="a3-highgpu-8g",
    accelerator="nvidia-h100-80gb",
    nodes=3,
    spot=True,
    network="projects/123/global/networks/n",
)
# Fields of a QueuedResource by the flags of `gcloud compute tpus queued-resources create`.
NODE_FIELDS = {"accelerator-type": "acceleratorType", "runtime-version": "runtimeVersion"}


def parse(content: dict, message):
    from google.protobuf import json_format

    return json_format.ParseDict(content, message.pb()())


def test_custom_job_is_valid():
    from google.cloud.aiplatform_v1.types import CustomJobSpec
    from google.protobuf import json_format

    spec_file = vertex.create(Job(config=CONFIG, run_gin=""), "W").files["W/custom_job.json"]
    spec = parse(json.loads(spec_file), CustomJobSpec)
    assert [pool.replica_count for pool in spec.worker_pool_specs] == [1, 2]
    assert spec.worker_pool_specs[0].machine_spec.accelerator_count == 8
    content = json.loads(spec_file)
    content["workerPoolSpecs"][0]["machineSpec"]["acceleratorType"] = "NVIDIA_H1000"
    with pytest.raises(json_format.ParseError):
        parse(content, CustomJobSpec)


@pytest.mark.parametrize(
    "gpu",
    ["nvidia-h100-80gb", "nvidia-h200-141gb", "nvidia-tesla-a100", "nvidia-a100-80gb", "nvidia-l4"],
)
def test_vertex_has_the_names_of_gpus(gpu):
    from google.cloud.aiplatform_v1.types import AcceleratorType

    assert gpu.upper().replace("-", "_") in AcceleratorType.__members__


def test_request_for_a_tpu_is_a_valid_queued_resource():
    from google.cloud.tpu_v2 import QueuedResource

    job = Job(config=LaunchConfig(**{**vars(CONFIG), "accelerator": "v5litepod-8"}), run_gin="")
    (command,) = tpu.request(job, "W").commands
    flags = dict(word[2:].partition("=")[::2] for word in command[6:])
    node = {field: flags[flag] for flag, field in NODE_FIELDS.items()}
    node["metadata"] = dict([flags["metadata"].split("=", 1)])
    node["serviceAccount"] = {"email": flags["service-account"]}
    node["networkConfig"] = {"network": flags["network"], "enableExternalIps": False}
    parent = f"projects/{flags['project']}/locations/{flags['zone']}"
    spec = {"parent": parent, "nodeId": flags["node-id"], "node": node}
    request = parse({"tpu": {"nodeSpec": [spec]}, "spot": {}}, QueuedResource)
    assert request.tpu.node_spec[0].node.accelerator_type == "v5litepod-8"


def test_states_of_a_request_exist():
    from google.cloud.tpu_v2 import QueuedResourceState

    names = QueuedResourceState.State.__members__
    assert {*tpu._PREEMPTED_STATES, "FAILED"} <= {*names}
