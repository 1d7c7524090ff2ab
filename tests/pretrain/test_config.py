"""Every gin file loads, and wrong settings are one-line errors."""

import dataclasses
import hashlib
import json

import pytest

from data.config import BuildConfig, InputConfig
from data.errors import UserError
from finetune.config import FinetuneRunConfig
from launch.config import ClusterConfig
from model.config import EncoderConfig
from optim.config import OptimizerConfig
from pretrain.checkpoints.model_dir import Run, identity
from pretrain.config import RunConfig
from pretrain.gin_files import (
    config_text,
    load_config,
    load_run_config,
    operative_config_text,
    run_config_from_dict,
)
from pretrain.train.config import TrainConfig
from tests.support.paths import ROOT

RUNS = sorted(ROOT.glob("gin/lambert_*.gin"))
FINETUNINGS = sorted(ROOT.glob("gin/finetune_*.gin"))
BUILDS = sorted(ROOT.glob("gin/data_*.gin"))


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_every_gin_file_of_a_run_loads(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    load_run_config([f"gin/{path.name}"], [], kind=RunConfig)
    text = path.read_text()
    assert f"--gin_file gin/{path.name}" in text  # opens with its command
    assert all(word in text for word in ("# Data:", "# Hardware:", "# Result:"))


@pytest.mark.parametrize("path", BUILDS, ids=lambda path: path.stem)
def test_every_gin_file_of_a_build_loads(path):
    load_config([str(path)], [], BuildConfig)


@pytest.mark.parametrize("path", FINETUNINGS, ids=lambda path: path.stem)
def test_every_gin_file_of_fine_tuning_loads(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    load_run_config([f"gin/{path.name}"], [], kind=FinetuneRunConfig)
    text = path.read_text()
    assert f"--gin_file gin/{path.name}" in text
    assert all(word in text for word in ("# Data:", "# Hardware:", "# Result:"))


def test_fine_tuning_files_match_the_model_card():
    """AdamW for SQuAD, LAMB for GLUE, at 3e-5 with warm-up and linear decay; the card's exclusions."""
    for name, optimizer in {"squad_v1": "adamw", "squad_v2": "adamw", "mnli": "lamb"}.items():
        config = load_run_config([f"gin/finetune_{name}.gin"], [], kind=FinetuneRunConfig)
        assert config.task.task == name
        settings = config.optimizer
        assert (settings.optimizer, settings.peak_learning_rate) == (optimizer, 3e-5)
        assert (settings.schedule, settings.decay_power, settings.end_learning_rate) == (
            "polynomial",
            1,
            0,
        )
        assert config.finetune.warmup_fraction > 0
        assert settings.weight_decay_rate == 0.01
        assert settings.exclude_from_weight_decay == ("LayerNorm", "layer_norm", "bias")
        assert settings.exclude_from_layer_adaptation == ("LayerNorm", "layer_norm", "bias")


def test_gin_files_are_found_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert (
        load_run_config(["gin/lambert_base.gin"], [], kind=RunConfig).encoder.num_hidden_layers
        == 12
    )


@pytest.mark.parametrize("strict", [False, True])
def test_byte_order_mark_of_a_file_is_no_statement(tmp_path, monkeypatch, strict):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inner.gin").write_bytes(b"\xef\xbb\xbfTrainConfig.train_steps = 7\n")
    (tmp_path / "run.gin").write_bytes(b"\xef\xbb\xbf# A comment.\r\ninclude 'inner.gin'\r\n")
    config = load_run_config(["run.gin"], [], kind=RunConfig, strict=strict)
    assert config.train.train_steps == 7


def test_lambert_large_matches_the_model_card():
    config = load_run_config(["gin/lambert_large.gin"], [], kind=RunConfig)
    assert (config.train.train_steps, config.train.global_batch_size) == (200_000, 8192)
    assert (config.optimizer.peak_learning_rate, config.optimizer.beta_2) == (2.5e-3, 0.99)
    optimizer = config.optimizer
    assert (optimizer.optimizer, optimizer.variant, optimizer.schedule) == (
        "lamb",
        "tf_models",
        "polynomial",
    )
    encoder = config.encoder
    assert (encoder.num_hidden_layers, encoder.hidden_size) == (24, 1024)
    assert (encoder.num_attention_heads, encoder.intermediate_size) == (16, 4096)
    (build,) = load_config(["gin/data_lambert.gin"], [], BuildConfig)
    assert (build.copies, build.max_seq_length, build.max_predictions) == (100, 512, 76)


def test_smaller_sizes_inherit_the_recipe():
    base = load_run_config(["gin/lambert_base.gin"], [], kind=RunConfig)
    assert base.optimizer.peak_learning_rate == 2.5e-3
    assert base.encoder.hidden_size == 768


def test_parameters_override_files_and_are_recorded():
    config = load_run_config(
        ["gin/lambert_large.gin"], ["TrainConfig.train_steps = 5"], kind=RunConfig
    )
    assert config.train.train_steps == 5
    assert "TrainConfig.train_steps = 5" in config_text()
    assert "TrainConfig.train_steps = 5" in operative_config_text()
    # The operative configuration also lists defaults.
    assert "TrainConfig.keep_checkpoints = 5" not in config_text()
    assert "TrainConfig.keep_checkpoints = 5" in operative_config_text()


def test_empty_exclusion_list_excludes_nothing():
    config = load_run_config([], ["OptimizerConfig.exclude_from_weight_decay = []"], kind=RunConfig)
    assert config.optimizer.exclude_from_weight_decay == ()
    assert config.optimizer.exclude_from_layer_adaptation == ("LayerNorm", "layer_norm", "bias")


def test_macros_are_accepted_where_they_are_used():
    config = load_run_config([], ["STEPS = 7", "TrainConfig.train_steps = %STEPS"], kind=RunConfig)
    assert config.train.train_steps == 7


def test_recorded_settings_read_back():
    config = load_run_config(["gin/lambert_large.gin"], [], kind=RunConfig)
    recorded = json.loads(json.dumps(dataclasses.asdict(config)))
    assert run_config_from_dict(recorded, RunConfig) == config


@pytest.mark.parametrize(
    ("param", "message"),
    [
        ("TrainConfig.train_stepz=3", "TrainConfig has no parameter 'train_stepz'; did you mean"),
        ("TranConfig.seed=3", "'TranConfig' is not a class of settings; did you mean 'TrainC"),
        ("TrainConfig.jit_compile='yes'", "jit_compile='yes': must be 'auto', 'on' or 'off'"),
        ("TrainConfig.logits_chunk_size=-1", "TrainConfig.logits_chunk_size=-1: is negative"),
        ("TrainConfig.train_steps='x'", "TrainConfig.train_steps='x': must be a whole number"),
        ("TrainConfig.train_steps=1.5", "TrainConfig.train_steps=1.5: must be a whole number"),
        ("TrainConfig.seed=True", "TrainConfig.seed=True: must be a whole number"),
        ("TrainConfig.train_steps=0", "TrainConfig.train_steps=0: must be at least 1"),
        (
            "TrainConfig.train_steps=2147483648",
            "train_steps=2147483648: must be at most 2,147,483,647",
        ),
        ("TrainConfig.seed=9223372036854775807", "must be at most 4,611,686,018,427,387,904"),
        (
            "TrainConfig.global_batch_size=1048577",
            "global_batch_size=1048577: must be at most 1,048",
        ),
        (
            "TrainConfig.eval_batch_size=10000000000000",
            "eval_batch_size=10000000000000: must be at",
        ),
        ("TrainConfig.micro_batch_size=10000000000000", "must be at most 1,048,576"),
        (
            "InputConfig.prefetch=1000000000",
            "InputConfig.prefetch=1000000000: must be at most 10,000",
        ),
        ("EncoderConfig.hidden_size=1000000000", "hidden_size=1000000000: must be at most 65,536"),
        ("EncoderConfig.num_hidden_layers=10000", "num_hidden_layers=10000: must be at most 1,024"),
        ("EncoderConfig.hidden_size=61440", "186 billion weights; at most 100 billion fit"),
        ("OptimizerConfig.warmup_steps=2147483648", "warmup_steps=2147483648: must be at most"),
        ("TrainConfig.train_steps = =", "--gin_param 'TrainConfig.train_steps = =': expected NAME"),
        ("TrainConfig.train_steps", "--gin_param 'TrainConfig.train_steps': expected NAME = VALUE"),
        ("TrainConfig.precision = float32", "expected NAME = VALUE, with text in quotes"),
        ("TrainConfig.precision='fp16'", "must be 'float32' or 'mixed_bfloat16'"),
        ("InputConfig.masks='onlin'", "must be 'materialised' or 'online'"),
        ("InputConfig.reader='tf'", "must be 'auto', 'python' or 'graph'"),
        ("train_steps=5", "'train_steps' is set, but nothing refers to it; did you mean Train"),
        ("nothing=5", "'nothing' is set, but nothing refers to it"),
        ("BuildConfig.copies=3", "BuildConfig is set, but this command does not use it"),
        ("ClusterConfig.strategy='gpu'", "must be one of auto, default"),
        ("EncoderConfig.hidden_size=100", "is not a multiple of EncoderConfig.num_attention_heads"),
        ("EncoderConfig.hidden_activation='relu'", "='relu': must be one of gelu_tanh, gelu"),
        ("OptimizerConfig.beta_2=1.0", "must be in [0, 1)"),
        ("OptimizerConfig.exclude_from_weight_decay='bias'", "must be a list of strings"),
        ("OptimizerConfig.exclude_from_weight_decay=['(']", "'(' is not a regular expression"),
        ("OptimizerConfig.optimizer='adam'", "='adam': must be one of lamb, adamw"),
        ("OptimizerConfig.variant='nv'", "='nv': must be one of paper, tf_models, nvlamb, clamped"),
        ("OptimizerConfig.schedule='linear'", "must be one of polynomial, cosine, constant"),
        ("OptimizerConfig.end_learning_rate=1.0", "is above OptimizerConfig.peak_learning_rate="),
        ("OptimizerConfig.gamma_l=11", "gamma_l=11.0: is above OptimizerConfig.gamma_u=10.0"),
        ("OptimizerConfig.epsilon=1e300", "epsilon=1e+300: must be at most 100,000,000,"),
        (
            "EncoderConfig.initializer_range=1e300",
            "initializer_range=1e+300: must be at most 1,000",
        ),
        ("OptimizerConfig.gamma_l=0", "gamma_l=0.0: must be above 0"),
        ("OptimizerConfig.min_trust_ratio=1", "is above OptimizerConfig.max_trust_ratio=0.3"),
    ],
)
def test_wrong_settings_are_one_line(param, message):
    with pytest.raises(UserError) as caught:
        load_run_config([], [param], kind=RunConfig)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("param", "message"),
    [
        ("BuildConfig.max_predictions=511", "does not fit into BuildConfig.max_seq_length=512"),
        ("BuildConfig.random_token_rate=0.3", "together exceed 1"),
        ("BuildConfig.mask_unit='word'", "must be 'token' or 'whole_word'"),
        ("BuildConfig.max_ngram=0", "must be between 1 and 16"),
        ("BuildConfig.max_ngram=17", "must be between 1 and 16"),
        ("BuildConfig.eval_fraction=2", "must be between 0 and 1"),
        ("BuildConfig.copies=-1", "must be between 0 and 1,000"),
    ],
)
def test_wrong_build_settings_are_one_line(param, message):
    with pytest.raises(UserError, match=message):
        load_config([], [param], BuildConfig)


def test_errors_in_files_name_file_and_line(tmp_path):
    path = tmp_path / "a.gin"
    path.write_text("TrainConfig.seed = 1\nTrainConfig.train_stepz = 3\n")
    with pytest.raises(UserError, match=rf"{path}, line 2: TrainConfig has no parameter"):
        load_run_config([str(path)], [], kind=RunConfig)
    path.write_text("TrainConfig.seed = = 1\n")
    for strict in (False, True):
        with pytest.raises(UserError, match=rf"^{path}, line 1: .*: TrainConfig.seed = = 1$"):
            load_run_config([str(path)], [], strict=strict, kind=RunConfig)
    with pytest.raises(UserError, match=r"^--gin_param 'seed', line 1: "):
        load_run_config([], ["seed"], strict=True, kind=RunConfig)
    path.write_bytes(b"\xff")
    with pytest.raises(UserError, match=rf"^{path}: .*must be UTF-8 text"):
        load_run_config([str(path)], [], kind=RunConfig)
    with pytest.raises(UserError, match=r"gin file not found: .*none\.gin"):
        load_run_config([str(tmp_path / "none.gin")], [], kind=RunConfig)
    for strict in (False, True):
        message = (
            r"^gin file not found: gin/lambert_tny\.gin; did you mean gin/lambert_tiny\.gin\?$"
        )
        with pytest.raises(UserError, match=message):
            load_run_config(["gin/lambert_tny.gin"], [], strict=strict, kind=RunConfig)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("include 'a.gin'", r"a\.gin, line 1: nested too deeply: a file includes itself"),
        ("A = %B\nB = %A\nTrainConfig.seed = %A", "nested too deeply: .* macros refer to each"),
        (
            f"TrainConfig.seed = {'(' * 5000}1{')' * 5000}",
            "nested too deeply: .* too many brackets",
        ),
        ("TrainConfig.seed = [", r"^a\.gin ends within brackets or text"),
        ("TrainConfig.seed = %NONE", "%NONE is not set"),
        ("TrainConfig.seed = %gin.REQUIRED", r"^TrainConfig\.seed has no value: .*--gin_param"),
        (f"TrainConfig.seed = {'9' * 5000}", r"^a\.gin, line 1: .*999"),
        (f"TrainConfig.seed = 0x{'f' * 5000}", r"TrainConfig\.seed=<int>: is out of range"),
        ("TrainConfig.seed = 9223372036854775808", r"seed=9223372036854775808: is out of range"),
        ("OptimizerConfig.epsilon = 9223372036854775808", "is out of range"),
        ("OptimizerConfig.clip_norm = 1e999", r"clip_norm=inf: must be a finite number"),
        ("TrainConfig.wandb_project = 'a\\0b'", r"='a\\x00b': contains a control character"),
    ],
)
def test_malformed_files_are_one_line(text, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.gin").write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        load_run_config(["a.gin"], [], kind=RunConfig)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_identity_ignores_defaults_and_settings_that_may_change():
    def sha256_of(**train) -> str:
        config = RunConfig(
            train=TrainConfig(**train),
            input=InputConfig(),
            encoder=EncoderConfig(),
            optimizer=OptimizerConfig(),
            cluster=ClusterConfig(),
        )
        return identity(Run(config=config, data_sha256="d0", lower_case=True))["config_sha256"]

    # Defaults, and settings that may change, do not count.
    expected = hashlib.sha256(b'{"train.seed": 7}').hexdigest()
    assert sha256_of(seed=7) == sha256_of(seed=7, log_interval=3) == expected
    # A run may resume with attention by kernels: dropout masks are the same.
    assert sha256_of(seed=7, attention="kernel", micro_batch_size=4) == expected
    assert sha256_of(seed=7, global_batch_size=16) != expected
