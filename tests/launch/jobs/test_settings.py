"""Gin files of a job: its settings, and those of its run."""

import pytest

from data.errors import UserError
from launch.config import LaunchConfig
from launch.jobs.settings import load_job_config


def test_settings_of_the_run_become_one_gin_file():
    config, text = load_job_config(
        ["gin/lambert_tiny.gin"],
        ["LaunchConfig.name = 'a'", "STEPS = 9", "TrainConfig.train_steps = %STEPS"],
    )
    assert config == LaunchConfig(name="a")
    assert "LaunchConfig" not in text
    assert "TrainConfig.train_steps = %STEPS" in text
    assert "EncoderConfig.hidden_size = 128" in text


def test_macros_of_the_job_alone_do_not_travel():
    config, text = load_job_config([], ["B = 'a'", "A = %B", "LaunchConfig.name = %A"])
    assert config == LaunchConfig(name="a")
    assert text.strip() == ""


def test_gin_that_runs_code_is_refused():
    with pytest.raises(UserError, match="which --strict_gin refuses"):
        load_job_config([], ["TrainConfig.precision = @TrainConfig()"])
