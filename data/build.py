r"""Builds the training data: text in, packed sequences and masked copies out.

    python -m data.build --gin_file gin/data_demo.gin --wiki 'dumps/*.bz2' --books 'books/*.txt' \
        --vocab_file vocab.txt --output_dir build

Arguments this program does not know are Beam options, e.g. --direct_num_workers=4
--direct_running_mode=multi_processing.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import hashlib
import itertools
import logging
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from data import build_dir, files, schema
from data.config import BuildConfig
from data.errors import UserError, run_main
from data.manifest import Manifest, versions
from data.sources.documents import InputFile, find_inputs
from data.sources.formats import (
    FORMATS,
    GLOB_FLAG,
    Unit,
    add_format_flags,
    find_flagged_inputs,
    format_flags,
    plan_units,
)
from data.stages.contamination import NgramFilter
from data.stages.journal import NGRAM_FILE, UNITS, WORKERS_LOG
from data.stages.runner import ProgressBar, errors_for_people, pipeline_options, quiet_workers
from data.storage.sequence_sources import check_sources
from data.vocab import Vocab

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

    from data.pipeline import BuildPlan

DECONTAMINATE = "decontaminate"  # the kind of the evaluation files among the inputs


@dataclasses.dataclass(frozen=True, kw_only=True)
class BuildJob:
    """A build that is asked for.

    Attributes:
      config: what to build.
      vocab: its pieces give the token ids.
      inputs: the files to read, those of kind DECONTAMINATE to compare with.
      output_dir: where the build goes.
      beam_args: options for Beam; the runner defaults to FnApiRunner.
    """

    config: BuildConfig
    vocab: Vocab
    inputs: Sequence[InputFile]
    output_dir: str
    beam_args: Sequence[str] = ()

    def __post_init__(self):
        inputs = sorted(self.inputs, key=lambda file: (file.kind, file.name))
        _refuse_equal_names(inputs)
        check_sources(file.kind for file in inputs if file.kind != DECONTAMINATE)
        object.__setattr__(self, "inputs", tuple(inputs))

    @functools.cached_property
    def units(self) -> list[Unit]:
        """The division of the text among tasks."""
        return plan_units(file for file in self.inputs if file.kind != DECONTAMINATE)

    @functools.cached_property
    def options(self) -> PipelineOptions:
        """Beam's options, checked."""
        paths = [file.path for file in self.inputs]
        return pipeline_options(self.beam_args, output_dir=self.output_dir, paths=paths)

    def plan(self) -> BuildPlan:
        """What the workers need to know."""
        from data.pipeline import BuildPlan

        return BuildPlan(
            config=self.config,
            vocab=self.vocab,
            output_dir=self.output_dir,
            num_units=len(self.units),
        )

    def manifest(self) -> Manifest:
        """What can be said of the build before it is made."""
        units_hash = hashlib.sha256(repr(self.units).encode()).hexdigest()
        return Manifest.planned(
            config=self.config,
            vocab=self.vocab,
            inputs=list(map(_describe, self.inputs)),
            made_by={**versions(), UNITS: units_hash},
        )


def build(**job) -> Manifest:
    """Runs the build, or returns the manifest of the same build if it is there already.

    Args:
      **job: the fields of BuildJob.

    Raises:
      UserError: output_dir holds another build, an input is damaged, or the result would be unsound.
    """
    job = BuildJob(**job)
    options, asked = job.options, job.manifest()
    if files.exists(files.join(job.output_dir, schema.MANIFEST_FILE)):
        manifest = Manifest.load(job.output_dir)
        manifest.check_same_build(job.output_dir, asked)
        print(f"data: {job.output_dir} is built already")
    else:
        contaminated = NgramFilter.from_files(
            [file for file in job.inputs if file.kind == DECONTAMINATE]
        )
        build_dir.begin_or_resume(job.output_dir, asked, job.vocab)
        contaminated.save(files.join(job.output_dir, NGRAM_FILE))
        _run(job, options)
        manifest = Manifest.load(job.output_dir)
    build_dir.remove_leftovers(job.output_dir)
    return manifest


def _run(job: BuildJob, options: PipelineOptions) -> None:
    import apache_beam as beam

    from data.pipeline import BuildCorpus

    plan = job.plan()
    with contextlib.ExitStack() as stack:
        stack.enter_context(errors_for_people(job.output_dir))
        if not files.is_remote(job.output_dir):
            terminal = stack.enter_context(quiet_workers(files.join(job.output_dir, WORKERS_LOG)))
            stack.enter_context(ProgressBar(plan.journal, plan.num_tasks, terminal))
        pipeline = stack.enter_context(beam.Pipeline(options=options))
        pipeline | "BuildCorpus" >> BuildCorpus(plan, job.units)


def dry_run(**job) -> None:
    """Makes the job of a build and checks it, as far as that goes without running anything.

    For Dataflow this includes the translation of the job; nothing is uploaded or submitted.

    Args:
      **job: the fields of BuildJob.

    Raises:
      UserError: as `build`, for what can be known beforehand.
    """
    import apache_beam as beam

    from data.pipeline import BuildCorpus

    job = BuildJob(**job)
    plan = job.plan()
    pipeline = beam.Pipeline(options=job.options)
    pipeline | "BuildCorpus" >> BuildCorpus(plan, job.units)
    num_transforms = len(pipeline.to_runner_api().components.transforms)
    if "DataflowRunner" in job.options.get_all_options()["runner"]:
        pipeline.run()  # stops before it would submit
    num_bytes = sum(file.num_bytes for file in job.inputs)
    print(
        f"data: dry run: {len(job.inputs)} files of {num_bytes:,} bytes, {plan.num_tasks} tasks"
        f" ({plan.num_units} of them read), {num_transforms} transforms; nothing was run"
    )


