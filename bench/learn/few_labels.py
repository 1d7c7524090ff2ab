"""Third part: fine-tuning with few labels, from random weights and from the encoders of the others."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.learn import continued
from bench.learn.shared import DEMO_GIN, Places, facts, pretrain
from bench.sample_build import run_module

GIN, TRAIN_SENTENCES, SEEDS = "gin/finetune_demo.gin", 100, 3
TITLE = "fine-tuning with few labels"
RANDOM, DEMO, CONTINUED = "random weights", "the demo's encoder", continued.TITLE
# Random weights do best at a higher rate than pretrained ones.
_RANDOM_SETTINGS = (
    "FinetuneConfig.initialize = 'random'",
    "OptimizerConfig.peak_learning_rate = 3e-3",
)


def rows(places: Places, *, seeds: int, steps: int) -> Iterator[dict]:
    """Fine-tune on sentences of Wikipedia and books, and yield a row for each start.

    Args:
      places: directories; the encoder of the second part is there.
      seeds: number of runs of each start; 0 takes SEEDS.
      steps: updates of the demo's pretraining; 0 takes those of the settings.
    """
    samples, task = places.work / "demo" / "samples", places.work / "task"
    data_dir, demo = places.demo_build(), places.work / "demo" / "model"
    pretrain(data_dir, demo, DEMO_GIN, 1, steps)
    run_module(
        *("finetune.corpus_task", "--wiki", f"{samples}/wiki/*", "--books", f"{samples}/books/*"),
        *("--train_sentences", TRAIN_SENTENCES, "--output_dir", task),
    )
    starts = {
        RANDOM: (demo, _RANDOM_SETTINGS),
        DEMO: (demo, ()),
        CONTINUED: (places.work / "continued" / "model-1", ()),
    }
    shared = facts("few_labels", f"{GIN}, {TRAIN_SENTENCES} labels")
    for start, (model_dir, settings) in starts.items():
        export, tuned = Path(f"{model_dir}-export"), places.work / "finetuned" / start
        if not export.exists():
            run_module("pretrain.export", "--model_dir", model_dir, "--output_dir", export)
        params = [flag for setting in settings for flag in ("--gin_param", setting)]
        run_module(
            *("finetune.run", "--gin_file", GIN, *params, "--encoder", export),
            *("--task_data", task, "--model_dir", tuned, "--restarts", seeds or SEEDS),
        )
        summary = json.loads((tuned / "summary.json").read_text())
        yield {
            "start": start,
            "what": "test sentences after fine-tuning",
            "test_accuracy": [
                record["splits"]["test"][summary["main_metric"]] for record in summary["seeds"]
            ],
            **shared,
        }


def table(rows: Sequence[dict]) -> str:
    """Format test accuracy, a line per start."""
    return "\n".join(
        f"  {row['start']:<34}" + "".join(f"{accuracy:>9.2%}" for accuracy in row["test_accuracy"])
        for row in rows
    )
