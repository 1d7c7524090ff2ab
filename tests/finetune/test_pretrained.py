"""Encoders that fine-tuning starts from."""

import shutil

import numpy as np
import pytest

from data.errors import UserError
from data.vocab import Vocab
from finetune.pretrained import read_pretrained
from model.names import weights


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