def _describe(file: InputFile) -> dict:
    """How the manifest names an input. What lies in a bucket is not read twice for its hash."""
    sha256 = None if files.is_remote(file.path) else files.sha256_of(file.path)
    return {"kind": file.kind, "name": file.name, "bytes": file.num_bytes, "sha256": sha256}


def _refuse_equal_names(inputs: Sequence[InputFile]) -> None:
    """A document is known by its file's name: two equal ones would be one document."""
    seen: dict[tuple[str, str], str] = {}
    for file in inputs:
        path = file.path if files.is_remote(file.path) else os.path.realpath(file.path)
        if (file.kind, path) in seen:
            first = seen[file.kind, path]
            raise UserError(f"{first} and {file.path} are the same file; give it once")
        seen[file.kind, path] = file.path
    for previous, file in itertools.pairwise(inputs):
        if (previous.kind, previous.name) == (file.kind, file.name):
            raise UserError(
                f"{previous.path} and {file.path} have the same name, {file.name}; rename one,"
                " or give one glob that holds both folders"
            )


def summary(manifest: Manifest) -> str:
    """One line on what a build holds."""
    parts = []
    for split in schema.SPLITS:
        shards = manifest.split(split)
        documents = sum(shard.documents for shard in shards)
        tokens = sum(shard.tokens for shard in shards)
        parts.append(
            f"{split}: {documents:,} documents, {tokens:,} tokens,"
            f" {manifest.num_sequences(split):,} sequences"
        )
    tokens = sum(shard.tokens for shard in manifest.shards)
    unknown = sum(shard.unknown_tokens for shard in manifest.shards) / tokens
    parts += [
        f"{manifest.config.copies} masked copies",
        f"{unknown:.2%} of the tokens unknown",
        f"{manifest.rejected} documents refused",
    ]
    return "; ".join(parts)


def verify(directory: str) -> Manifest:
    """Compares every file of a build with the manifest.

    Raises:
      UserError: naming the first file that differs.
    """
    from tqdm import tqdm

    manifest = Manifest.load(directory)
    manifest.load_vocab(directory)
    num_bytes = sum(file.bytes for file in manifest.files)
    with tqdm(total=num_bytes, unit="B", unit_scale=True, desc="verifying", disable=None) as bar:
        for file in manifest.files:
            file.check_content(directory)
            bar.update(file.bytes)
    print(f"data: {directory} is whole: {len(manifest.files)} files, {num_bytes:,} bytes")
    return manifest


def main(argv: Sequence[str]) -> None:
    """Parses the command line and builds."""
    # Beam logs what it misses for clouds, and the stack of every error that we report in one line.
    logging.getLogger().setLevel(logging.CRITICAL)
    args, beam_args = _parse(argv)
    if args.verify:
        print(f"data: {summary(verify(args.verify))}")
        return
    for flag in ("vocab_file", "output_dir"):
        if getattr(args, flag) is None:
            raise UserError(f"--{flag} is missing; see --help")
    if not any(getattr(args, kind) for kind in FORMATS):
        raise UserError(f"there is nothing to build from: give {format_flags()}")

    from pretrain.gin_files import load_config

    (config,) = load_config(args.gin_file, args.gin_param, BuildConfig, strict=args.strict_gin)
    inputs = find_flagged_inputs(args)
    inputs += [file for glob in args.decontaminate for file in find_inputs(DECONTAMINATE, glob)]
    arguments = dict(
        config=config,
        vocab=Vocab.load(args.vocab_file),
        inputs=inputs,
        output_dir=args.output_dir,
        beam_args=beam_args,
    )
    if args.dry_run:
        dry_run(**arguments)
        return
    manifest = build(**arguments)
    print(f"data: {summary(manifest)}")
    if manifest.rejected:
        print(f"data: {args.output_dir}/{schema.REJECTS_FILE} says which and why")
    print(f"data: in {args.output_dir}; look at it with `python -m data.view {args.output_dir}`")


def _parse(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    from pretrain.gin_files import add_gin_flags

    parser = argparse.ArgumentParser(
        prog="python -m data.build",
        allow_abbrev=False,
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    add_gin_flags(parser)
    add_format_flags(parser)
    parser.add_argument(
        "--decontaminate",
        help="evaluation files; paragraphs that share 13 words in a row with them are left out",
        **GLOB_FLAG,
    )
    parser.add_argument(
        "--vocab_file", help="one piece a line; learn one with `python -m data.vocab`"
    )
    parser.add_argument("--output_dir", help="run again after an interruption: it goes on")
    parser.add_argument("--verify", metavar="D", help="compare every file of a build with its sums")
    parser.add_argument("--dry_run", action="store_true", help="make the job, but do not run it")
    args, beam_args = parser.parse_known_args(argv)
    if args.dry_run:
        beam_args.append("--dry_run=True")  # an option of Beam's Dataflow runner too
    return args, beam_args


if __name__ == "__main__":
    run_main(main)
