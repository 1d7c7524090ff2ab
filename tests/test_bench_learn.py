"""The measurement of learning still runs: at a small size, with no demand on what is learned."""

import json

import pytest

from bench.learn import __main__ as main

SIZES = {"hidden": 8, "layers": 1, "batch": 4, "steps": 3, "warmup": 1, "evaluate_every": 2}


@pytest.mark.slow
def test_rows_and_table(small_build, tmp_path, capsys):
    results = tmp_path / "learn.json"
    flags = ("--seeds", "1", "--data_dir", str(small_build), "--results", str(results))
    main.main([*flags, "--settings", json.dumps(SIZES)])
    rows = json.loads(results.read_text())
    assert [row["implementation"] for row in rows] == ["lambert", "tf-models"]
    for row in rows:
        assert [point["step"] for point in row["curve"]] == [2, 3]
        # Three small updates: near the logarithm of 1,500 pieces, and below it.
        assert 7.0 < row["held_out_loss"] < 7.32
        assert {"stage", "setting", "what", "command", "versions", "machine", "date"} <= row.keys()
    one, other = ([point["predictions"] for point in row["curve"]] for row in rows)
    assert one == other
    assert "64 tokens, 10 predictions, 3 masked copies" in capsys.readouterr().out


@pytest.mark.parametrize(("ours", "verdict"), [(0.1981, "reached"), (0.1979, "MISSED")])
def test_the_table_says_whether_ours_is_as_good(ours, verdict):
    def row(name, accuracy):
        curve = [{"step": 10, "loss": 6.5, "mlm_accuracy": accuracy}]
        return {"implementation": name, "setting": "", "curve": curve}

    rows = [row("lambert", ours - 0.01), row("lambert", ours + 0.01), row("tf-models", 0.2)]
    rows.append(row("tf-models", 0.2))
    lines = main.table(rows).splitlines()
    assert lines[-1].endswith(f"at least as good (within 0.2%): {verdict}")
    assert lines[-2].split() == ["10", f"{ours:.2%}", "loss", "6.500", "20.00%", "loss", "6.500"]
