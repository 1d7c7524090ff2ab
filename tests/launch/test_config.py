"""Settings of a job: what LaunchConfig refuses."""

import pytest

from data.errors import UserError
from tests.support.jobs import make_job


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(name="Large"), "LaunchConfig.name='Large': must be up to 40 lower-case letters"),
        (dict(name="a" * 41), "must be up to 40"),
        (dict(nodes=0), "LaunchConfig.nodes=0: must be at least 1"),
        (dict(zone="a; rm -rf /"), "LaunchConfig.zone='a; rm -rf /': only letters"),
        (dict(image="a\nb"), "LaunchConfig.image='a\\nb': only letters"),
        (dict(bucket="gs://b/ä"), "LaunchConfig.bucket='gs://b/ä': only letters"),
        (dict(zone="us-west4"), "LaunchConfig.zone='us-west4': must be a zone, like 'us-west4-a'"),
        (dict(scratch_dir=""), "LaunchConfig.scratch_dir='': LaunchConfig.data_dir='gs://b/data'"),
        (dict(processes=2, nodes=2), "LaunchConfig.processes=2: must be 1 on several machines"),
        (dict(processes=2, accelerator="nvidia-l4"), "LaunchConfig.processes=2: must be 1"),
        (dict(accelerator="nvidia-l4", gpus_per_node=0), "LaunchConfig.gpus_per_node=0"),
    ],
)
def test_invalid_settings_are_errors_of_one_line(settings, message):
    with pytest.raises(UserError) as caught:
        make_job(**settings)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
