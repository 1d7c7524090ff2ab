r"""Fine-tune an encoder on a task, with one seed or several.

    python -m finetune.run --gin_file gin/finetune_mnli.gin --encoder E --task_data T --model_dir M \
        --restarts 3

Each seed is a run of its own in M/seed-N, with checkpoints, metrics.json, predictions/ and report.html.
M/summary.json has the scores of all seeds, M/export the best seed as a SavedModel that takes text. The
same command resumes an interrupted run.
"""

from __future__ import annotations

import argparse
import gc
import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from absl import logging

from data import files
from data.cli.main import run_main
from data.cli.parser import CommandParser
from data.errors import UserError
from finetune import recipe, summary
from finetune.config import FinetuneRunConfig
from finetune.export.publish import check_huggingface_dir, export_huggingface, export_seed
from finetune.pretrained import PretrainedEncoder, read_pretrained
from finetune.report.pages import write_report, write_seed_report
from finetune.tasks.registry import open_task
from launch.config import DISCARD_FLAG
from launch.strategy import build_strategy, device_kind, is_chief, is_multi_worker
from model.names import weights
from pretrain.checkpoints.warm_start import check_architecture, settings_of
from pretrain.export.load import local_copy
from pretrain.gin_files import add_gin_flags, load_run_config
from pretrain.train.recipe import check_settings, check_variables, describe_settings

if TYPE_CHECKING:
    import tensorflow as tf

    from finetune.seed_run import TaskData


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="python -m finetune.run",
        description=__doc__,
    )
    add_gin_flags(parser)
    parser.add_argument(
        "--encoder",
        required=True,
        metavar="E",
        help="an export, a SavedModel of TensorFlow Hub, a directory in Hugging Face's format,\n"
        "a TensorFlow checkpoint, or a model directory",
    )
    parser.add_argument(
        "--vocab_file", help="vocabulary of an encoder that comes without one (default: its own)"
    )
    parser.add_argument(
        "--task_data", required=True, metavar="T", help="directory with the task's files"
    )
    parser.add_argument(
        "--model_dir",
        metavar="M",
        help="directory for all output (no default, but --dry_run needs none)",
    )
    parser.add_argument(
        "--restarts",
        type=int,
        default=1,
        metavar="N",
        help="number of seeds to run, from TrainConfig.seed on; one that learns nothing is stopped\n"
        "early (default 1)",
    )
    parser.add_argument(
        "--hf_dir",
        metavar="H",
        help="write the best seed in Hugging Face's format, too (default: not)",
    )
    parser.add_argument(
        "--dry_run", action="store_true", help="print settings and recipe of the run, and exit"
    )
    parser.add_argument(
        DISCARD_FLAG,
        action="store_true",
        help="remove all checkpoints and results of these seeds and start at step 0",
    )
    return parser


def main(argv: Sequence[str]) -> None:
    """Parse the command line and run all seeds."""
    args = _parser().parse_args(argv)
    if not args.gin_file and not args.gin_param:
        raise UserError("there is nothing to run: give --gin_file, e.g. gin/finetune_mnli.gin")
    if args.restarts < 1:
        raise UserError(f"--restarts {args.restarts}: must be at least 1")
    if not args.model_dir and not args.dry_run:
        raise UserError("--model_dir is missing")
    if args.hf_dir:
        check_huggingface_dir(args.hf_dir)
    pretrained = read_pretrained(args.encoder, vocab_file=args.vocab_file)
    config = load_run_config(
        args.gin_file,
        args.gin_param,
        kind=FinetuneRunConfig,
        defaults=settings_of(pretrained.encoder),
        strict=args.strict_gin,
    )
    check_architecture(config.encoder, pretrained.encoder, where=args.encoder)
    _run(config, pretrained, args)


