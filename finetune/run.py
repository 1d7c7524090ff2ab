r"""Fine-tunes an encoder on a task, with one seed or several.

    python -m finetune.run --gin_file gin/finetune_mnli.gin --encoder E --task_data T --model_dir M \
        --restarts 3

Every seed is a run of its own in M/seed-N, with checkpoints, metrics.json, predictions/ and
report.html. M/summary.json has what all of them scored, M/export the best one as a SavedModel that takes
text. Stopped and started again with the same command, it goes on where it was.
"""

from __future__ import annotations

import argparse
import gc
import json
import re
from collections.abc import Sequence

from data import files
from data.errors import UserError, run_main
from data.files import require_local
from finetune import recipe, summary
from finetune.config import FinetuneRunConfig
from finetune.source import Source, read_source
from finetune.tasks.registry import open_task
from launch.config import DISCARD_FLAG
from model.names import weights
from pretrain.checkpoints.warm_start import check_architecture, settings_of
from pretrain.gin_files import add_gin_flags, load_run_config
from pretrain.train.recipe import check_settings, check_variables, describe_settings


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m finetune.run",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    add_gin_flags(parser)
    parser.add_argument(
        "--encoder",
        required=True,
        metavar="E",
        help="an export, a SavedModel of TensorFlow Hub, a directory in Hugging Face's format,\n"
        "a TensorFlow checkpoint, or a model directory",
    )
    parser.add_argument("--vocab_file", help="of an encoder that has no vocabulary beside it")
    parser.add_argument("--task_data", required=True, metavar="T", help="the files of the task")
    parser.add_argument("--model_dir", metavar="M", help="everything that comes out")
    parser.add_argument(
        "--restarts",
        type=int,
        default=1,
        metavar="N",
        help="seeds to run: TrainConfig.seed and those that follow; one that learns nothing is given\n"
        "up, and the next one taken (default 1)",
    )
    parser.add_argument(
        "--dry_run", action="store_true", help="print settings and recipe of the run, and stop"
    )
    parser.add_argument(
        DISCARD_FLAG,
        action="store_true",
        help="remove all checkpoints and results of these seeds and start at step 0",
    )
    return parser


def main(argv: Sequence[str]) -> None:
    """Parses the command line and runs."""
    args = _parser().parse_args(argv)
    if not args.gin_file and not args.gin_param:
        raise UserError("there is nothing to run: give --gin_file, e.g. gin/finetune_mnli.gin")
    if args.restarts < 1:
        raise UserError(f"--restarts {args.restarts}: must be at least 1")
    if not args.model_dir and not args.dry_run:
        raise UserError("--model_dir is missing")
    for name in ("task_data", "encoder"):
        require_local(f"--{name}", getattr(args, name))
    source = read_source(args.encoder, vocab_file=args.vocab_file)
    config = load_run_config(
        args.gin_file,
        args.gin_param,
        kind=FinetuneRunConfig,
        defaults=settings_of(source.encoder),
        strict=args.strict_gin,
    )
    check_architecture(config.encoder, source.encoder, where=args.encoder)
    _run(config, source, args)


def _run(config: FinetuneRunConfig, source: Source, args: argparse.Namespace) -> None:
    from finetune.seed_run import TaskData
    from launch.strategy import build_strategy, is_chief
    from pretrain.train.exits import ends
    from pretrain.train.trainer import is_multi_worker

    strategy = build_strategy(config.cluster)  # before any other use of the devices
    task = open_task(config.task, source.vocab, lower_case=source.lower_case)
    data = TaskData.load(task, args.task_data)
    config = recipe.resolve(config, num_examples=len(data.splits["train"]))
    replicas = strategy.num_replicas_in_sync
    check_settings(config.train, config.optimizer, replicas=replicas)
    # The published lists name LayerNorms as the head of pretraining does, too.
    pretrained = [weight.name for weight in weights(config.encoder)]
    check_variables(config.optimizer, recipe.variable_names(config.encoder, task) + pretrained)
    if is_chief(strategy):
        started = recipe.starting_weights(config, list(source.values))
        described = {"splits": data.splits, "origin": source.origin, "started": started}
        if args.dry_run:
            print(describe_settings(config))
        print(recipe.describe(config, task=task, **described, replicas=replicas), flush=True)
    if args.dry_run:
        return
    with ends("fine-tuning", is_multi_worker=is_multi_worker(strategy)):
        records = [
            _run_seed(config, seed, data, source, strategy, args)
            for seed in range(config.train.seed, config.train.seed + args.restarts)
        ]
    if is_chief(strategy):
        records += _records_of_others(config, {r["seed"] for r in records}, data, source, args)
        _conclude(sorted(records, key=lambda record: record["seed"]), args.model_dir)


def _run_seed(config, seed: int, data, source: Source, strategy, args) -> dict:
    """What one seed scored, trained now or earlier."""
    from finetune.report.pages import write_seed_report
    from finetune.seed_run import SeedRun, finished, score_text
    from launch.strategy import is_chief

    config = recipe.with_seed(config, seed)
    model_dir = files.join(args.model_dir, f"seed-{seed}")
    record = None
    if not args.discard_checkpoints:
        record = finished(config, data, source, model_dir=model_dir)
    if record is None:
        run = SeedRun(
            config,
            data,
            source,
            strategy=strategy,
            model_dir=model_dir,
            write_report=write_seed_report,
            discard_checkpoints=args.discard_checkpoints,
        )
        record = run.run()
        del run
        gc.collect()  # its variables: the next seed needs their memory
    if is_chief(strategy):
        print(f"fine-tuning: seed {seed}, step {record['step']:,}", end="")
        print(f", dev: {score_text(record['splits']['dev'])}", flush=True)
        if record["collapse"]:
            print(f"fine-tuning: seed {seed} has collapsed: {record['collapse']['reason']}")
    return record


def _records_of_others(config, seeds: set[int], data, source: Source, args) -> list[dict]:
    """What seeds scored that earlier starts ran with the same settings: a summary forgets none."""
    from finetune.seed_run import finished

    found = []
    for name in files.list_dir(args.model_dir):
        match = re.fullmatch(r"seed-(-?\d+)", name)
        if match and (seed := int(match[1])) not in seeds:
            model_dir = files.join(args.model_dir, name)
            record = finished(recipe.with_seed(config, seed), data, source, model_dir=model_dir)
            found += [record] if record else []
    return found


def _conclude(records: list[dict], model_dir: str) -> None:
    """Writes the summary, the report and the export of the best seed.

    Raises:
      UserError: all seeds collapsed, so there is nothing worth exporting.
    """
    from finetune.export.publish import export_seed
    from finetune.report.pages import write_report

    found = summary.summarise(records)
    text = json.dumps(found, indent=1)
    files.write_atomically(files.join(model_dir, summary.SUMMARY_FILE), text.encode())
    print(summary.describe(found), flush=True)
    write_report(model_dir, found)
    if found["num_collapsed"] == len(records):
        seeds = f"all {len(records)} seeds" if len(records) > 1 else "the seed"
        raise UserError(
            f"{seeds} collapsed; try more --restarts, another"
            " OptimizerConfig.peak_learning_rate or a larger FinetuneConfig.warmup_fraction"
        )
    best_dir = files.join(model_dir, f"seed-{found['best_seed']}")
    export_dir = files.join(model_dir, "export")
    export_seed(best_dir, export_dir)
    print(
        f"fine-tuning: {summary.SUMMARY_FILE} and report.html in {model_dir}, seed"
        f" {found['best_seed']} as a SavedModel in {export_dir}"
    )


if __name__ == "__main__":
    run_main(main)
