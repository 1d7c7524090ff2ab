"""Encoders that fine-tuning starts from."""

import shutil

import numpy as np
import pytest
import tensorflow as tf

from data.errors import UserError
from data.vocab import Vocab
from finetune.pretrained import load_encoder, read_pretrained
from model.names import weights
from tests.support.jobs import upload


def test_encoder_without_its_vocabulary_needs_vocab_file(small_encoder, tmp_path, vocab):
    copy = shutil.copytree(small_encoder, tmp_path / "hf")
    (copy / "vocab.txt").unlink()
    with pytest.raises(UserError, match=r"has no vocab\.txt; .* --vocab_file"):
        read_pretrained(str(copy))
    other = tmp_path / "other.txt"
    other.write_text(Vocab(vocab.pieces[:1000]).text)
    with pytest.raises(UserError, match="embedding table has 1500 rows, the vocabulary 1000"):
        read_pretrained(str(copy), vocab_file=str(other))
    assert read_pretrained(str(copy), vocab_file=str(small_encoder / "vocab.txt")).vocab == vocab


def test_model_directory_of_several_seeds_is_not_an_encoder(finetuned):
    with pytest.raises(
        UserError, match=r"--encoder .* of several seeds; choose one of them, .*/seed-N"
    ):
        read_pretrained(str(finetuned.model_dir))


def test_model_directory_of_a_seed_is_an_encoder(finetuned, small_encoder, vocab):
    """For example to train RTE after MNLI; the head is not read."""
    before = read_pretrained(str(small_encoder))
    after = read_pretrained(str(finetuned.model_dir / "seed-12345"))
    assert after.vocab == vocab
    assert after.encoder == before.encoder
    encoder = {weight.name for weight in weights(before.encoder, "encoder")}
    assert after.values.keys() == encoder
    assert before.values.keys() > encoder  # with its pooler
    assert before.sha256 != after.sha256
    table = "encoder/word_embeddings/embeddings"
    assert 0 < np.abs(after.values[table] - before.values[table]).max() < 0.5


def test_loaded_encoder_has_the_outputs_of_the_reference(small_encoder):
    """An encoder in Hugging Face's format, compared with tf-models' with the same weights."""
    from model.weights import assign, build_tf_models

    encode = load_encoder(str(small_encoder))
    texts = ["The age to come would say this poet lies.", "Time.", ""]
    hidden_NSH, mask_NS = encode(texts)
    lengths = mask_NS.numpy().sum(axis=1)
    assert lengths[2] == 2 and lengths[0] == hidden_NSH.shape[1] > lengths[1]
    reference = build_tf_models(encode.config, seed=0).encoder_network
    values = read_pretrained(str(small_encoder)).values
    names = [weight.name for weight in weights(encode.config, "encoder")]
    assign(reference, {name: values[name] for name in names})
    for row, text in enumerate(texts):
        alone = encode.features([text])
        expected = reference(alone)["sequence_output"][0]
        np.testing.assert_allclose(hidden_NSH[row, : lengths[row]], expected, atol=2e-5)
    assert encode(texts, max_length=5)[0].shape[1] == 5


def test_loaded_encoder_of_a_run_is_trainable(finetuned):
    encode = load_encoder(str(finetuned.model_dir / "seed-12345"))
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(encode(["Time will come."])[0] ** 2)
    gradients = tape.gradient(loss, encode.encoder.trainable_variables)
    assert all(g is not None for g in gradients)
    assert encode.description.startswith("step ")


def test_encoder_in_a_bucket(small_encoder, tmp_path):
    upload(small_encoder, f"ram://{tmp_path.name}/hf")
    local, remote = (
        read_pretrained(str(small_encoder)),
        read_pretrained(f"ram://{tmp_path.name}/hf"),
    )
    assert remote.sha256 == local.sha256
    assert remote.description == f"Hugging Face ram://{tmp_path.name}/hf"
