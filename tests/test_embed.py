"""Lines of text to vectors, with an export."""

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


@pytest.fixture(scope="module")
def embedder(published):
    return embed.Embedder(str(published.export_dir))


def vectors(published, tmp_path, *flags) -> np.ndarray:
    (tmp_path / "lines.txt").write_text("\n".join(LINES) + "\n")
    argv = ["--model_dir", published.export_dir, "--input", tmp_path / "lines.txt"]
    embed.main([*map(str, argv), "--output", str(tmp_path / "f.npy"), *flags])
    return np.load(tmp_path / "f.npy")


def test_each_line_has_its_row(published, embedder, tmp_path, capsys):
    """Whatever else is in the batch, and computed here anew from the encoder's outputs."""
    found = vectors(published, tmp_path, "--batch_size", "4")
    assert (found.shape, found.dtype) == ((6, 16), np.float32)
    output = capsys.readouterr().out
    assert "6 lines in " in output
    assert "2 empty (the vector of [CLS] [SEP] alone), 1 cut to 64 tokens" in output
    encoder = tf.saved_model.load(str(published.export_dir / "encoder"))
    preprocessor = tf.saved_model.load(str(published.export_dir / "preprocessor"))
    for line, vector in zip(LINES, found, strict=True):
        features = preprocessor(tf.constant([line]))
        hidden = encoder(features)["sequence_output"].numpy()[0]
        used = features["input_mask"].numpy()[0] > 0
        np.testing.assert_allclose(vector, hidden[used].mean(0), rtol=0, atol=1e-5)
    np.testing.assert_allclose(found[1], found[4], rtol=0, atol=1e-6)
    assert np.abs(found[0] - found[3]).max() > 0.03
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_the_output_at_cls(published, tmp_path):
    found = vectors(published, tmp_path, "--pooling", "cls")
    encoder = tf.saved_model.load(str(published.export_dir / "encoder"))
    preprocessor = tf.saved_model.load(str(published.export_dir / "preprocessor"))
    hidden = encoder(preprocessor(tf.constant(LINES)))["sequence_output"]
    np.testing.assert_allclose(found, hidden[:, 0], rtol=0, atol=1e-5)


def test_lines_end_at_line_feeds_only(embedder, tmp_path):
    (tmp_path / "lines.txt").write_text("one\u2028still one\x0bline\nlast", encoding="utf-8")
    line = embed.embed_file(
        embedder, str(tmp_path / "lines.txt"), str(tmp_path / "f.npy"), batch_size=2
    )
    assert line.startswith("embed: 2 lines")
    assert np.load(tmp_path / "f.npy").shape == (2, 16)


def test_errors(published, embedder, tmp_path):
    def fails(message, *argv):
        with pytest.raises(UserError, match=message):
            embed.main([f"--model_dir={published.export_dir}", *argv])

    out = f"--output={tmp_path}/f.npy"
    (tmp_path / "empty.txt").touch()
    (tmp_path / "latin.txt").write_bytes(b"\xfc\n")
    fails("empty.txt has no lines", f"--input={tmp_path}/empty.txt", out)
    fails("latin.txt is not UTF-8", f"--input={tmp_path}/latin.txt", out)
    fails("--batch_size 0: must be", f"--input={tmp_path}/empty.txt", out, "--batch_size=0")
    fails(r"empty\.txt exists", "--input=x", f"--output={tmp_path}/empty.txt")
    with pytest.raises(UserError, match=r"is not an export: encoder/saved_model\.pb is missing"):
        embed.Embedder(str(tmp_path))
    assert not (tmp_path / "f.npy").exists()
