"""The data build on Flink: commands and objects, literal and by the schemas of Kubernetes."""

import json

import kubernetes_validate
import pytest

from data.errors import UserError
from launch.flink.__main__ import create_action, main
from launch.flink.objects import objects
from tests.support.jobs import make_job, split_commands

ARGUMENTS = ("--text", "gs://b/t/*", "--vocab_file", "gs://b/v.txt", "--output_dir", "gs://b/d")


def config(**settings):
    return make_job(
        **dict(worker_image="registry/worker:1", service_account="flink") | settings
    ).config


def made(kind: str, **settings) -> dict:
    found = objects(config(**settings), "BuildConfig.copies = 0\n", ARGUMENTS)
    return next(one for one in found if one["kind"] == kind)


def test_create_makes_all_objects_at_once():
    action = create_action(config(), "BuildConfig.copies = 0\n", ARGUMENTS, "W")
    assert list(map(tuple, action.commands)) == split_commands(
        "kubectl create --filename=W/flink.json"
    )
    (content,) = action.files.values()
    items = json.loads(content)["items"]
    assert [item["kind"] for item in items] == [
        *("NetworkPolicy", "ConfigMap", "FlinkDeployment", "Job")
    ]
    for item in items:
        assert item["metadata"] == {"name": "large", "labels": {"lambert/build": "large"}}


def test_task_managers_have_a_pool_of_python_workers():
    spec = made("FlinkDeployment", max_workers=10, task_slots=2, worker_memory="8Gi")["spec"]
    assert (spec["flinkVersion"], spec["serviceAccount"]) == ("v1_19", "flink")
    assert spec["flinkConfiguration"]["taskmanager.numberOfTaskSlots"] == "2"
    assert spec["flinkConfiguration"]["slotmanager.number-of-slots.max"] == "20"
    flink, workers = spec["taskManager"]["podTemplate"]["spec"]["containers"]
    assert flink["name"] == "flink-main-container"
    assert (workers["image"], workers["args"]) == ("registry/worker:1", ["--worker_pool"])
    assert workers["resources"] == {
        "requests": {"cpu": "2", "memory": "8Gi"},
        "limits": {"memory": "8Gi"},
    }


def test_job_submits_the_build_through_a_job_server_beside_it():
    pod = made("Job", max_workers=10, task_slots=2)["spec"]["template"]["spec"]
    (server,), (driver,) = pod["initContainers"], pod["containers"]
    assert [tuple(driver["command"])] == split_commands(
        """
python -m data.build --strict_gin --gin_file /etc/lambert/build.gin --text 'gs://b/t/*' --vocab_file gs://b/v.txt --output_dir gs://b/d --runner=PortableRunner --job_endpoint=localhost:8099 --environment_type=EXTERNAL --environment_config=localhost:50000 --parallelism=20 --sdk_worker_parallelism=2 --environment_cache_millis=600000 --no_save_main_session
"""  # noqa: E501
    )
    assert server["image"] == "apache/beam_flink1.19_job_server:2.77.0"
    assert server["args"][0] == "--flink-master=large-rest:8081"
    assert made("ConfigMap")["data"] == {"build.gin": "BuildConfig.copies = 0\n"}


def test_objects_follow_the_schemas_of_kubernetes():
    for kind in ("NetworkPolicy", "ConfigMap", "Job"):
        kubernetes_validate.validate(made(kind), "1.31", strict=True)
    spec = made("FlinkDeployment")["spec"]
    for template in (spec["podTemplate"], spec["taskManager"]["podTemplate"]):
        # The operator fills in the image of Flink's own container.
        containers = [{"image": "flink", **one} for one in template["spec"]["containers"]]
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}
        pod["spec"] = {**template["spec"], "containers": containers}
        kubernetes_validate.validate(pod, "1.31", strict=True)


def test_only_pods_of_the_build_and_the_operator_reach_the_cluster():
    own, operator = made("NetworkPolicy")["spec"]["ingress"]
    assert own == {"from": [{"podSelector": {"matchLabels": {"lambert/build": "large"}}}]}
    assert operator["ports"] == [{"port": 8081}]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(worker_image=""), r"LaunchConfig\.worker_image is missing"),
        (dict(service_account=""), r"LaunchConfig\.service_account is missing"),
        (dict(service_account="a@b"), r"LaunchConfig\.service_account='a@b': on Kubernetes must"),
        (dict(worker_image="a; b"), r"LaunchConfig\.worker_image='a; b': only letters"),
        (dict(worker_memory="8g"), r"LaunchConfig\.worker_memory='8g': must be a size"),
        (dict(task_slots=0), r"LaunchConfig\.task_slots=0: must be at least 1"),
    ],
)
def test_invalid_settings_are_errors(settings, message):
    with pytest.raises(UserError, match=message):
        made("Job", **settings)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no arguments: give those of data.build after --"),
        (["--", "--gin_param", "BuildConfig.copies=1"], "--gin_param is after --"),
        (["--", "--output_dir", "d"], r"--output_dir d: must be in a bucket"),
    ],
)
def test_invalid_command_lines_are_errors(arguments, message):
    with pytest.raises(UserError, match=message):
        main(["create", *arguments])


def test_settings_come_before_the_arguments_of_the_build(tmp_path, capsys):
    settings = ["BuildConfig.copies = 0", "LaunchConfig.name = 'b'", "LaunchConfig.max_workers = 3"]
    settings += ["LaunchConfig.worker_image = 'w:1'", "LaunchConfig.service_account = 'flink'"]
    flags = [flag for setting in settings for flag in ("--gin_param", setting)]
    main(["create", "--print", "--work_dir", str(tmp_path), *flags, "--", *ARGUMENTS])
    assert capsys.readouterr().out == f"kubectl create --filename={tmp_path}/flink.json\n"
    items = json.loads((tmp_path / "flink.json").read_text())["items"]
    assert items[1]["data"]["build.gin"].endswith("BuildConfig.copies = 0\n")


@pytest.mark.parametrize(
    ("verb", "command"),
    [
        (
            "status",
            "kubectl get job/b flinkdeployment/b configmap/b networkpolicy/b --ignore-not-found",
        ),
        ("logs", "kubectl logs job/b --container=driver"),
        (
            "delete",
            "kubectl delete job/b flinkdeployment/b configmap/b networkpolicy/b --ignore-not-found",
        ),
    ],
)
def test_other_verbs(verb, command, capsys):
    main([verb, "--print", "--gin_param", "LaunchConfig.name = 'b'"])
    assert capsys.readouterr().out == f"{command}\n"
