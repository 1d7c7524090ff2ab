"""Where rows of metrics go: the terminal, metrics.jsonl, TensorBoard, Weights & Biases."""

import contextlib
import io
import json
import resource
import sys
import time
from unittest import mock

import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator

from data.errors import UserError
from pretrain.checkpoints.best import best_step
from pretrain.report.pages import write_run_report
from pretrain.train.metrics_log import read_metrics, repair_metrics
from pretrain.train.progress import Progress, WandB, training_line
from pretrain.train.recipe import check_settings
from tests.support.logged import messages
from tests.support.model_dirs import make_model_dir, run_config

ROW = {
    "loss": 6.25,
    "mlm_accuracy": 0.125,
    "grad_norm": 1.5,
    "learning_rate": 0.001,
    "examples_per_second": 10.0,
    "tokens_per_second": 5120.0,
    "input_wait_fraction": 0.004,
}
EVALUATION = {"eval_loss": 6.0, "eval_loss/wiki": 5.5}


def progress_in(path, **options) -> Progress:
    return Progress(make_model_dir(path), write_report=write_run_report, **options)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that tests move."""
    now = [1000.0]
    monkeypatch.setattr("pretrain.train.progress.time.monotonic", lambda: now[0])
    return now


def test_training_line():
    assert training_line(ROW) == (
        "loss 6.250  accuracy 12.5%  lr 1.00e-03  5,120 tokens/s  input wait 0.4%"
    )
    assert "5,120 tokens/s  41.2% of peak  input wait" in training_line(ROW | {"peak_share": 0.412})


def test_plain_lines_without_a_terminal(tmp_path, capsys, clock):
    progress = progress_in(tmp_path, start_step=100, train_steps=1000)
    clock[0] += 30
    progress.after_row(200, ROW)
    progress.after_evaluation(200, EVALUATION, "held-out: ...")
    progress.after_evaluation(300, {"eval_loss": 6.5}, "held-out: ...")
    progress.close()
    assert messages(capsys.readouterr().err) == [
        f"step 200/1,000  {training_line(ROW)}  0:04:00 left",
        "step 200, the best so far  held-out: ...",
        "step 300  held-out: ...",
    ]
    assert json.loads((tmp_path / "best.json").read_text()) == {"step": 200, "loss": 6.0}


def test_first_line_comes_after_a_few_updates_and_leaves_out_compilation(tmp_path, capsys, clock):
    progress = progress_in(tmp_path, start_step=0, train_steps=1001)
    for step, seconds in ((1, 60), (2, 4), (6, 16)):
        clock[0] += seconds
        progress.after_loop(step)
    clock[0] += 16
    progress.after_row(10, ROW)
    progress.close()
    assert messages(capsys.readouterr().err) == [
        "step 2/1,001  4.0 s an update  1:06:36 left",
        f"step 10/1,001  {training_line(ROW)}  1:06:04 left",
    ]


def test_one_live_line_in_a_terminal(tmp_path, monkeypatch, clock):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "stdout", Terminal())
    progress = progress_in(tmp_path, start_step=0, train_steps=1000)
    clock[0] += 30
    progress.after_row(500, ROW)
    live = sys.stdout.getvalue()
    progress.close()
    assert "\n" not in live
    last = live.rpartition("\r")[2]
    assert last.startswith(" 50%|")
    assert f"| step 500/1,000  {training_line(ROW)}  0:00:30 left" in last


def test_rows_go_to_tensorboard(tmp_path):
    progress = progress_in(tmp_path, start_step=0, train_steps=10)
    progress.after_row(5, ROW | {"trust_ratios": {"a/kernel": 0.5, "b/kernel": 2.0}})
    progress.after_evaluation(5, EVALUATION, "")
    progress.close()
    (path,) = tmp_path.glob("events.out.tfevents.*.v2")
    values = {}
    for event in tf.compat.v1.train.summary_iterator(str(path)):
        for value in event.summary.value:
            values[value.tag] = (event.step, value.metadata.plugin_data.plugin_name)
    assert values["train/loss"] == values["eval/loss/wiki"] == (5, "scalars")
    assert values["train/trust_ratios"] == (5, "histograms")


def test_settings_go_to_tensorboard_as_text(tmp_path):
    make_model_dir(tmp_path)
    (tmp_path / "operative_config.gin").write_text("TrainConfig.train_steps = 10\n")
    progress_in(tmp_path, start_step=0, train_steps=10).close()
    (path,) = tmp_path.glob("events.out.tfevents.*.v2")
    (text,) = [
        value.tensor.string_val[0].decode()
        for event in tf.compat.v1.train.summary_iterator(str(path))
        for value in event.summary.value
        if value.tag == "settings"
    ]
    assert text == "```\nTrainConfig.train_steps = 10\n```"


def test_nan_in_an_evaluation_keeps_the_file_valid_json(tmp_path):
    """bfloat16 can give NaN; the run continues."""
    row = {"eval_loss": float("nan"), "eval_perplexity": float("inf"), "eval_mlm_accuracy": 0.5}
    progress = progress_in(tmp_path, start_step=0, train_steps=10)
    progress.after_evaluation(5, row, "held-out: loss nan")
    progress.close()
    none = {"eval_loss": None, "eval_perplexity": None, "eval_mlm_accuracy": 0.5}
    (row,) = read_metrics(tmp_path)
    assert {**row, "time": 0} == {"step": 5, "row": 1, "time": 0, **none}
    assert abs(row["time"] - time.time()) < 60
    assert best_step(tmp_path) is None


def test_failing_report_does_not_hide_what_ended_the_run(tmp_path, capsys):
    progress = progress_in(tmp_path, start_step=0, train_steps=10)
    (tmp_path / "best.json").write_text("{")
    with pytest.raises(UserError, match="disk is full"), contextlib.closing(progress):
        raise UserError("disk is full")
    (line,) = messages(capsys.readouterr().err)
    assert line.startswith(f"training: no report.html: {tmp_path}/best.json is damaged")


@pytest.mark.parametrize(
    ("earlier_rows", "first_step", "place"),
    [
        (2000 // 11, 1, "{0}/metrics.jsonl: "),
        (0, 10, "TensorBoard's file: {0}/events.out.tfevents"),
    ],
)
def test_full_disk_is_one_line_and_closing_does_not_hide_it(
    tmp_path, earlier_rows, first_step, place
):
    """A limit on file sizes stands in for a full disk. Rows are larger in TensorBoard's file."""
    make_model_dir(tmp_path)
    (tmp_path / "metrics.jsonl").write_text('{"step": 0}\n' * earlier_rows)
    progress = progress_in(tmp_path, start_step=0, train_steps=100)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        with pytest.raises(UserError) as caught, contextlib.closing(progress):
            for step in range(1, 100):
                progress._record(step, {"loss": 6.25}, prefix="train")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert step >= first_step
    (line,) = str(caught.value).splitlines()
    start = f"the metrics of step {step} could not be written: {place.format(tmp_path)}"
    assert line.startswith(start)
    assert line.endswith("File too large; make room, and run the same command again to resume")


