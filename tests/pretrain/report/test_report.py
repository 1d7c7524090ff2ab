"""The report of a run: its content, incomplete records, and its layout in a browser."""

import json
import math
import re

import pytest

from data.errors import UserError
from pretrain.report import __main__ as report
from pretrain.report.curves import Curve, downsample, log_ticks, plot, ticks
from pretrain.report.run_record import differing_settings, read_record
from tests.support.browser import page_layout
from tests.support.html_pages import check_page, visible_text
from tests.support.model_dirs import make_model_dir

LAYERS = ("encoder/position_embedding/embeddings", "bert/cls/predictions/transform/dense/kernel")


def metrics(steps: int, *, speed: float = 1.0) -> list[dict]:
    """Return rows as a run writes them: training every 10 steps, held out every 50."""
    rows = []
    for step in range(10, steps + 1, 10):
        loss = 4 + 6 * math.exp(-speed * step / 100)
        ratios = {f"encoder/transformer/layer_{n}/output/kernel:0": n + 1.0 for n in range(12)}
        rows.append(
            {
                "step": step,
                "loss": loss,
                "mlm_accuracy": 1 / loss,
                "grad_norm": 0.5 + step % 7,
                "learning_rate": step / 1e5,
                "trust_ratio_min": 0.1,
                "trust_ratio_median": 1.0,
                "trust_ratio_max": 12.0,
                "trust_ratios": ratios | dict.fromkeys(LAYERS, 0.25),
                "examples_per_second": 100.0,
                "tokens_per_second": 51_200.0,
                "peak_share": 0.413,
                "input_wait_fraction": 0.012,
            }
        )
        if step % 50 == 0:
            shares = {"eval_baseline_accuracy": 0.058, "eval_hidden_baseline_accuracy": 0.059}
            rows.append({"step": step, **shares})
            for suffix, more in (("", 0), ("/wiki", 0.2), ("/mixed", -0.1), ("/cross_boundary", 0)):
                rows[-1] |= {
                    f"eval_loss{suffix}": loss + 0.3 + more,
                    f"eval_perplexity{suffix}": math.exp(loss),
                    f"eval_mlm_accuracy{suffix}": 0.137,
                    f"eval_hidden_accuracy{suffix}": 0.0557,
                    f"eval_predictions{suffix}": 15_754,
                }
    return rows


def page(model_dir) -> str:
    report.main([str(model_dir)])
    return (model_dir / "report.html").read_text()


def test_report_of_a_run(tmp_path):
    model_dir = make_model_dir(tmp_path / "bert", metrics(200), train_steps=400)
    (model_dir / "best.json").write_text('{"step": 150, "loss": 5.64}')
    (model_dir / "config.gin").write_text("TrainConfig.train_steps = 400  # <all>\n")
    (model_dir / "environment.json").write_text(
        json.dumps(
            {
                "command": ["run.py", "--x"],
                "python": "3.11.7",
                "machine": "Linux",
                "git_commit": None,
                "packages": {"tensorflow": "2.20.0"},
            }
        )
    )
    content = page(model_dir)
    check_page(content)
    text = visible_text(content)
    for part in (
        "Lambert run bert L=12 H=768 A=12, 1,500 pieces; LAMB (tf_models); 400 steps of 8,192",
        "200 of 400 steps",
        "5.112 held-out loss",
        "13.7% held-out accuracy",
        "150 best step, held out",
        "51,200 tokens/s",
        "41.3% of the bfloat16 peak",
        "Step 200: the last predictions loss perplexity accuracy hidden all 15,754 5.112",
        "wiki 15,754 5.312",
        "mixed sources 15,754 5.012",
        "across documents 15,754 5.112",
        "Step 150: the best",
        "Always guessing the most frequent token: 5.80% (5.90% of the hidden ones)",
        "bert: After 200 steps still on the unigram plateau: hidden tokens are predicted less than"
        " twice as well (5.57%) as by always guessing the most frequent one (5.90%)",
        "Not recorded: an older version started the run.",
        "TrainConfig.train_steps = 400 # <all>",
        "git commit unknown",
        "tensorflow 2.20.0",
    ):
        assert part in text, part
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", content)
    assert captions == [
        "Loss, in nats",
        "Held-out accuracy",
        "Held-out loss by source and boundary",
        "Learning rate",
        "Norm of the gradient, before clipping",
        "Trust ratios of all variables",
        "Trust ratios by layer, median of its variables",
        "Tokens a second, padding included",
        "Share of the time spent waiting for input",
        "Share of the devices&#x27; bfloat16 peak",
    ]
    assert "layer 0 layer 6 layer 11 embeddings head" in text
    assert "step 100\ntraining 6.207\nheld out 6.507" in content


