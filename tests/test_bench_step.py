"""The measurement of the training step still runs: at a small size, with no demand on speed."""

import json

from bench.step import __main__ as main

SIZES = {"hidden": 16, "heads": 2, "layers": 2, "positions": 16, "batch": 2, "predictions": 3}


def test_rows_and_table(tmp_path, capsys):
    results = tmp_path / "step.json"
    sizes = json.dumps({**SIZES, "vocab": 50})
    main.main(["--rounds", "1", "--repeats", "1", "--sizes", sizes, "--results", str(results)])
    rows = json.loads(results.read_text())
    assert [(row["precision"], row["implementation"]) for row in rows] == [
        ("mixed_bfloat16", "lambert"),
        ("mixed_bfloat16", "tf-models"),
        ("float32", "lambert"),
        ("float32", "tf-models"),
    ]
    for row in rows:
        assert row["tokens_per_second"] == 2 * 16 / row["seconds"] > 0
        assert {"stage", "setting", "what", "command", "versions", "machine", "date"} <= row.keys()
    assert "x tf-models" in capsys.readouterr().out


def test_the_table_says_whether_the_target_is_reached():
    rows = [
        {
            "precision": "mixed_bfloat16",
            "implementation": name,
            "tokens_per_second": rate,
            "setting": "",
        }
        for name, rate in (("lambert", 124.0), ("tf-models", 100.0))
    ]
    assert "1.24 x tf-models (target 1.25: MISSED)" in main.table(rows)
    rows[0]["tokens_per_second"] = 125.0
    assert "1.25 x tf-models (target 1.25: reached)" in main.table(rows)