def test_the_best_is_recorded_before_its_row(tmp_path, monkeypatch):
    """A row means that the step was evaluated, so a resumed run would not record the best again."""

    def crash(*_):
        raise KeyboardInterrupt

    progress = progress_in(tmp_path, start_step=0, train_steps=10)
    monkeypatch.setattr("pretrain.train.progress.record_best", crash)
    with pytest.raises(KeyboardInterrupt):
        progress.after_evaluation(5, EVALUATION, "")
    assert read_metrics(tmp_path) == []


INTACT = [f'{{"step": {step}, "loss": 2.0}}\n' for step in range(1, 7)]


@pytest.mark.parametrize(
    "line",
    [
        *('{"step": 3, "lo', '{"loss": 1}', "[3]", '{"step": "x"}', '{"step": 1e999}', "\x00" * 9),
        *('{"step": 3, "trust_ratios": 7}', '{"step": 3, "loss": {}}', '{"step": 3, "loss": true}'),
        *('{"step": 3, "loss": "x"}', '{"step": 3, "loss": [1]}', '{"step": true}', "[" * 100_000),
    ],
)
def test_intact_rows_around_a_damaged_line_are_kept(tmp_path, capsys, line):
    path = tmp_path / "metrics.jsonl"
    path.write_text(damaged := "".join([*INTACT[:2], f"{line}\n", *INTACT[3:]]))
    assert [row["step"] for row in read_metrics(tmp_path)] == [1, 2, 4, 5, 6]
    progress_in(tmp_path, start_step=5, train_steps=9).close()
    assert path.read_text() == "".join([*INTACT[:2], *INTACT[3:5]])
    copy = tmp_path / "metrics.jsonl.damaged"
    assert copy.read_text() == damaged
    assert f"{path} has 1 damaged lines; the other 5 rows are kept" in capsys.readouterr().err


