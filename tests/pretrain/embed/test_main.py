"""The command: lines of text to vectors, a SavedModel, a directory of sentence-transformers."""

import json

import numpy as np
import pytest
import tensorflow as tf

from data import files
from data.errors import UserError
from pretrain.embed import __main__ as embed
from tests.support.jobs import upload

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
    argv = [f"--export={published.export_dir}", f"--input={tmp_path}/lines.txt"]
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


def test_formats_of_one_encoder_give_the_same_vectors(published, tmp_path, capsys):
    """Export, Hugging Face's format, and the directories that this command writes from it."""
    (tmp_path / "lines.txt").write_text("\n".join(LINES) + "\n")
    flags = ["--pooling=cls", "--normalize", "--max_length=9"]

    def vectors(source, *flags):
        output = tmp_path / f"{source.name}{len(flags)}.npy"
        argv = [f"--export={source}", f"--input={tmp_path}/lines.txt", f"--output={output}"]
        embed.main([*argv, *flags])
        return np.load(output)

    expected = vectors(published.export_dir, *flags)
    assert "3 truncated to 9 tokens" in capsys.readouterr().out
    np.testing.assert_allclose(np.linalg.norm(expected, axis=1), 1, rtol=0, atol=1e-6)
    assert expected.std() > 0.1
    np.testing.assert_array_equal(vectors(published.hf_dir / "encoder", *flags), expected)
    targets = [f"--saved_model_dir={tmp_path}/s", f"--sentence_transformers_dir={tmp_path}/t"]
    embed.main([f"--export={published.hf_dir}", *flags, *targets])
    # Its settings are the defaults, and flags replace them.
    np.testing.assert_array_equal(vectors(tmp_path / "t"), expected)
    raw = vectors(tmp_path / "t", "--no-normalize")
    assert np.ptp(np.linalg.norm(raw, axis=1)) > 0.01
    serve = tf.saved_model.load(str(tmp_path / "s")).signatures["serving_default"]
    (found,) = serve(text=tf.constant(LINES)).values()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    assert str(tmp_path).encode() not in (tmp_path / "s/saved_model.pb").read_bytes()
    for folder in ("s", "t"):
        assert json.loads((tmp_path / folder / "export.json").read_text())["embedding"] == {
            "pooling": "cls",
            "normalize": True,
            "max_length": 9,
        }


def test_files_in_a_bucket(published, tmp_path):
    remote = f"ram://{tmp_path.name}"
    upload(published.hf_dir, f"{remote}/hf")
    files.write_atomically(f"{remote}/lines.txt", "\n".join(LINES).encode())
    embed.main(
        [
            *(f"--export={remote}/hf", f"--input={remote}/lines.txt", f"--output={remote}/f.npy"),
            f"--sentence_transformers_dir={remote}/st",
        ]
    )
    embed.main(
        [f"--export={remote}/st", f"--input={remote}/lines.txt", f"--output={tmp_path}/g.npy"]
    )
    assert files.read_bytes(f"{remote}/f.npy") == (tmp_path / "g.npy").read_bytes()


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
            embed.main([f"--export={tmp_path}", *argv])

    out = f"--output={tmp_path}/f.npy"
    (tmp_path / "empty.txt").touch()
    (tmp_path / "latin.txt").write_bytes(b"\xfc\n")
    (tmp_path / "fine.txt").write_text("text")
    fails("empty.txt has no lines", f"--input={tmp_path}/empty.txt", out)
    fails("latin.txt is not UTF-8", f"--input={tmp_path}/latin.txt", out)
    fails("--batch_size 0: must be", f"--input={tmp_path}/fine.txt", out, "--batch_size=0")
    fails(r"empty\.txt exists", "--input=x", f"--output={tmp_path}/empty.txt")
    fails(r"--export .*: no BERT found: neither config\.json", f"--input={tmp_path}/fine.txt", out)
    fails("--input needs --output", "--input=x")
    fails("there is nothing to do: give --input and --output, or --saved_model_dir or")
    fails(r"--saved_model_dir .* is not empty; choose", f"--saved_model_dir={tmp_path}")
    assert not (tmp_path / "f.npy").exists()