def test_report_describes_the_data(tmp_path):
    model_dir = make_model_dir(tmp_path / "m", metrics(50))
    splits = {"sequences": 1000, "documents": 20, "tokens": 500_000}
    data = {
        "sha256": "cd" * 32,
        "splits": {"train": splits, "eval": splits | {"sequences": 31}},
        "sources": {"wiki": {"documents": 15, "tokens": 400_000, "bytes": 1_600_000}},
        "vocab_pieces": 1500,
        "vocab_sha256": "ef" * 32,
        "build": {"max_seq_length": 512, "copies": 4, "masked_lm_rate": 0.15},
    }
    (model_dir / "data.json").write_text(json.dumps(data))
    text = visible_text(page(model_dir))
    assert "train 1,000 20 500,000 eval 31 20 500,000" in text
    assert "wiki 15 400,000 1,600,000" in text
    assert "cd" * 32 in text
    assert f"1,500 pieces, sha256 {'ef' * 32}" in text


def test_rows_of_an_older_version_are_shown(tmp_path):
    """They lack trust ratios by variable, tokens per second, groups, and accuracy on hidden tokens."""
    new = ("trust_ratios", "tokens_per_second", "peak_share")
    rows = [
        {k: v for k, v in row.items() if k not in new and "/" not in k and "predictions" not in k}
        for row in metrics(100)
    ]
    content = page(make_model_dir(tmp_path, rows))
    check_page(content)
    assert "Sequences a second" in content
    assert "by layer" not in content
    assert "by source" not in content


def test_run_without_metrics(tmp_path):
    text = visible_text(page(make_model_dir(tmp_path / "m")))
    assert "m: No metrics yet: the run has not reached its first TrainConfig.log_interval." in text


def test_broken_line_in_the_metrics(tmp_path):
    model_dir = make_model_dir(tmp_path / "m", metrics(40))
    with (model_dir / "metrics.jsonl").open("a") as file:
        file.write('{"step": 50, "lo')
    text = visible_text(page(model_dir))
    assert "has a broken line, perhaps from a killed process: 1 of its lines are not shown" in text
    assert "40 of 200,000 steps" in text
    assert "Not evaluated on held-out text yet." in text


def test_single_row_with_zeros_and_infinity(tmp_path):
    rows = metrics(10)
    rows[0] |= {"grad_norm": 0.0, "learning_rate": 0.0, "loss": float("inf")}
    content = page(make_model_dir(tmp_path, rows))
    check_page(content.replace("loss inf", ""))


def test_held_out_losses_may_be_null(tmp_path):
    rows = [{"step": step, "eval_loss": loss} for step, loss in ((1, None), (2, 3.25), (3, None))]
    one = make_model_dir(tmp_path / "one", rows)
    two = make_model_dir(tmp_path / "two", rows[:1])
    check_page(page(one))
    report.main([str(one), str(two), "--output", str(tmp_path / "both.html")])
    assert "3.250 at 2" in (tmp_path / "both.html").read_text()


def test_missing_or_damaged_records_and_wrong_flags_are_errors(tmp_path):
    with pytest.raises(UserError, match="nowhere is not a model directory"):
        report.main([str(tmp_path / "nowhere")])
    model_dir = make_model_dir(tmp_path / "m")
    (model_dir / "run.json").write_text('{"config": {"trainer": {}}}')
    with pytest.raises(UserError, match=r"run\.json was written by another version"):
        report.main([str(model_dir)])
    make_model_dir(tmp_path / "m")
    (model_dir / "environment.json").write_text("{")
    with pytest.raises(UserError, match=r"environment\.json is damaged"):
        report.main([str(model_dir)])
    (model_dir / "environment.json").unlink()
    for content, message in {
        "{}": "splits is missing",
        '{"splits": {"train": {"sequences": "7"}}}': 'splits.train.sequences is "7", must be a whole',
        "[" * 100_000: "it is nested more than 64 deep",
    }.items():
        (model_dir / "data.json").write_text(content)
        with pytest.raises(UserError, match=rf"data\.json is damaged: {message}"):
            report.main([str(model_dir)])
    (model_dir / "data.json").unlink()
    (model_dir / "config.gin").write_bytes(b"# \xff\n")
    with pytest.raises(UserError, match=r"config\.gin is damaged: it is not UTF-8 .*; delete it"):
        report.main([str(model_dir)])
    with pytest.raises(UserError, match="comparison of several runs needs --output"):
        report.main(["a", "b"])
    with pytest.raises(UserError, match=r"9 model directories: .* at most 8"):
        report.main([str(n) for n in range(9)])
    with pytest.raises(UserError, match="gs://x: must be a local path"):
        report.main(["gs://x"])


