"""Directories of sentence-transformers."""

import json
import shutil

import pytest

from data.errors import UserError
from pretrain.embed.source import EmbeddingSettings, read_source

TRANSFORMER = {"path": "", "type": "sentence_transformers.models.Transformer"}
POOLING = {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}
NORMALIZE = {"path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}
DENSE = {"path": "2_Dense", "type": "sentence_transformers.models.Dense"}


@pytest.fixture
def directory(small_encoder, tmp_path):
    """Function that writes the settings next to an encoder in Hugging Face's format."""

    def write(modules, pooling=None, transformer=None):
        path = shutil.copytree(small_encoder, tmp_path / "st", dirs_exist_ok=True)
        (path / "modules.json").write_text(json.dumps(modules))
        (path / "1_Pooling").mkdir(exist_ok=True)
        (path / "1_Pooling/config.json").write_text(json.dumps(pooling or {}))
        if transformer is not None:
            (path / "sentence_bert_config.json").write_text(json.dumps(transformer))
        return str(path)

    return write


def test_settings_in_the_form_of_several_versions(directory, small_encoder):
    switches = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    path = directory([TRANSFORMER, POOLING, NORMALIZE], switches, {"max_seq_length": 32})
    imported, settings = read_source(path)
    assert settings == EmbeddingSettings(pooling="cls", normalize=True, max_length=32)
    assert imported.origin["sha256"] == read_source(str(small_encoder))[0].origin["sha256"]
    newer = [
        {"path": "", "type": "sentence_transformers.base.modules.transformer.Transformer"},
        POOLING,
    ]
    path = directory(newer, {"pooling_mode": "mean", "embedding_dimension": 16}, {})
    assert read_source(path)[1] == EmbeddingSettings()


@pytest.mark.parametrize(
    ("modules", "pooling", "transformer", "message"),
    [
        (
            [TRANSFORMER, POOLING, DENSE],
            {},
            {},
            "the steps are 'Transformer, Pooling, Dense'; known",
        ),
        ({"a": 1}, {}, {}, "modules.json is not a list of modules"),
        ([{"type": 1, "path": ""}], {}, {}, "modules.json is not a list of modules"),
        ([TRANSFORMER, {**POOLING, "path": "../p"}], {}, {}, r"'\.\./p' is not a folder in"),
        (
            [TRANSFORMER, POOLING],
            {"pooling_mode": "max"},
            {},
            'the pooling is "max"; known are mean',
        ),
        (
            [TRANSFORMER, POOLING],
            {"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True},
            {},
            r'the pooling is \["mean", "pooling_mode_max_tokens"\]; known',
        ),
        ([TRANSFORMER, POOLING], {"include_prompt": False}, {}, "include_prompt is false"),
        (
            [TRANSFORMER, POOLING],
            {},
            {"max_seq_length": "9"},
            "max_seq_length is '9', not a length",
        ),
    ],
)
def test_what_this_program_does_not_compute_is_an_error(
    directory, modules, pooling, transformer, message
):
    with pytest.raises(UserError, match=message):
        read_source(directory(modules, pooling, transformer))


def test_a_folder_without_an_encoder_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"^--export .*: no BERT found"):
        read_source(str(tmp_path))
