"""Third part: fine-tuning with few labels, from random weights and from the encoders of the others."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.learn import continued
from bench.learn.shared import DEMO_GIN, Places, facts, pretrain
from bench.sample_build import run_module

GIN, TRAIN_SENTENCES, SEEDS = "gin/finetune_demo.gin", 100, 3
TITLE = "fine-tuning with few labels"
RANDOM, DEMO, CONTINUED = "random weights", "the demo's encoder", continued.TITLE
# The best rate of those tried with random weights of the demo's architecture; 3e-4 is that of GIN.
_RANDOM_RATE = 3e-3


def rows(places: Places, *, seeds: int, steps: int) -> Iterator[dict]:
    """Fine-tune on sentences of Wikipedia and books, and yield a row for each start.

    Args:
      places: directories; the encoder of the second part is there.
      seeds: number of runs of each start; 0 takes SEEDS.
      steps: updates of the demo's pretraining; 0 takes those of the settings.
    """
    data_dir, demo = places.demo_build(), places.work / "demo" / "model"
    pretrain(data_dir, demo, DEMO_GIN, 1, steps)
    starts = {RANDOM: demo, DEMO: demo, CONTINUED: places.work / "continued" / "model-1"}
    exports = {}
    for start, model_dir in starts.items():
        exports[start] = Path(f"{model_dir}-export")
        if not exports[start].exists():
            run_module("pretrain.export", "--model_dir", model_dir, "--output_dir", exports[start])
    shared = facts("few_labels", f"{GIN}, {TRAIN_SENTENCES} labels")
    samples = places.work / "demo" / "samples"
    yield from finetune(
        places.work, samples, exports, shared, random_rate=_RANDOM_RATE, seeds=seeds
    )


def finetune(
    work: Path,
    samples: Path,
    exports: Mapping[str, Path],
    shared: dict[str, Any],
    *,
    random_rate: float,
    seeds: int = 0,
) -> Iterator[dict]:
    """Fine-tune encoders on one task, and yield a row for each.

    Args:
      work: directory for the task and the fine-tuned models.
      samples: sample text.
      exports: exported encoder by name of the start; RANDOM takes the architecture alone.
      shared: fields of all rows.
      random_rate: learning rate with random weights; the best one depends on the architecture.
      seeds: number of runs of each start; 0 takes SEEDS.
    """
    task = work / "task"
    run_module(
        *("finetune.corpus_task", "--wiki", f"{samples}/wiki/*", "--books", f"{samples}/books/*"),
        *("--train_sentences", TRAIN_SENTENCES, "--output_dir", task),
    )
    for start, export in exports.items():
        tuned = work / "finetuned" / start.replace(" ", "-")
        settings = [
            "FinetuneConfig.initialize = 'random'",
            f"OptimizerConfig.peak_learning_rate = {random_rate}",
        ]
        params = [flag for each in settings if start == RANDOM for flag in ("--gin_param", each)]
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
