"""What the seeds of a task scored: all of them, those that collapsed included.

    python -m finetune.summary M1 [M2 ...]

With several model directories, each is compared with the last: means of the seeds and their difference.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from pathlib import Path

from data import files
from data.errors import UserError, run_main
from data.files import require_local

SUMMARY_FILE = "summary.json"


def summarise(records: Sequence[dict]) -> dict:
    """The summary of some seeds.

    Args:
      records: what `SeedRun.run` returned for each, at least one.

    Returns:
      `main_metric` and its value for "best", "median" and "mean", over all seeds and over those that
      did not collapse (None if all did); `best_seed`, and all `seeds`.
    """
    metric = records[0]["main_metric"]
    values = {record["seed"]: record["splits"]["dev"][metric] for record in records}
    sound = [record["seed"] for record in records if record["collapse"] is None]
    return {
        "main_metric": metric,
        "dev": _middle(list(values.values())),
        "dev_without_collapsed": _middle([values[seed] for seed in sound]) if sound else None,
        "num_collapsed": len(records) - len(sound),
        "best_seed": max(sound or values, key=values.get),
        "seeds": list(records),
    }


def _middle(values: list[float]) -> dict[str, float]:
    return {
        "best": max(values),
        "median": statistics.median(values),
        "mean": statistics.fmean(values),
        "standard_deviation": statistics.stdev(values) if len(values) > 1 else 0.0,
    }


def describe(summary: dict) -> str:
    """A table of the seeds, and what they come to."""
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
    found, num_seeds = summary["dev"], len(summary["seeds"])
    line = (
        f"{num_seeds} seed{'s' * (num_seeds > 1)}, dev {metric}: best {found['best']:.4f}, median"
        f" {found['median']:.4f}, mean {found['mean']:.4f} ± {found['standard_deviation']:.4f}"
    )
    if summary["num_collapsed"]:
        line += f"; {summary['num_collapsed']} collapsed"
        if without := summary["dev_without_collapsed"]:
            line += f", without them median {without['median']:.4f}"
    return "\n".join([*lines, line])


def _title(split: str, metric: str) -> str:
    return f"{split} {metric}"


def compare(summaries: dict[str, dict]) -> str:
    """Means of several model directories, and by how much each is above the last, on every split."""
    *_, last = summaries
    metric = summaries[last]["main_metric"]
    width = max(map(len, summaries))
    lines = []
    for split in _common_splits(summaries.values()):
        values = {
            name: [seed["splits"][split][metric] for seed in summary["seeds"]]
            for name, summary in summaries.items()
        }
        for name, found in values.items():
            middle = _middle(found)
            line = (
                f"{split} {metric}  {name:<{width}}  mean {middle['mean']:.4f} ±"
                f" {middle['standard_deviation']:.4f} of {len(found)} seeds, from"
                f" {min(found):.4f} to {middle['best']:.4f}"
            )
            if name != last:
                margin = middle["mean"] - statistics.fmean(values[last])
                line += f"; {margin:+.4f} against {last}"
            lines.append(line)
    return "\n".join(lines)


def _common_splits(summaries) -> list[str]:
    """Splits on which every seed of every summary was scored."""
    scored = [set(seed["splits"]) for summary in summaries for seed in summary["seeds"]]
    return sorted(set.intersection(*scored))


def read_summary(model_dir: str) -> dict:
    """Reads back what `finetune.run` wrote; raises a UserError if it has not."""
    path = files.join(model_dir, SUMMARY_FILE)
    try:
        return json.loads(files.read_bytes(path))
    except FileNotFoundError:
        raise UserError(
            f"{model_dir} has no {SUMMARY_FILE}; `python -m finetune.run --model_dir {model_dir} ...`"
            " writes it when all seeds are through"
        ) from None
    except ValueError as error:
        raise UserError(f"{path} is damaged: {error}; delete it and run again") from error


def main(argv: Sequence[str]) -> None:
    """Parses the command line and prints."""
    parser = argparse.ArgumentParser(
        prog="python -m finetune.summary",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("model_dirs", nargs="+", metavar="M", help="made by finetune.run")
    args = parser.parse_args(argv)
    for model_dir in args.model_dirs:
        require_local("model directory", model_dir)
    summaries = {str(Path(path)): read_summary(path) for path in args.model_dirs}
    if len({summary["main_metric"] for summary in summaries.values()}) > 1:
        raise UserError("the model directories are of different tasks: their metrics differ")
    for path, summary in summaries.items():
        print(f"{path}\n{describe(summary)}\n")
    if len(summaries) > 1:
        print(compare(summaries))


if __name__ == "__main__":
    run_main(main)