def _run(
    config: FinetuneRunConfig, pretrained: PretrainedEncoder, args: argparse.Namespace
) -> None:
    from finetune.seed_run import TaskData
    from pretrain.train.exits import exit_on_stop

    strategy = build_strategy(config.cluster)  # before any other use of the devices
    task = open_task(config.task, pretrained.vocab, lower_case=pretrained.lower_case)
    with local_copy("--task_data", args.task_data) as task_data_dir:
        data = TaskData.load(task, task_data_dir)
    config = recipe.resolve(
        config, num_examples=len(data.splits["train"]), has_pairs=data.has_pairs
    )
    replicas = strategy.num_replicas_in_sync
    check_settings(config.train, config.optimizer, replicas=replicas)
    recipe.choose_kernels(config, device=device_kind(strategy))  # for its errors
    # Patterns of published recipes may match variables of the pretraining head only.
    of_pretraining = [weight.name for weight in weights(config.encoder)]
    check_variables(config.optimizer, recipe.variable_names(config.encoder, task) + of_pretraining)
    if is_chief(strategy):
        if args.dry_run:
            print(describe_settings(config))
        description = recipe.describe(
            config,
            task=task,
            splits=data.splits,
            encoder=pretrained.description,
            initialized=recipe.starting_weights(config, list(pretrained.values)),
            replicas=replicas,
        )
        print(description, flush=True)
    if args.dry_run:
        return
    with exit_on_stop("fine-tuning", is_multi_worker=is_multi_worker(strategy)):
        records = [
            _run_seed(config, seed, data, pretrained, strategy, args)
            for seed in range(config.train.seed, config.train.seed + args.restarts)
        ]
    if is_chief(strategy):
        records += _earlier_records(config, {r["seed"] for r in records}, data, pretrained, args)
        best_dir = _write_results(
            sorted(records, key=lambda record: record["seed"]), args.model_dir
        )
        if args.hf_dir:
            export_huggingface(best_dir, args.hf_dir)
            print(f"fine-tuning: {best_dir} in Hugging Face's format in {args.hf_dir}")


def _run_seed(
    config: FinetuneRunConfig,
    seed: int,
    data: TaskData,
    pretrained: PretrainedEncoder,
    strategy: tf.distribute.Strategy,
    args: argparse.Namespace,
) -> dict[str, Any]:
    """Return the content of metrics.json of one seed, which is trained unless it is finished."""
    from finetune.seed_run import SeedRun, read_finished, score_text

    config = recipe.with_seed(config, seed)
    model_dir = files.join(args.model_dir, f"seed-{seed}")
    record = None
    if not args.discard_checkpoints:
        record = read_finished(config, data, pretrained, model_dir=model_dir)
    if record is None:
        run = SeedRun(
            config,
            data,
            pretrained,
            strategy=strategy,
            model_dir=model_dir,
            write_report=write_seed_report,
            discard_checkpoints=args.discard_checkpoints,
        )
        record = run.run()
        del run
        gc.collect()  # frees the variables, whose memory the next seed needs
    if is_chief(strategy):
        print(f"fine-tuning: seed {seed}, step {record['step']:,}", end="")
        print(f", dev: {score_text(record['splits']['dev'])}", flush=True)
        if record["collapse"]:
            logging.warning(
                f"fine-tuning: seed {seed} has collapsed: {record['collapse']['reason']}"
            )
    return record


def _earlier_records(
    config: FinetuneRunConfig,
    seeds: set[int],
    data: TaskData,
    pretrained: PretrainedEncoder,
    args: argparse.Namespace,
) -> list[dict[str, Any]]:
    """Return the records of other seeds that were run earlier with the same settings."""
    from finetune.seed_run import read_finished

    records = []
    for name in files.list_dir(args.model_dir):
        match = re.fullmatch(r"seed-(-?\d{1,18})", name)
        if match and (seed := int(match[1])) not in seeds:
            model_dir = files.join(args.model_dir, name)
            record = read_finished(
                recipe.with_seed(config, seed), data, pretrained, model_dir=model_dir
            )
            records += [record] if record else []
    return records


def _write_results(records: list[dict[str, Any]], model_dir: str) -> str:
    """Write the summary, the report and the export of the best seed; return its model directory.

    Raises:
      UserError: all seeds collapsed and were stopped; there is no export then.
    """
    of_seeds = summary.summarize(records)
    text = json.dumps(of_seeds, indent=1)
    files.write_atomically(files.join(model_dir, summary.SUMMARY_FILE), text.encode())
    print(summary.describe(of_seeds), flush=True)
    write_report(model_dir, of_seeds)
    best = next(record for record in records if record["seed"] == of_seeds["best_seed"])
    if of_seeds["num_collapsed"] == len(records):
        seeds = f"all {len(records)} seeds" if len(records) > 1 else "the seed"
        remedy = (
            f"{seeds} collapsed; try more --restarts, another OptimizerConfig.peak_learning_rate or a"
            " larger FinetuneConfig.warmup_fraction"
        )
        if not summary.is_finished(best):
            raise UserError(
                f"{remedy}; FinetuneConfig.collapse_check_fraction = 0.0 trains to the end"
            )
        logging.warning(f"fine-tuning: seed {best['seed']} is exported, but {remedy}")
    best_dir = files.join(model_dir, f"seed-{best['seed']}")
    export_dir = files.join(model_dir, "export")
    export_seed(best_dir, export_dir)
    print(
        f"fine-tuning: {summary.SUMMARY_FILE} and report.html in {model_dir}, seed"
        f" {of_seeds['best_seed']} as a SavedModel in {export_dir}"
    )
    return best_dir


if __name__ == "__main__":
    run_main(main)
