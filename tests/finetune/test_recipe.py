"""Settings derived from the task's data, and weights taken from the encoder."""

import pytest

from data.errors import UserError
from finetune.config import FinetuneRunConfig
from finetune.pretrained import read_pretrained
from finetune.recipe import resolve, starting_weights
from pretrain.gin_files import load_run_config


def test_weights_that_a_run_starts_from(small_encoder):
    names = list(read_pretrained(str(small_encoder)).values)

    def not_taken(*params) -> set[str]:
        params = ["TaskConfig.task = 'cola'", "EncoderConfig.num_hidden_layers = 1", *params]
        config = load_run_config([], params, kind=FinetuneRunConfig)
        return set(names) - set(starting_weights(config, names))

    pooler = {"encoder/pooler_transform/kernel", "encoder/pooler_transform/bias"}
    assert not_taken() == set()
    assert not_taken("FinetuneConfig.pooler = 'fresh'") == pooler
    assert not_taken("FinetuneConfig.initialize = 'random'") == set(names)
    blocks = {name for name in names if name.startswith("encoder/transformer/layer_0/")}
    assert not_taken("FinetuneConfig.reinitialize_top_blocks = 1") == blocks | pooler


def test_pairs_need_two_segment_types():
    params = ["EncoderConfig.type_vocab_size = 1"]
    config = load_run_config(["gin/finetune_mnli.gin"], params, kind=FinetuneRunConfig)
    resolve(config, num_examples=100)
    with pytest.raises(UserError, match=r"pairs of texts, .*EncoderConfig\.type_vocab_size=1"):
        resolve(config, num_examples=100, has_pairs=True)


def test_steps_are_derived_from_epochs():
    config = load_run_config(["gin/finetune_mnli.gin"], [], kind=FinetuneRunConfig)
    resolved = resolve(config, num_examples=392_702)
    assert resolved.train.train_steps == 36_815  # 3 * 392,702 / 32
    assert resolved.train.eval_interval == 12_272
    assert resolved.optimizer.warmup_steps == 3_681
