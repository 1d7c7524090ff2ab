"""Read the input of a plan: the settings of a run, its data, and the machines."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Sequence

from data.config import BuildConfig
from data.errors import UserError
from data.manifest import Manifest
from launch.accelerators.gpus import GPUS, Numbers
from launch.accelerators.machines import Accelerator, of_job, parse
from launch.config import LaunchConfig
from pretrain.config import RunConfig
from pretrain.gin_files import load_config
from pretrain.recipe import resolve


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlanInput:
    """Input of a plan.

    Attributes:
      run: settings of the run; vocab_size is known.
      build: settings of its data.
      sequences: sequences of the training split; None if not known.
      accelerator: machines of the job.
    """

    run: RunConfig
    build: BuildConfig
    sequences: int | None
    accelerator: Accelerator


def load_plan_input(
    *,
    gin_files: Sequence[str],
    gin_params: Sequence[str],
    strict: bool,
    accelerator: str | None,
    numbers: Numbers | None = None,
    data_dir: str | None,
    sequences: int | None = None,
) -> PlanInput:
    """Return the input that a command line describes.

    Args:
      gin_files: see `load_config`.
      gin_params: see `load_config`.
      strict: see `load_config`.
      accelerator: name of the machines; None takes those of LaunchConfig.
      numbers: figures of the GPUs that `accelerator` names.
      data_dir: build whose sequences, lengths and vocabulary are used; None takes those of BuildConfig.
      sequences: training sequences of a build that does not exist yet.

    Raises:
      UserError: settings contradict each other or the data, or there are no figures for the machines.
    """
    parts = typing.get_type_hints(RunConfig)
    *loaded, build, job = load_config(
        gin_files, gin_params, *parts.values(), BuildConfig, LaunchConfig, strict=strict
    )
    run = RunConfig(**dict(zip(parts, loaded, strict=True)))
    if numbers and numbers != Numbers() and not accelerator:
        raise UserError(
            "--tflops and the other numbers describe GPUs: name them with --accelerator, such as l40sx8"
        )
    machines = parse(accelerator, numbers=numbers) if accelerator else of_job(job)
    if machines is None:
        raise UserError(
            f"LaunchConfig.accelerator={job.accelerator!r}: there are no figures for it; give"
            f" --accelerator with the nearest machines, such as h100x16 ({', '.join(GPUS)})"
        )
    if data_dir:
        if sequences is not None:
            raise UserError(
                f"--sequences {sequences} and --data_dir {data_dir}: the build has its own number of"
                " sequences; give only one of them"
            )
        manifest = Manifest.load(data_dir)
        run, build = resolve(run, manifest), manifest.config
        sequences = manifest.num_sequences("train")
    _check(run, build, sequences)
    return PlanInput(run=run, build=build, sequences=sequences, accelerator=machines)


def _check(run: RunConfig, build: BuildConfig, sequences: int | None) -> None:
    if not run.encoder.vocab_size:
        raise UserError(
            "EncoderConfig.vocab_size=0 takes the vocabulary of the data: give --data_dir, or"
            " --gin_param EncoderConfig.vocab_size=30522"
        )
    if build.max_seq_length > run.encoder.max_position_embeddings:
        raise UserError(
            f"BuildConfig.max_seq_length={build.max_seq_length} is more than"
            f" EncoderConfig.max_position_embeddings={run.encoder.max_position_embeddings}"
        )
    if sequences is not None and sequences < 1:
        raise UserError(f"--sequences {sequences}: must be at least 1")