def write_comparison(tmp_path):
    one = make_model_dir(tmp_path / "a" / "run", metrics(100))
    two = make_model_dir(tmp_path / "b" / "run", metrics(200, speed=2), seed=7)
    path = tmp_path / "compared.html"
    report.main([str(one), str(two), "--output", str(path)])
    return one, two, path


def test_comparison_of_two_runs(tmp_path):
    one, two, path = write_comparison(tmp_path)
    content = path.read_text()
    check_page(content)
    text = visible_text(content)
    assert (
        f"Settings that differ setting {one} {two} TrainConfig.seed 12345 7 Held-out text" in text
    )
    assert f"{one} 100 6.507" in text
    assert f"{two} 200 4.410" in text
    assert "var(--run-0)" in content
    assert "var(--run-1)" in content


def test_differing_settings(tmp_path):
    records = [
        read_record(str(make_model_dir(tmp_path / str(seed), seed=seed)), str(seed))
        for seed in (1, 2, 2)
    ]
    assert differing_settings(records) == {"TrainConfig.seed": [1, 2, 2]}
    assert differing_settings(records[1:]) == {}


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [
        (0, 10, [0, 2, 4, 6, 8, 10]),
        (4.9, 10.4, [4, 6, 8, 10, 12]),
        (0, 0.3, [0, 0.1, 0.2, 0.3]),
        (0, 0, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (5, 5, [4, 4.5, 5, 5.5, 6]),
    ],
)
def test_ticks_are_round_and_enclose_the_values(start, stop, expected):
    assert ticks(start, stop) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [
        (0.03, 0.4, [0.02, 0.05, 0.1, 0.2, 0.5]),
        (1, 1, [1, 2]),
        (0.5, 300, [0.1, 1, 10, 100, 1000]),
        (1e-9, 1e3, [1e-9, 1e-6, 1e-3, 1, 1e3]),
        (1, 1e308, [1, 1e62, 1e124, 1e186, 1e248, 1e308]),
    ],
)
def test_log_ticks(start, stop, expected):
    assert log_ticks(start, stop) == pytest.approx(expected)


def test_downsampling_keeps_peaks():
    points = [(step, float(step == 5000)) for step in range(20_000)]
    found = downsample(points)
    assert len(found) <= 600
    assert (5000, 1.0) in found
    assert found == sorted(found)


def test_curve_coordinates():
    curve = Curve(label="x", points=[(0, 0.0), (50, 5.0), (100, 10.0)], colour="red")
    content = plot("caption", [curve], show=str)
    assert 'd="M0.0 400.0L500.0 200.0L1000.0 0.0"' in content
    assert plot("nothing", [Curve(label="x", points=[], colour="red")], show=str) == ""


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_page_fits_the_screen_in_a_browser(tmp_path, width):
    """The page must not scroll sideways."""
    _, _, path = write_comparison(tmp_path)
    one = make_model_dir(tmp_path / "one", metrics(200))
    report.main([str(one)])
    for page in (path, one / "report.html"):
        content_width, plots = page_layout(tmp_path, page, width)
        assert content_width == width
        assert len(plots) >= 7
        assert min(plots) > 230


def test_logarithmic_x_axis():
    curve = Curve(label="v4", points=[(4, 1.0), (64, 0.5)], colour="red", style="dots")
    text = plot("Speed", [curve], show=str, x_name="devices", x_marks=(1, 4, 16, 64))
    # Four evenly spaced ticks: 4 is at a third of the axis, 64 at its end.
    found = re.findall(r'class="x" style="left:([\d.]+)%">([\d,]+)<', text)
    assert found == [("0.00", "1"), ("33.33", "4"), ("66.67", "16"), ("100.00", "64")]
    assert '<path class="dots" style="stroke:red" d="M333.3 ' in text
    assert "<title>devices 4\nv4 1.0</title>" in text
    assert "step" not in text
