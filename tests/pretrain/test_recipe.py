"""What a run says of itself before its first step."""

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
from pretrain.recipe import describe
from pretrain.train.progress import read_metrics
from pretrain.train.recipe import check_settings, check_variables

TRAINED = ["embeddings:0", "dense/kernel:0", "dense/bias:0", "layer_norm/gamma:0"]


def recipe(*params, replicas=1, manifest=None) -> list[str]:
    config = load_run_config(["gin/lambert_large.gin"], params, kind=RunConfig)
    text = describe(config, manifest, trained=TRAINED, replicas=replicas)
    return text.splitlines()


def test_all_of_it():
    assert recipe(replicas=8) == [
        "Recipe",
        "  200,000 updates of 8,192 sequences: 1,638,400,000 sequences",
        "  batch: 8,192 = 8 replicas x 8 at once x 128 accumulated",
        "  mixed_bfloat16; blocks kept whole; logits all at once",
        "  learning rate 0.0025 reached at update 10,000, from 2.5e-07 at the first to 1.32e-08 at the"
        " last (polynomial)",
        "  LAMB (tf_models), gradients clipped to a global norm of 1",
        "  trained: 4 variables (embeddings)",
        "  decayed by 0.01: 2 variables (embeddings); not: 2 variables (dense/bias)",
        "  adapted: 2 variables (embeddings); not: 2 variables (dense/bias)",
    ]


@pytest.mark.parametrize(
    ("params", "replicas", "line"),
    [
        (["TrainConfig.micro_batch_size = 0"], 4, "8,192 = 4 replicas x 2,048 at once x 1 acc"),
        (["TrainConfig.micro_batch_size = 9999"], 1, "8,192 = 1 replica x 8,192 at once x 1 acc"),
        (["TrainConfig.rematerialize_blocks = True"], 1, "; blocks computed again in the backward"),
        (["TrainConfig.logits_chunk_size = 2000"], 1, "; logits of 2,000 predictions at a time"),
        (["OptimizerConfig.schedule = 'constant'"], 1, "to 0.0025 at the last (constant)"),
        (["OptimizerConfig.warmup_steps = 0"], 1, "0.0025 reached at update 1, from 0.0025 at"),
        (["OptimizerConfig.clip_norm = 0"], 1, "LAMB (tf_models), gradients not clipped"),
        (["OptimizerConfig.optimizer = 'adamw'"], 1, "AdamW, gradients clipped to a global norm"),
        (["OptimizerConfig.weight_decay_rate = 0"], 1, "decayed by 0: none; not: 4 variables"),
        (["OptimizerConfig.exclude_from_layer_adaptation = []"], 1, "adapted: 4 variables (embed"),
        (
            ["OptimizerConfig.variant = 'nvlamb'", "OptimizerConfig.clip_norm = 0"],
            1,
            "LAMB (nvlamb), gradients clipped to a global norm of 1",
        ),
        (["OptimizerConfig.variant = 'nvlamb'"], 1, "note: NVIDIA's nvlamb adapts every variable"),
    ],
)
def test_lines_follow_the_settings(params, replicas, line):
    assert any(line in found for found in recipe(*params, replicas=replicas))


def test_adamw_adapts_nothing():
    assert not any("adapted" in line for line in recipe("OptimizerConfig.optimizer = 'adamw'"))


def test_passes_and_masks(small_build):
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


def test_a_pattern_that_matches_nothing():
    for setting in ("exclude_from_weight_decay", "exclude_from_layer_adaptation"):
        lists = {"exclude_from_weight_decay": (), "exclude_from_layer_adaptation": ()}
        config = OptimizerConfig(**{**lists, setting: ("bias", "LayerNrom")})
        with pytest.raises(
            UserError, match=f"{setting}: 'LayerNrom' matches none of the 4 trained"
        ):
            check_variables(config, TRAINED)
        check_variables(OptimizerConfig(**lists), TRAINED)


def test_names_need_no_weights():
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
    ("params", "replicas", "message"),
    [
        (
            ["TrainConfig.global_batch_size = 10"],
            4,
            "global_batch_size=10 is not a multiple of 4 replicas; try 8",
        ),
        (
            ["TrainConfig.eval_batch_size = 2", "TrainConfig.global_batch_size = 8"],
            4,
            "eval_batch_size=2 is not a multiple of 4 replicas; try 4",
        ),
        (
            ["TrainConfig.global_batch_size = 96", "TrainConfig.micro_batch_size = 10"],
            4,
            "micro_batch_size=10 does not divide the 24 sequences of a replica .*; try 8",
        ),
    ],
)
def test_batch_not_divisible(params, replicas, message):
    config = load_run_config([], [*RUN, *params], kind=RunConfig)
    with pytest.raises(UserError, match=message):
        check_settings(config.train, config.optimizer, replicas=replicas)


@pytest.mark.parametrize(
    "params",
    [
        ["OptimizerConfig.optimizer = 'adamw'", "OptimizerConfig.schedule = 'cosine'"],
        ["OptimizerConfig.variant = 'nvlamb'", "OptimizerConfig.schedule = 'constant'"],
        ["OptimizerConfig.exclude_from_layer_adaptation = ['.']"],
    ],
    ids=["adamw", "nvlamb", "nothing_adapted"],
)
def test_a_run_prints_its_recipe_and_goes_on(small_build, tmp_path, capsys, params):
    argv = arguments(small_build, tmp_path / "m", *params)
    run.main([*argv, "--mode", "train"])
    output = capsys.readouterr().out
    assert output.index("batch: 4 = 1 replica x 4 at once x 1 accumulated") < output.index(
        "step 2/4"
    )
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
    assert "going on from step 4" in capsys.readouterr().out


@pytest.mark.parametrize("split", ["train", "eval"])
def test_ids_out_of_range_stop_a_run_in_one_line(small_build, tmp_path, split):
    """An accelerator would take another embedding for them and say nothing."""
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


def test_a_slip_of_the_pen_stops_before_anything_is_written(small_build, tmp_path):
    argv = arguments(
        small_build, tmp_path / "m", "OptimizerConfig.exclude_from_weight_decay = ['biass']"
    )
    for mode in ([], ["--dry_run"]):
        with pytest.raises(UserError, match="exclude_from_weight_decay: 'biass' matches none of"):
            run.main([*argv, *mode])
    assert not (tmp_path / "m").exists()
