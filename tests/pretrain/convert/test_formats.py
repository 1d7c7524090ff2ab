"""Importing exports of Lambert and models in Hugging Face's format, bit for bit."""

import shutil

import pytest
import tensorflow as tf
from safetensors import tensorflow as safetensors

from pretrain.convert.formats import read_bert
from tests.support.published import assert_same_weights, random_values


@pytest.fixture(scope="module")
def values(published):
    """The weights of the checkpoint, which has no pooler."""
    return random_values(published.config, "encoder", "head")


def test_saved_model_export_is_read_back(published, imported_export, values):
    imported = imported_export
    found = {name: value for name, value in imported.values.items() if "pooler" not in name}
    assert_same_weights(found, values)
    assert imported.encoder == published.config.encoder
    assert (imported.kind, imported.lower_case, len(imported.vocab)) == ("export", True, 1500)
    assert imported.parts == ["encoder", "head", "pooler"]


def test_huggingface_export_is_read_back(published, values):
    imported = read_bert(str(published.hf_dir))
    assert_same_weights(imported.values, values)
    assert imported.encoder == published.config.encoder
    assert (imported.kind, imported.lower_case, imported.left_out) == ("Hugging Face", True, ())
    assert read_bert(str(published.hf_dir / "encoder")).parts == ["encoder", "pooler"]


@pytest.mark.parametrize("prefix", ["module.", "model.", "_orig_mod.module."])
def test_prefixes_of_wrappers_are_ignored(published, values, tmp_path, prefix):
    path = shutil.copytree(published.hf_dir, tmp_path / "hf")
    tensors = safetensors.load_file(path / "model.safetensors")
    safetensors.save_file(
        {prefix + name: value for name, value in tensors.items()}, path / "model.safetensors"
    )
    imported = read_bert(str(path))
    assert_same_weights(imported.values, values)
    assert imported.left_out == ()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_widened(published, values, tmp_path, dtype):
    source = shutil.copytree(published.hf_dir, tmp_path / "hf")
    tensors = safetensors.load_file(source / "model.safetensors")
    tensors = {name: tf.cast(tensor, dtype) for name, tensor in tensors.items()}
    safetensors.save_file(tensors, source / "model.safetensors")
    expected = {
        name: tf.cast(tf.cast(value, dtype), tf.float32).numpy() for name, value in values.items()
    }
    assert_same_weights(read_bert(str(source)).values, expected)
