"""Summarize the scores of all seeds of a task, including those that collapsed.

    python -m finetune.summary M1 [M2 ...]

With several model directories, the mean of each is compared with that of the last.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from data import files
from data.checked_json import read_json
from data.cli.main import run_main
from data.cli.parser import CommandParser
from data.errors import UserError
from data.files import require_local
from finetune.seed_files import check_seed

SUMMARY_FILE = "summary.json"


def summarize(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the content of summary.json.

    Args:
      records: content of metrics.json of each seed, at least one (see `SeedRun.run`).

    Returns:
      `main_metric`; its statistics on dev over all seeds (`dev`) and over those that did not collapse
      (`dev_without_collapsed`, None if all did); `num_collapsed`, `best_seed` and all `seeds`. The best
      seed is chosen among those that did not collapse, else among those that were trained to the end.
    """
    metric = records[0]["main_metric"]
    values = {record["seed"]: record["splits"]["dev"][metric] for record in records}
    successful = [record["seed"] for record in records if record["collapse"] is None]
    finished = [record["seed"] for record in records if is_finished(record)]
    without_collapsed = _statistics([values[seed] for seed in successful]) if successful else None
    return {
        "main_metric": metric,
        "dev": _statistics(list(values.values())),
        "dev_without_collapsed": without_collapsed,
        "num_collapsed": len(records) - len(successful),
        "best_seed": max(successful or finished or values, key=values.__getitem__),
        "seeds": list(records),
    }


def is_finished(record: Mapping[str, Any]) -> bool:
    """Return whether a seed was trained to the end, and not stopped because it had collapsed."""
    collapse = record["collapse"]
    return collapse is None or collapse["step"] >= record["train_steps"]


def _statistics(values: list[float]) -> dict[str, float]:
    return {
        "best": max(values),
        "median": statistics.median(values),
        "mean": statistics.fmean(values),
        "standard_deviation": statistics.stdev(values) if len(values) > 1 else 0.0,
    }


def describe(summary: dict[str, Any]) -> str:
    """Return a table of the seeds, and a line with statistics on dev."""
    metric = summary["main_metric"]
    columns = [
        (split, metric)
        for split in dict.fromkeys(name for seed in summary["seeds"] for name in seed["splits"])
    ]
    lines = ["  ".join(["seed".rjust(12), "step".rjust(7), *(_title(*pair) for pair in columns)])]
    for record in summary["seeds"]:
        cells = [f"{record['seed']:>12}", f"{record['step']:>7,}"]
        for split, name in columns:
            value = record["splits"].get(split, {}).get(name)
            text = "" if value is None else f"{value:.4f}"
            cells.append(text.rjust(len(_title(split, name))))
        if collapse := record["collapse"]:
            cells.append(f"collapsed: {collapse['reason']}")
        lines.append("  ".join(cells))
    dev, num_seeds = summary["dev"], len(summary["seeds"])
    line = (
        f"{num_seeds} seed{'s' * (num_seeds > 1)}, dev {metric}: best {dev['best']:.4f}, median"
        f" {dev['median']:.4f}, mean {dev['mean']:.4f} ± {dev['standard_deviation']:.4f}"
    )
    if summary["num_collapsed"]:
        line += f"; {summary['num_collapsed']} collapsed"
        if without := summary["dev_without_collapsed"]:
            line += f", without them median {without['median']:.4f}"
    return "\n".join([*lines, line])


def _title(split: str, metric: str) -> str:
    return f"{split} {metric}"


def compare(summaries: dict[str, dict[str, Any]]) -> str:
    """Return lines with the means of several model directories, compared with the last, by split."""
    *_, last = summaries
    metric = summaries[last]["main_metric"]
    width = max(map(len, summaries))
    lines = []
    for split in _common_splits(summaries.values()):
        values = {
            name: [seed["splits"][split][metric] for seed in summary["seeds"]]
            for name, summary in summaries.items()
        }
        for name, scores in values.items():
            of_seeds = _statistics(scores)
            line = (
                f"{split} {metric}  {name:<{width}}  mean {of_seeds['mean']:.4f} ±"
                f" {of_seeds['standard_deviation']:.4f} of {len(scores)} seeds, from"
                f" {min(scores):.4f} to {of_seeds['best']:.4f}"
            )
            if name != last:
                difference = of_seeds["mean"] - statistics.fmean(values[last])
                line += f"; {difference:+.4f} against {last}"
            lines.append(line)
    return "\n".join(lines)


def _common_splits(summaries: Iterable[dict[str, Any]]) -> list[str]:
    """Return the splits on which every seed of every summary was scored."""
    scored = [set(seed["splits"]) for summary in summaries for seed in summary["seeds"]]
    return sorted(set.intersection(*scored))


def read_summary(model_dir: str) -> dict[str, Any]:
    """Read summary.json of a model directory.

    Raises:
      UserError: the file does not exist or is damaged.
    """
    path = files.join(model_dir, SUMMARY_FILE)
    try:
        record = read_json(path, remedy="delete it and run finetune.run again")
    except FileNotFoundError:
        raise UserError(
            f"{model_dir} has no {SUMMARY_FILE}; `python -m finetune.run --model_dir {model_dir} ...`"
            " writes it after the last seed"
        ) from None
    seeds = [check_seed(seed) for seed in record.rows("seeds")]
    if not seeds or len({seed["main_metric"] for seed in seeds}) > 1:
        raise record.damaged("it has no seeds, or seeds with different main metrics")
    return summarize(seeds)  # the statistics follow from the seeds


def main(argv: Sequence[str]) -> None:
    """Parse the command line and print the summaries."""
    parser = CommandParser(
        prog="python -m finetune.summary",
        description=__doc__,
    )
    parser.add_argument(
        "model_dirs", nargs="+", metavar="M", help="model directory of finetune.run"
    )
    args = parser.parse_args(argv)
    for model_dir in args.model_dirs:
        require_local("model directory", model_dir)
    summaries = {str(Path(path)): read_summary(path) for path in args.model_dirs}
    if len({summary["main_metric"] for summary in summaries.values()}) > 1:
        raise UserError("the model directories belong to tasks with different main metrics")
    for path, summary in summaries.items():
        print(f"{path}\n{describe(summary)}\n")
    if len(summaries) > 1:
        print(compare(summaries))


if __name__ == "__main__":
    run_main(main)
