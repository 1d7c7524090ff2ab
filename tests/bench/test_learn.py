"""Benchmark of learning, at a small size and without targets for accuracy."""

import json
import re

import pytest

from bench.learn import __main__ as main

SIZES = {"hidden": 8, "layers": 1, "batch": 4, "steps": 3, "warmup": 1, "evaluate_every": 2}


@pytest.mark.slow
def test_rows_picture_and_table(small_build, small_encoder, tmp_path, capsys):
    results = tmp_path / "learn.json"
    flags = ["--seeds", "1", "--data_dir", small_build, "--results", results, "--work", tmp_path]
    flags += ["--weights", small_encoder, "--settings", json.dumps(SIZES)]
    flags += ["--picture", tmp_path / "learn.svg"]
    main.main([*map(str, flags), "--halves", "fresh"])
    main.main([*map(str, flags), "--halves", "continued"])
    rows = json.loads(results.read_text())
    assert [(row["half"], row["implementation"]) for row in rows] == [
        ("fresh", "lambert"),
        ("fresh", "tf-models"),
        ("continued", "lambert"),
        ("continued", "tf-models"),
    ]
    for row in rows:
        assert [point["step"] for point in row["curve"]] == [2, 3]
        # Three small updates: near the logarithm of 1,500 pieces, 7.31.
        assert 7.0 < row["held_out_loss"] < 7.45
        assert {"stage", "setting", "what", "command", "versions", "machine", "date"} <= row.keys()
    predictions = [[point["predictions"] for point in row["curve"]] for row in rows]
    assert predictions == [predictions[0]] * 4
    # Both implementations of a half start from the same weights.
    for lambert, tf_models in (rows[:2], rows[2:]):
        assert lambert["held_out_loss"] == pytest.approx(tf_models["held_out_loss"], abs=0.01)
    picture = (tmp_path / "learn.svg").read_text()
    assert "fresh weights" in picture and "continued from a published encoder" in picture
    printed = capsys.readouterr().out
    assert "64 tokens, 10 predictions, 3 masked copies" in printed
    assert re.search(r"continued from Hugging Face weights, sha256 [0-9a-f]{8}: L=", printed)


def test_missing_weights_of_the_second_half_are_an_error(tmp_path):
    with pytest.raises(
        SystemExit, match=r"there are no weights in .*/none; make .venv-parity/.installed"
    ):
        main.main(["--halves", "continued", "--weights", str(tmp_path / "none")])


@pytest.mark.parametrize(("ours", "verdict"), [(0.1981, "reached"), (0.1979, "MISSED")])
def test_table_compares_mean_accuracies(ours, verdict):
    def row(name, accuracy):
        curve = [{"step": 10, "loss": 6.5, "mlm_accuracy": accuracy}]
        return {"implementation": name, "setting": "", "curve": curve}

    rows = [row("lambert", ours - 0.01), row("lambert", ours + 0.01), row("tf-models", 0.2)]
    rows.append(row("tf-models", 0.2))
    lines = main.table(rows).splitlines()
    assert lines[-1].endswith(f"at least as good (within 0.2%): {verdict}")
    assert lines[-2].split() == ["10", f"{ours:.2%}", "loss", "6.500", "20.00%", "loss", "6.500"]
