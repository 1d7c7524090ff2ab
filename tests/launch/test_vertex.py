"""Jobs on Vertex AI."""

import json

import pytest

from data.errors import UserError
from launch import vertex
from tests.support.jobs import GPUS, JOB_DIR, make_job, split_commands


def test_create_uploads_the_job_and_submits_it():
    network = "projects/123/global/networks/n"
    action = vertex.create(make_job(**GPUS, spot=True, network=network), "W")
    assert list(map(tuple, action.commands)) == split_commands(
        f"""
gcloud storage cp W/job.json W/run.gin {JOB_DIR}/
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
        "containerSpec": {"imageUri": "registry/trainer:1", "args": ["launch.node", JOB_DIR]},
        "replicaCount": 1,
    }
    assert json.loads(action.files["W/custom_job.json"]) == {
        "workerPoolSpecs": [pool, pool],
        "scheduling": {"strategy": "SPOT", "restartJobOnWorkerRestart": True},
        "serviceAccount": "trainer",
        "network": network,
    }


def test_invalid_settings_are_errors():
    with pytest.raises(UserError, match=r"LaunchConfig\.accelerator='v5litepod-8': launch\.vertex"):
        vertex.create(make_job(machine_type="a"), "W")
    with pytest.raises(UserError, match=r"LaunchConfig\.data_dir='/d': .* below /gcs/ on"):
        vertex.create(make_job(**GPUS, data_dir="/d"), "W")
    with pytest.raises(UserError, match=r"LaunchConfig\.network='n': on Vertex must be like"):
        vertex.create(make_job(**GPUS, network="n"), "W")


def test_data_may_be_in_a_mounted_bucket():
    vertex.create(make_job(**GPUS, data_dir="/gcs/b/data"), "W")
