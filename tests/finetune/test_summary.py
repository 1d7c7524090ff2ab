"""Summaries of seeds, and their comparison."""

import json

import pytest

from data.errors import UserError
from finetune import summary


def record_of(seed, accuracy, collapse=None) -> dict:
    return {
        "seed": seed,
        "step": 10,
        "train_steps": 10,
        "main_metric": "accuracy",
        "collapse": collapse,
        "splits": {"dev": {"accuracy": accuracy}},
    }


def test_summary_has_statistics_with_and_without_collapsed_seeds():
    """As on the card for MNLI: one run of three collapsed."""
    collapsed = record_of(3, 0.33, {"step": 5, "reason": "loss 1.1"})
    of_seeds = summary.summarize([record_of(1, 0.89), record_of(2, 0.88), collapsed])
    assert of_seeds["dev"] == {
        "best": 0.89,
        "median": 0.88,
        "mean": pytest.approx(0.7),
        "standard_deviation": pytest.approx(0.32047, abs=1e-5),
    }
    assert of_seeds["dev_without_collapsed"]["median"] == pytest.approx(0.885)
    assert (of_seeds["best_seed"], of_seeds["num_collapsed"]) == (1, 1)
    lines = summary.describe(of_seeds).splitlines()
    assert lines[3].split() == ["3", "10", "0.3300", "collapsed:", "loss", "1.1"]
    assert lines[4] == (
        "3 seeds, dev accuracy: best 0.8900, median 0.8800, mean 0.7000 ± 0.3205; 1 collapsed,"
        " without them median 0.8850"
    )


def test_best_of_collapsed_seeds_was_trained_to_the_end():
    stopped, finished = ({"step": step, "reason": "loss 1.1"} for step in (5, 10))
    records = [record_of(1, 0.36, stopped), record_of(2, 0.34, finished)]
    assert summary.summarize(records)["best_seed"] == 2
    assert [summary.is_finished(record) for record in records] == [False, True]
    assert summary.summarize(records[:1])["best_seed"] == 1


def test_comparison_of_model_directories():
    good, bad = (
        summary.summarize([record_of(s, a) for s, a in enumerate(accuracies)])
        for accuracies in ((0.9, 0.8), (0.6, 0.7))
    )
    first, second = summary.compare({"good": good, "bad": bad}).splitlines()
    assert first == (
        "dev accuracy  good  mean 0.8500 ± 0.0707 of 2 seeds, from 0.8000 to 0.9000; +0.2000 against bad"
    )
    assert second == "dev accuracy  bad   mean 0.6500 ± 0.0707 of 2 seeds, from 0.6000 to 0.7000"


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("seed", "1", 'seeds[0].seed is "1", must be a whole number'),
        ("step", None, "seeds[0].step is null"),
        ("collapse", [], "seeds[0].collapse is an empty list"),
        ("collapse", {"step": 3}, "seeds[0].collapse.reason is missing"),
        ("main_metric", "f1", "seeds[0].splits.dev.f1 is missing"),
        ("splits", {}, "seeds[0].splits.dev is missing"),
        ("splits", {"dev": {"accuracy": float("nan")}}, "seeds[0].splits.dev.accuracy is NaN"),
        ("splits", {"dev": {"accuracy": 1.0, "loss": "a"}}, "seeds[0].splits.dev.loss is"),
    ],
    ids=str,
)
def test_damaged_summary_is_an_error(tmp_path, name, value, problem):
    content = {"seeds": [record_of(1, 0.5) | {name: value}]}
    (tmp_path / "summary.json").write_text(json.dumps(content))
    with pytest.raises(UserError) as error:
        summary.read_summary(str(tmp_path))
    assert problem in str(error.value)


def test_statistics_are_those_of_the_seeds(tmp_path):
    content = summary.summarize([record_of(1, 0.5), record_of(2, 0.75)])
    (tmp_path / "summary.json").write_text(json.dumps(content | {"dev": None}))
    assert summary.read_summary(str(tmp_path)) == content
