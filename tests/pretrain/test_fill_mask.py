"""From a model directory to an export and filled-in blanks."""

import shutil
from pathlib import Path

import pytest
import tensorflow as tf

from data.errors import UserError
from data.vocab import Vocab
from model.mlm import Pretrainer
from model.weights import build_tf_models, to_tf_models
from pretrain import fill_mask, run
from pretrain.convert.common import read_record
from pretrain.export import __main__ as export
from tests.support.pretraining import arguments


@pytest.fixture(scope="module")
def model_dir(small_build, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("run") / "model"
    run.main(arguments(small_build, path))
    return path


@pytest.fixture(scope="module")
def export_dir(model_dir, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("export") / "export"
    export.main(["--model_dir", str(model_dir), "--output_dir", str(path)])
    return path


def test_export_is_complete(export_dir):
    assert {path.name for path in export_dir.iterdir()} == {
        "encoder",
        "preprocessor",
        "README.md",
        "SHA256SUMS",
        "export.json",
    }
    card = (export_dir / "README.md").read_text()
    assert "6 of 6 steps of 4 sequences" in card
    assert "On held-out text, after 6 steps: MLM loss" in card


def test_existing_export_is_kept_and_other_content_refused(export_dir, model_dir, tmp_path, capsys):
    export.main(["--model_dir", str(model_dir), "--output_dir", str(export_dir)])
    assert "holds step 6" in capsys.readouterr().out
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is not empty"):
        export.main(["--model_dir", str(model_dir), "--output_dir", str(tmp_path)])
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_nothing_to_export(tmp_path):
    with pytest.raises(UserError, match="is not a model directory"):
        export.main(["--model_dir", str(tmp_path), "--output_dir", str(tmp_path / "e")])


def test_text_that_is_not_utf8_is_refused(export_dir):
    with pytest.raises(UserError, match=r"^'caf\\udce9 \[MASK\]' is not UTF-8 text$"):
        fill_mask.main(
            ["--model_dir", str(export_dir), "caf\udce9 [MASK]"]
        )  # as sys.argv has b"\xe9"


def test_fill_mask(export_dir, capsys):
    text = "the [MASK] and the [MASK] of england."
    fill_mask.main(["--export", str(export_dir), "--top_k", "3", text])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == text
    assert [line for line in lines if "[MASK] " in line][1:] == ["  [MASK] 1", "  [MASK] 2"]
    fillings = fill_mask.MaskFiller(str(export_dir)).fill(text, top_k=1500)
    assert len(fillings) == 2
    for candidates in fillings:
        assert sum(filling.probability for filling in candidates) == pytest.approx(1, abs=1e-4)
        probabilities = [filling.probability for filling in candidates]
        assert probabilities == sorted(probabilities, reverse=True)


def test_untrained_encoder_answers_beside_the_trained_one(export_dir, capsys):
    """Its weights are the initial ones of seed 0, and the probabilities those of our own model."""
    text = "the [MASK] of the."
    fill_mask.main(["--model_dir", str(export_dir), "--top_k", "2", "--untrained", text])
    first, second = capsys.readouterr().out.splitlines()[1:3]
    trained, untrained = first.split("untrained:")
    fill_mask.main(["--model_dir", str(export_dir), "--top_k", "2", text])
    assert trained.strip() == capsys.readouterr().out.splitlines()[1].strip()
    assert "untrained" not in second
    filler = fill_mask.MaskFiller(str(export_dir), untrained=True)
    ((best, _),) = filler.fill(text, top_k=2)
    assert untrained.split()[:2] == [best.piece, f"{best.probability:.1%}"]

    config, _ = read_record(export_dir / "export.json")
    vocab = Vocab.load(export_dir / "encoder/assets/vocab.txt")
    pieces = ["[CLS]", "the", "[MASK]", "of", "the", ".", "[SEP]"]
    ids = tf.constant([[vocab.ids[piece] for piece in pieces]])
    features = {
        "input_word_ids": ids,
        "input_mask": tf.ones_like(ids),
        "input_type_ids": tf.zeros_like(ids),
        "masked_lm_positions": tf.constant([[2]]),
    }
    model = build_tf_models(config, seed=1)
    to_tf_models(Pretrainer(config, seed=0), model)
    expected = tf.nn.softmax(model(features)["mlm_logits"][0, 0]).numpy()
    assert best.piece == vocab.pieces[expected.argmax()]
    assert best.probability == pytest.approx(expected.max(), rel=1e-4)


def test_encoder_without_mlm_head_is_an_error(export_dir, tmp_path):
    shutil.copytree(export_dir / "preprocessor", tmp_path / "preprocessor")
    name = "encoder/position_embedding/embeddings"
    for variables, message in (
        (
            [tf.Variable(tf.zeros([64, 16]), name=name)],
            r"/encoder has no \.mlm: it cannot fill",
        ),
        (
            [tf.Variable(0.0, name="step")],
            f"/encoder has no {name}: it was not exported by Lambert",
        ),
    ):
        tf.saved_model.save(tf.train.Checkpoint(variables=variables), str(tmp_path / "encoder"))
        with pytest.raises(UserError, match=message):
            fill_mask.MaskFiller(str(tmp_path))


def test_unusable_text_and_flags_are_errors(export_dir, tmp_path):
    with pytest.raises(UserError, match=r"encoder/saved_model\.pb is missing"):
        fill_mask.MaskFiller(str(tmp_path))
    filler = fill_mask.MaskFiller(str(export_dir))
    with pytest.raises(UserError, match=r"there is no \[MASK\] \(in capitals\) in 'no blank'"):
        filler.fill("no blank", top_k=5)
    with pytest.raises(UserError, match="--top_k 1501: must be between 1 and 1500"):
        filler.fill("a [MASK]", top_k=1501)
    with pytest.raises(UserError, match="the text is too long for the encoder: "):
        filler.fill("many words " * 50 + "[MASK]", top_k=5)


@pytest.mark.slow
def test_padded_embeddings_are_never_filled_in(small_build, tmp_path):
    params = ("EncoderConfig.vocab_size = 1536", "TrainConfig.train_steps = 3")
    run.main(arguments(small_build, tmp_path / "m", *params))
    export.main(["--model_dir", f"{tmp_path}/m", "--output_dir", f"{tmp_path}/e"])
    (fillings,) = fill_mask.MaskFiller(f"{tmp_path}/e").fill("a [MASK]", top_k=1500)
    assert len({filling.piece for filling in fillings}) == 1500
