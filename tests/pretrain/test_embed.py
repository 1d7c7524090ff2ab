"""Embedding lines of text with an export."""

import numpy as np
import pytest
import tensorflow as tf

from data.errors import UserError
from pretrain import embed

LINES = [
    "The Phoenix and the bird of the tree.",
    "",
    "Loudest lay, " * 60,  # more than 64 tokens
    "a",
    "  ",
    "Let the bird of loudest lay, on the sole Arabian tree, herald sad and trumpet be.",
]


def test_row_of_each_line_is_the_mean_of_its_tokens(published, loaded_export, tmp_path, capsys):
    """Independent of the other lines of the batch."""
    (tmp_path / "lines.txt").write_text("\n".join(LINES) + "\n")
    argv = [f"--model_dir={published.export_dir}", f"--input={tmp_path}/lines.txt"]
    embed.main([*argv, f"--output={tmp_path}/f.npy", "--batch_size=4"])
    actual = np.load(tmp_path / "f.npy")
    assert (actual.shape, actual.dtype) == ((6, 16), np.float32)
    output = capsys.readouterr().out
    assert "6 lines in " in output
    assert "2 empty (the vector of [CLS] [SEP]), 1 truncated to 64 tokens" in output
    for line, vector in zip(LINES, actual, strict=True):
        features = loaded_export.preprocessor(tf.constant([line]))
        hidden = loaded_export.encoder(features)["sequence_output"].numpy()[0]
        is_token = features["input_mask"].numpy()[0] > 0
        np.testing.assert_allclose(vector, hidden[is_token].mean(0), rtol=0, atol=1e-5)
    np.testing.assert_allclose(actual[1], actual[4], rtol=0, atol=1e-6)
    assert np.abs(actual[0] - actual[3]).max() > 0.03
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_cls_pooling(loaded_export):
    actual, truncated = embed.Embedder(loaded_export, pooling="cls").embed(LINES)
    hidden = loaded_export.encoder(loaded_export.preprocessor(tf.constant(LINES)))[
        "sequence_output"
    ]
    np.testing.assert_allclose(actual, hidden[:, 0], rtol=0, atol=1e-5)
    assert truncated == 1


def test_only_line_feeds_separate_lines(tmp_path):
    (tmp_path / "lines.txt").write_text(
        "\ufeffone\u2028still one\x0bline\n\nlast", encoding="utf-8"
    )
    assert embed.read_lines(str(tmp_path / "lines.txt")) == [
        "one\u2028still one\x0bline",
        "",
        "last",
    ]


def test_lone_carriage_return_is_a_line_end_only_without_others(tmp_path):
    path = tmp_path / "lines.txt"
    path.write_bytes(b"one\rline\r\ntwo\n")
    assert embed.read_lines(str(path)) == ["one line", "two"]
    path.write_bytes(b"one\rtwo\r")
    assert embed.read_lines(str(path)) == ["one", "two"]


def test_unusable_input_and_flags_are_errors(tmp_path):
    def fails(message, *argv):
        with pytest.raises(UserError, match=message):
            embed.main([f"--model_dir={tmp_path}", *argv])

    out = f"--output={tmp_path}/f.npy"
    (tmp_path / "empty.txt").touch()
    (tmp_path / "latin.txt").write_bytes(b"\xfc\n")
    (tmp_path / "fine.txt").write_text("text")
    fails("empty.txt has no lines", f"--input={tmp_path}/empty.txt", out)
    fails("latin.txt is not UTF-8", f"--input={tmp_path}/latin.txt", out)
    fails("--batch_size 0: must be", f"--input={tmp_path}/fine.txt", out, "--batch_size=0")
    fails(r"empty\.txt exists", "--input=x", f"--output={tmp_path}/empty.txt")
    missing = r"is not an export: encoder/saved_model\.pb is missing"
    fails(missing, f"--input={tmp_path}/fine.txt", out)
    assert not (tmp_path / "f.npy").exists()
