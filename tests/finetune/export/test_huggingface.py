"""Fine-tuned models in Hugging Face's format: files, and logits in transformers."""

import json

import numpy as np
import pytest
from safetensors import numpy as safetensors

from finetune.config import KINDS
from finetune.export.huggingface import write_finetuned
from finetune.model import OUTPUT, Finetuner
from model.config import EncoderConfig
from pretrain.convert.formats import read_bert
from tests.support.huggingface_peer import SENTENCES, needs_parity, our_features, transformers_on

CONFIG = EncoderConfig(
    vocab_size=1500,
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=32,
    max_position_embeddings=64,
    initializer_range=0.3,
)
LABELS = {
    "classification": ("no", "yes", "maybe"),
    "tokens": ("O", "B-PER"),
    "regression": (),
    "spans": (),
}
NUM_OUTPUTS = {"classification": 3, "tokens": 2, "regression": 1, "spans": 2}


def write(folder, kind, vocab) -> Finetuner:
    """Write a model with random weights and return it."""
    model = Finetuner(CONFIG, kind=kind, num_outputs=NUM_OUTPUTS[kind], seed=3)
    rng = np.random.default_rng(4)
    for variable in model.trainable_variables:
        variable.assign(variable + rng.normal(0, 0.1, variable.shape))
    values = {v.name.partition(":")[0]: v.numpy() for v in model.trainable_variables}
    write_finetuned(
        folder, values, CONFIG, kind=kind, labels=LABELS[kind], vocab=vocab, lower_case=True
    )
    return model


def test_classifier_has_labels_and_head(tmp_path, vocab):
    model = write(tmp_path / "h", "classification", vocab)
    config = json.loads((tmp_path / "h/config.json").read_text())
    assert config["architectures"] == ["BertForSequenceClassification"]
    assert config["id2label"] == {"0": "no", "1": "yes", "2": "maybe"}
    assert config["label2id"] == {"no": 0, "yes": 1, "maybe": 2}
    assert config["problem_type"] == "single_label_classification"
    tensors = safetensors.load_file(tmp_path / "h/model.safetensors")
    np.testing.assert_array_equal(tensors["classifier.weight"], model.output.kernel.numpy().T)
    np.testing.assert_array_equal(tensors["classifier.bias"], model.output.bias.numpy())
    assert "bert.pooler.dense.weight" in tensors
    # Its encoder is read back, bit for bit.
    imported = read_bert(str(tmp_path / "h"))
    assert imported.left_out == ("classifier.bias", "classifier.weight")
    for variable in model.trainable_variables:
        name = variable.name.partition(":")[0]
        if not name.startswith(OUTPUT):
            np.testing.assert_array_equal(imported.values[name], variable.numpy())


@pytest.mark.parametrize(
    ("kind", "architecture", "head", "problem"),
    [
        ("regression", "BertForSequenceClassification", "classifier", "regression"),
        ("tokens", "BertForTokenClassification", "classifier", None),
        ("spans", "BertForQuestionAnswering", "qa_outputs", None),
    ],
)
def test_other_kinds(tmp_path, vocab, kind, architecture, head, problem):
    write(tmp_path / "h", kind, vocab)
    config = json.loads((tmp_path / "h/config.json").read_text())
    assert (config["architectures"], config.get("problem_type")) == ([architecture], problem)
    tensors = safetensors.load_file(tmp_path / "h/model.safetensors")
    assert tensors[f"{head}.weight"].shape == (NUM_OUTPUTS[kind], 16)
    assert ("bert.pooler.dense.weight" in tensors) == (kind == "regression")


@pytest.mark.parity
@needs_parity
@pytest.mark.parametrize("kind", KINDS)
def test_logits_equal_those_of_transformers(tmp_path, vocab, kind):
    model = write(tmp_path / "h", kind, vocab)
    theirs = transformers_on(tmp_path / "h", SENTENCES, tmp_path)
    features = our_features(theirs)
    del features["masked_lm_positions"]
    ours = model.logits(features).numpy()
    is_text = np.s_[:] if model.pooler is not None else theirs["attention_mask"] > 0
    assert np.std(ours[is_text]) > 0.1
    np.testing.assert_allclose(ours[is_text], theirs["output"][is_text], rtol=0, atol=1e-4)