@pytest.mark.parametrize(("tail", "is_damage"), [('{"step": 3, "lo', False), ("\x00" * 500, True)])
def test_the_end_of_a_file_that_was_cut(tmp_path, capsys, tail, is_damage):
    """A killed process leaves half a row; a power cut leaves zeros."""
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(INTACT[:2]) + tail)
    repair_metrics(tmp_path, 2, last_row=2)
    assert path.read_text() == "".join(INTACT[:2])
    assert (tmp_path / "metrics.jsonl.damaged").exists() == is_damage
    assert ("damaged lines" in capsys.readouterr().err) == is_damage


def test_missing_rows_are_reported(tmp_path, capsys):
    (tmp_path / "metrics.jsonl").write_text("".join(INTACT[:2]))
    repair_metrics(tmp_path, 6, last_row=5)
    assert "metrics.jsonl lacks rows of the steps 3 to 5" in capsys.readouterr().err


def write_numbered(path, *numbers: int) -> None:
    """Write rows as a run does, two for every fourth step, and leave out all but some of them."""
    progress = progress_in(path, start_step=0, train_steps=100)
    for step in range(1, 9):
        progress.after_row(step, ROW)
        if step % 4 == 0:
            progress.after_evaluation(step, EVALUATION, "")
    progress.close()
    lines = (path / "metrics.jsonl").read_text().splitlines(keepends=True)
    assert len(lines) == 10
    (path / "metrics.jsonl").write_text("".join(lines[number - 1] for number in numbers))


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((1, 2, 3, 4, 5, 6, 7, 8, 9, 10), None),
        ((1, 2, 4, 5, 6, 7, 8, 9, 10), "lacks 1 row between the steps 2 and 4; the others"),
        ((1, 2, 3, 4, 6, 7, 8, 9, 10), "lacks 1 row between the steps 4 and 5; the others"),
        ((3, 4, 5, 6, 9), "lacks 2 rows between the steps 0 and 3; 2 rows between the steps 5 and"),
    ],
)
def test_rows_missing_from_the_middle_are_reported_once(tmp_path, capsys, numbers, message):
    write_numbered(tmp_path, *numbers)
    capsys.readouterr()
    before = [(row["step"], row.get("loss")) for row in read_metrics(tmp_path)]
    assert repair_metrics(tmp_path, 8) == len(numbers) + 1
    output = capsys.readouterr().err
    assert (message or "") in output
    assert bool(message) == bool(output)
    rows = read_metrics(tmp_path)
    assert [(row["step"], row.get("loss")) for row in rows] == before
    assert [row["row"] for row in rows] == list(range(1, len(numbers) + 1))
    repair_metrics(tmp_path, 8)
    assert capsys.readouterr().err == ""


