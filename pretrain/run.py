"""Pretrain an encoder on a build.

    python -m pretrain.run --gin_file gin/lambert_large.gin --data_dir D --model_dir M

The same command resumes a stopped run from its newest checkpoint. On a preemption notice (SIGTERM,
or the metadata server of Google Cloud) the run saves and ends with exit code 42.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from data.cli.main import run_main
from data.cli.parser import CommandParser
from data.errors import UserError
from data.files import is_remote
from data.manifest import Manifest
from data.storage.staging import stage
from launch.config import DISCARD_FLAG, LaunchConfig
from pretrain.checkpoints.catalog import committed
from pretrain.checkpoints.warm_start import WarmStart
from pretrain.config import RunConfig
from pretrain.gin_files import add_gin_flags, load_run_config
from pretrain.recipe import describe, resolve
from pretrain.train.recipe import check_settings, check_variables, describe_settings

if TYPE_CHECKING:
    from pretrain.experiment import Experiment


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="python -m pretrain.run",
        description=__doc__,
    )
    add_gin_flags(parser)
    parser.add_argument(
        "--data_dir",
        help="a build made by data.build, on a disk or in a bucket (no default; optional for --dry_run)",
    )
    parser.add_argument(
        "--scratch_dir",
        default=LaunchConfig.scratch_dir,
        metavar="S",
        help="folder on a local disk, to which a build in a bucket is copied (default %(default)s)",
    )
    parser.add_argument(
        "--model_dir",
        help="checkpoints, metrics and settings of the run (no default, but --dry_run needs none)",
    )
    parser.add_argument(
        "--mode",
        choices=("train", "eval", "train_and_eval"),
        default="train_and_eval",
        help="whether to train, to evaluate the held-out text, or both",
    )
    parser.add_argument(
        "--dry_run", action="store_true", help="print settings and recipe of the run, and exit"
    )
    parser.add_argument(
        DISCARD_FLAG,
        action="store_true",
        help="remove all checkpoints of the model directory and start at step 0",
    )
    return parser


def main(argv: Sequence[str]) -> None:
    """Parse the command line and run."""
    args = _parser().parse_args(argv)
    if not args.gin_file and not args.gin_param:
        raise UserError("there is nothing to run: give --gin_file, e.g. gin/lambert_large.gin")
    warm_start = WarmStart.load(args.model_dir) if args.model_dir else None
    defaults = warm_start.settings() if warm_start else []
    config = load_run_config(
        args.gin_file, args.gin_param, kind=RunConfig, defaults=defaults, strict=args.strict_gin
    )
    if args.dry_run:
        _dry_run(config, Manifest.load(args.data_dir) if args.data_dir else None, warm_start)
        return
    for name in ("data_dir", "model_dir"):
        if not getattr(args, name):
            raise UserError(f"--{name} is missing")
    if args.mode == "eval":
        _require_weights(args, warm_start)
    data_dir = args.data_dir
    if is_remote(data_dir):
        data_dir = stage(data_dir, args.scratch_dir, setting="--scratch_dir")
    # These import TensorFlow: report wrong settings before it loads.
    from pretrain.experiment import Experiment
    from pretrain.train.exits import exit_on_stop

    with exit_on_stop("pretraining", is_multi_worker=False):
        experiment = Experiment(
            config,
            data_dir=data_dir,
            model_dir=args.model_dir,
            record=args.mode != "eval",
            discard_checkpoints=args.discard_checkpoints,
        )
    with exit_on_stop("pretraining", is_multi_worker=experiment.is_multi_worker), experiment:
        _run(experiment, args.mode)
    print(
        f"pretraining: checkpoints, metrics, TensorBoard files and report.html in {args.model_dir}"
    )


def _require_weights(args: argparse.Namespace, warm_start: WarmStart | None) -> None:
    if args.discard_checkpoints:
        raise UserError(
            f"{DISCARD_FLAG} starts training at step 0, but --mode eval does not train; leave one of"
            " them out"
        )
    if not committed(args.model_dir) and warm_start is None:
        raise UserError(f"--model_dir {args.model_dir} has no checkpoint to evaluate; train first")


def _run(experiment: Experiment, mode: str) -> None:
    trained = False
    if mode != "eval":
        experiment.print_recipe()
        trained = experiment.train(evaluate=mode == "train_and_eval")
    if mode == "eval" or (mode == "train_and_eval" and not trained and experiment.has_eval_split):
        print(f"pretraining: after {experiment.step:,} steps, {experiment.evaluate()[1]}")


def _dry_run(config: RunConfig, manifest: Manifest | None, warm_start: WarmStart | None) -> None:
    if warm_start and manifest:
        warm_start.check_data(manifest)
    config = resolve(config, manifest) if manifest else config
    if warm_start:
        warm_start.check_encoder(config.encoder)
    check_settings(config.train, config.optimizer)
    from model.mlm import variable_names  # imports TensorFlow

    trained = variable_names(config.encoder)
    check_variables(config.optimizer, trained)
    print(describe_settings(config))
    print(describe(config, manifest, trained=trained))


if __name__ == "__main__":
    run_main(main)
