"""Checks of training settings, and the lines that describe them."""

import pytest

from data.errors import UserError
from optim.config import OptimizerConfig
from pretrain.config import RunConfig
from pretrain.gin_files import load_run_config
from pretrain.train.recipe import check_settings, check_variables, recipe_lines

TRAINED = ["embeddings:0", "dense/kernel:0", "dense/bias:0", "layer_norm/gamma:0"]


def recipe(*params, replicas=1) -> list[str]:
    config = load_run_config(["gin/lambert_large.gin"], params, kind=RunConfig)
    return recipe_lines(config.train, config.optimizer, trained=TRAINED, replicas=replicas)


def test_lines_of_the_published_recipe():
    assert recipe(replicas=8) == [
        "200,000 updates of 8,192 sequences: 1,638,400,000 sequences",
        "batch: 8,192 = 8 replicas x micro-batch of 8 x 128 accumulation steps",
        "mixed_bfloat16; activations of blocks kept; logits in one chunk",
        "learning rate 0.0025 reached at update 10,000, from 2.5e-07 at the first to 1.32e-08 at the"
        " last (polynomial)",
        "LAMB (tf_models), gradients clipped to a global norm of 1",
        "trained: 4 variables (embeddings)",
        "decayed by 0.01: 2 variables (embeddings); not: 2 variables (dense/bias)",
        "adapted: 2 variables (embeddings); not: 2 variables (dense/bias)",
    ]


@pytest.mark.parametrize(
    ("params", "replicas", "line"),
    [
        (
            ["TrainConfig.micro_batch_size = 0"],
            4,
            "8,192 = 4 replicas x micro-batch of 2,048 x 1 acc",
        ),
        (
            ["TrainConfig.micro_batch_size = 9999"],
            1,
            "8,192 = 1 replica x micro-batch of 8,192 x 1 acc",
        ),
        (
            ["TrainConfig.rematerialize_blocks = True"],
            1,
            "; activations of blocks recomputed in the back",
        ),
        (["TrainConfig.logits_chunk_size = 2000"], 1, "; logits in chunks of 2,000 predictions"),
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


def test_pattern_without_a_match_is_an_error():
    for setting in ("exclude_from_weight_decay", "exclude_from_layer_adaptation"):
        lists = {"exclude_from_weight_decay": (), "exclude_from_layer_adaptation": ()}
        config = OptimizerConfig(**{**lists, setting: ("bias", "LayerNrom")})
        with pytest.raises(
            UserError, match=f"{setting}: 'LayerNrom' matches none of the 4 trained"
        ):
            check_variables(config, TRAINED)
        check_variables(OptimizerConfig(**lists), TRAINED)


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
def test_batch_that_does_not_divide_is_an_error(params, replicas, message):
    params = ["TrainConfig.eval_batch_size = 16", "OptimizerConfig.warmup_steps = 2", *params]
    config = load_run_config([], params, kind=RunConfig)
    with pytest.raises(UserError, match=message):
        check_settings(config.train, config.optimizer, replicas=replicas)
