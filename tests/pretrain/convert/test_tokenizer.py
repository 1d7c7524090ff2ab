"""Settings of Hugging Face's tokenizers: taken over, or an error that names them."""

import json

import pytest

from data.errors import UserError
from data.vocab import Vocab
from pretrain.convert.tokenizer import check_added_tokens, read_lower_case

NORMALIZER = {"type": "BertNormalizer", "lowercase": True, "strip_accents": None}


def write(path, name, content):
    (path / name).write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("config", "normalizer", "expected"),
    [
        (None, None, None),
        ({}, None, None),
        ({"do_lower_case": False}, None, False),
        ({"do_lower_case": True, "strip_accents": True}, None, True),
        ({"do_lower_case": False, "strip_accents": False}, None, False),
        (None, NORMALIZER | {"lowercase": False}, False),
        ({"do_lower_case": True}, NORMALIZER | {"strip_accents": True}, True),
    ],
)
def test_lower_case_is_taken_over(tmp_path, config, normalizer, expected):
    if config is not None:
        write(tmp_path, "tokenizer_config.json", config)
    if normalizer is not None:
        write(tmp_path, "tokenizer.json", {"normalizer": normalizer})
    assert read_lower_case(tmp_path) is expected


@pytest.mark.parametrize(
    ("config", "normalizer", "message"),
    [
        (
            {"do_lower_case": True, "strip_accents": False},
            NORMALIZER,
            r"tokenizer_config\.json: strip_accents is false and do_lower_case is true; this",
        ),
        ({"strip_accents": False}, NORMALIZER, "strip_accents is false and do_lower_case is true"),
        (
            {},
            NORMALIZER | {"lowercase": False, "strip_accents": True},
            r"tokenizer\.json: strip_accents is true and lowercase is false",
        ),
        (
            {"do_lower_case": True},
            NORMALIZER | {"lowercase": False},
            r"do_lower_case is true in tokenizer_config\.json and lowercase is false in tokenizer\.json",
        ),
        ({}, {"type": "Sequence", "normalizers": []}, "its normalizer is 'Sequence'; this"),
        ({}, None, "its normalizer is None"),
        ({"tokenize_chinese_chars": False}, NORMALIZER, "tokenize_chinese_chars is false"),
        ({}, NORMALIZER | {"handle_chinese_chars": False}, "handle_chinese_chars is false"),
        ({}, NORMALIZER | {"lowercase": "no"}, "lowercase is 'no', neither true nor false"),
    ],
)
def test_what_our_tokenizer_does_not_do_is_an_error(tmp_path, config, normalizer, message):
    write(tmp_path, "tokenizer_config.json", config)
    write(tmp_path, "tokenizer.json", {"normalizer": normalizer})
    with pytest.raises(UserError, match=message):
        read_lower_case(tmp_path)


def test_added_tokens_must_be_in_the_vocabulary(tmp_path):
    vocab = Vocab(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "covid"))
    check_added_tokens(tmp_path, vocab)
    special = [{"id": i, "content": piece} for i, piece in enumerate(vocab.pieces)]
    write(tmp_path, "tokenizer.json", {"added_tokens": special})
    check_added_tokens(tmp_path, vocab)
    write(tmp_path, "added_tokens.json", {"covid": 5, "sars": 6})
    with pytest.raises(
        UserError, match=r"its tokenizer adds 'sars', which vocab\.txt lacks; append"
    ):
        check_added_tokens(tmp_path, vocab)
    check_added_tokens(tmp_path, Vocab((*vocab.pieces, "sars")))