def test_resumed_run_goes_on_counting_rows(tmp_path, capsys):
    write_numbered(tmp_path, *range(1, 11))
    progress = progress_in(tmp_path, start_step=4, train_steps=100)
    progress.after_row(5, ROW)
    progress.close()
    rows = read_metrics(tmp_path)
    assert [(row["step"], row["row"]) for row in rows[-3:]] == [(4, 4), (4, 5), (5, 6)]
    assert "lacks" not in capsys.readouterr().err


def test_tensorboard_shows_each_step_once_after_a_resume(tmp_path):
    """Steps 5 to 8 are repeated with other values; TensorBoard's own loader reads the files."""
    for start_step, loss in ((0, 1.0), (4, 2.0), (6, 3.0)):
        progress = progress_in(tmp_path, start_step=start_step, train_steps=100)
        for step in range(start_step + 1, 9):
            progress.after_row(step, ROW | {"loss": loss})
        progress.close()
        time.sleep(1.1)  # files are read in the order of their start, in seconds
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    points = [
        (event.step, float(tf.make_ndarray(event.tensor_proto)))
        for event in events.Tensors("train/loss")
    ]
    assert points == [(s, 1.0) for s in (1, 2, 3, 4)] + [(5, 2.0), (6, 2.0), (7, 3.0), (8, 3.0)]


STUB = """
import json, os
class Run:
    def __init__(self, dir):
        self.path = os.path.join(dir, "sent.jsonl")
    def define_metric(self, name, step_metric=None):
        self.write({"metric": name, "by": step_metric})
    def log(self, row):
        self.write(row)
    def finish(self):
        self.write({"finished": True})
    def write(self, row):
        with open(self.path, "a") as file:
            file.write(json.dumps(row) + chr(10))
def init(**settings):
    run = Run(settings["dir"])
    settings["config"] = settings["config"]["train"]["seed"]
    del settings["dir"]
    run.write(settings)
    return run
"""


def test_rows_go_to_weights_and_biases(tmp_path, monkeypatch):
    (tmp_path / "wandb.py").write_text(STUB)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    run = run_config(wandb_project="bert", seed=7)
    check_settings(run.train, run.optimizer)
    model_dir = tmp_path / "model"
    for step in (5, 10):
        progress = progress_in(
            model_dir,
            start_step=step - 5,
            train_steps=10,
            wandb=WandB("bert", str(model_dir), run),
        )
        progress.after_row(step, ROW)
        progress.close()
    monkeypatch.delitem(sys.modules, "wandb")
    sent = [json.loads(line) for line in (model_dir / "sent.jsonl").read_text().splitlines()]
    first, second = sent[:5], sent[5:]
    assert first[0] == second[0]  # the same run, by its id
    assert {key: first[0][key] for key in ("project", "name", "resume", "config")} == {
        "project": "bert",
        "name": "model",
        "resume": "allow",
        "config": 7,
    }
    assert first[1:3] == [{"metric": "step", "by": None}, {"metric": "*", "by": "step"}]
    assert (first[3]["step"], second[3]["step"]) == (5, 10)
    assert first[3]["train/loss"] == 6.25
    assert first[4] == {"finished": True}


def test_weights_and_biases_with_a_remote_model_directory(tmp_path, monkeypatch):
    """The client would create a local folder called "ram:"."""
    wandb = mock.Mock()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    WandB("bert", f"ram://{tmp_path.name}/m", run_config(wandb_project="bert"))
    settings = wandb.init.call_args.kwargs
    assert (settings["name"], settings["dir"]) == ("m", None)


def test_missing_weights_and_biases_is_an_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    run = run_config(wandb_project="bert")
    with pytest.raises(UserError, match=r"wandb_project='bert', but wandb is not installed: `pip"):
        check_settings(run.train, run.optimizer)
