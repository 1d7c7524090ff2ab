"""The recipe that a run prints, and the checks before its first step."""

import re
import shutil

import numpy as np
import pytest

from data.errors import UserError
from data.manifest import Manifest
from data.storage.records import ExampleCodec, write_records
from model.config import EncoderConfig
from model.mlm import Pretrainer, variable_names
from optim.config import OptimizerConfig
from pretrain import run
from pretrain.config import RunConfig
from pretrain.gin_files import load_run_config
from pretrain.recipe import check_memory, describe
from pretrain.train.metrics_log import read_metrics
from pretrain.train.recipe import check_variables

TRAINED = ["embeddings:0", "dense/kernel:0", "dense/bias:0", "layer_norm/gamma:0"]


def recipe(*params, manifest) -> list[str]:
    config = load_run_config(["gin/lambert_large.gin"], params, kind=RunConfig)
    return describe(config, manifest, trained=TRAINED).splitlines()


def test_lines_about_the_data(small_build):
    manifest = Manifest.load(small_build)
    unique = manifest.num_sequences("train")
    params = [f"TrainConfig.train_steps = {6 * unique}", "TrainConfig.global_batch_size = 4"]
    params += ["OptimizerConfig.warmup_steps = 1", "EncoderConfig.vocab_size = 1536"]
    *_, data, ids, passes = recipe(*params, manifest=manifest)
    assert f"{unique:,} training sequences of 64 tokens" in data
    assert ids == (
        "  ids, checked in each batch: pieces below 1,500 of 1,536 embeddings, positions below 64 of"
        " 512, type 0 of 2"
    )
    assert passes == "  24.0 passes, each of 3 masked copies seen 8.0 times"


@pytest.mark.parametrize(
    ("param", "message"),
    [
        (
            "EncoderConfig.hidden_size = 15360",
            r"^EncoderConfig\.hidden_size=15360 and .*=24 need at least .* each GPU \(x\) has 6.0 GiB",
        ),
        (
            "TrainConfig.micro_batch_size = 0",
            r"^TrainConfig\.global_batch_size=8192 and micro_batch",
        ),
        ("TrainConfig.eval_batch_size = 1048576", r"^TrainConfig\.eval_batch_size=1048576 need at"),
    ],
)
def test_settings_that_no_memory_holds_are_refused(param, message):
    def check(*params):
        params = ["EncoderConfig.vocab_size = 30522", *params]
        config = load_run_config(["gin/lambert_large.gin"], params, kind=RunConfig)
        check_memory(config, seq_length=512, replicas=1, memory=(6 * 2**30, "each GPU (x)"))

    check()
    with pytest.raises(UserError, match=message):
        check(param)


def test_memory_is_checked_before_the_model_directory_is_made(small_build, tmp_path):
    params = arguments(small_build, tmp_path / "M", "TrainConfig.eval_batch_size = 1048576")
    params += ["--gin_param", "EncoderConfig.hidden_size = 8192"]
    with pytest.raises(UserError, match=r"TrainConfig\.eval_batch_size=1048576 need at least"):
        run.main(params)
    assert not (tmp_path / "M").exists()


def test_variable_names_equal_those_of_the_model():
    config = EncoderConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=3, num_attention_heads=2
    )
    names = [variable.name for variable in Pretrainer(config, seed=0).trainable_variables]
    assert variable_names(config) == names
    assert not [name for name in names if "pooler" in name]
    # The patterns of the recipe match BERT's variables.
    check_variables(OptimizerConfig(), names)


RUN = [
    "TrainConfig.train_steps = 4",
    "TrainConfig.global_batch_size = 4",
    "TrainConfig.eval_batch_size = 16",
    "TrainConfig.log_interval = 2",
    "TrainConfig.checkpoint_interval = 2",
    "TrainConfig.precision = 'float32'",
    "ClusterConfig.strategy = 'default'",
    "EncoderConfig.hidden_size = 16",
    "EncoderConfig.num_hidden_layers = 1",
    "EncoderConfig.num_attention_heads = 2",
    "EncoderConfig.intermediate_size = 32",
    "EncoderConfig.max_position_embeddings = 64",
    "OptimizerConfig.warmup_steps = 2",
]


def arguments(data_dir, model_dir, *params: str) -> list[str]:
    flags = [flag for param in [*RUN, *params] for flag in ("--gin_param", param)]
    return [*flags, "--data_dir", str(data_dir), "--model_dir", str(model_dir)]


@pytest.mark.parametrize(
    "params",
    [
        ["OptimizerConfig.optimizer = 'adamw'", "OptimizerConfig.schedule = 'cosine'"],
        ["OptimizerConfig.variant = 'nvlamb'", "OptimizerConfig.schedule = 'constant'"],
        ["OptimizerConfig.exclude_from_layer_adaptation = ['.']"],
    ],
    ids=["adamw", "nvlamb", "nothing_adapted"],
)
def test_run_prints_its_recipe_and_resumes(small_build, tmp_path, capsys, params):
    argv = arguments(small_build, tmp_path / "m", *params)
    run.main([*argv, "--mode", "train"])
    printed = capsys.readouterr()
    assert "batch: 4 = 1 replica x micro-batch of 4 x 1 accumulation steps" in printed.out
    assert "step 2/4" in printed.err
    rows = read_metrics(tmp_path / "m")
    assert [row["step"] for row in rows] == [2, 4]
    assert ("trust_ratio_min" in rows[0]) == ("nvlamb" in params[0])
    assert ("trust_ratios" in rows[0]) == ("nvlamb" in params[0])
    if "nvlamb" in params[0]:
        ratios = rows[0]["trust_ratios"]
        assert "encoder/transformer/layer_0/self_attention/query/kernel" in ratios
        assert min(ratios.values()) == rows[0]["trust_ratio_min"]
        assert max(ratios.values()) == rows[0]["trust_ratio_max"]
    run.main([*argv, "--gin_param", "TrainConfig.train_steps = 6", "--mode", "train"])
    assert "resuming at step 4" in capsys.readouterr().err


@pytest.mark.parametrize("split", ["train", "eval"])
def test_token_ids_out_of_range_stop_a_run(small_build, tmp_path, split):
    """An accelerator would silently read another embedding."""
    copy = shutil.copytree(small_build, tmp_path / "copy")
    codec = ExampleCodec(max_seq_length=64, max_predictions=10, vocab_size=1500)
    path = copy / f"masked/{split}/copy-000/shard-00000.tfrecord"
    records = np.fromfile(path, np.uint8).reshape(-1, codec.record_bytes)
    features = codec.decode(records[:, 12:-4])
    features["input_word_ids"][:, 3] = 1500
    features["input_word_ids"][:, 5] = 1777
    with path.open("wb") as file:
        write_records(file, [codec.encode(features)])
    with pytest.raises(UserError) as caught:
        run.main(arguments(copy, tmp_path / "m"))
    assert re.fullmatch(
        rf".*/{split}/copy-000/shard-00000\.tfrecord: record \d+ has a value outside \[0, 1500\) in"
        r" input_word_ids: 1500, 1777; copy it again or rebuild it",
        str(caught.value),
    )


def test_misspelled_pattern_fails_before_anything_is_written(small_build, tmp_path):
    argv = arguments(
        small_build, tmp_path / "m", "OptimizerConfig.exclude_from_weight_decay = ['biass']"
    )
    for mode in ([], ["--dry_run"]):
        with pytest.raises(UserError, match="exclude_from_weight_decay: 'biass' matches none of"):
            run.main([*argv, *mode])
    assert not (tmp_path / "m").exists()
