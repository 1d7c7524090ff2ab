r"""Build the training data: from text to packed sequences and masked copies.

    python -m data.build --gin_file gin/data_demo.gin --wiki 'dumps/*.bz2' --books 'books/*.txt' \
        --vocab_file vocab.txt --output_dir build

Other arguments are options of Beam, such as --runner=FlinkRunner.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from absl import logging

from data import build_dir, files, schema
from data.cli.main import run_main
from data.cli.parser import CommandParser
from data.cli.workers import add_workers_flag
from data.config import BuildConfig
from data.errors import UserError
from data.manifest import Manifest, versions
from data.sources.documents import TEXT_FIELD, InputFile, check_distinct, find_inputs
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
from data.stages.corpus_checks import warnings_about
from data.stages.journal import NGRAM_FILE, PLAN_FILE, WORKERS_LOG, unit_keys
from data.stages.masking import MaskingRule
from data.stages.runner import (
    BuildProgress,
    check_flags,
    check_prism,
    pipeline_options,
    quiet_workers,
    readable_beam_errors,
    worker_flags,
)
from data.storage.sequence_sources import check_sources
from data.storage.structure import check_structure
from data.vocab import Vocab
from pretrain.gin_files import add_gin_flags, load_config

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

    from data.pipeline import BuildPlan

DECONTAMINATE = "decontaminate"  # kind of the inputs that are evaluation files


@dataclasses.dataclass(frozen=True, kw_only=True)
class BuildJob:
    """A requested build.

    Attributes:
      config: settings of the build.
      vocab: vocabulary for the token ids.
      inputs: files to build from, and evaluation files of kind DECONTAMINATE.
      output_dir: build directory.
      beam_args: Beam options; the runner defaults to FnApiRunner.
    """

    config: BuildConfig
    vocab: Vocab
    inputs: Sequence[InputFile]
    output_dir: str
    beam_args: Sequence[str] = ()

    def __post_init__(self) -> None:
        inputs = sorted(self.inputs, key=lambda file: (file.kind, file.name))
        check_distinct(inputs)
        _check_names(inputs)
        check_sources(file.kind for file in inputs if file.kind != DECONTAMINATE)
        MaskingRule.create(self.config, self.vocab)  # raises if no scheme has these settings
        object.__setattr__(self, "inputs", tuple(inputs))

    @functools.cached_property
    def units(self) -> list[Unit]:
        """Units of input, one for each task of the first stage."""
        return plan_units(file for file in self.inputs if file.kind != DECONTAMINATE)

    @functools.cached_property
    def options(self) -> PipelineOptions:
        """Beam's options, checked."""
        paths = [file.path for file in self.inputs]
        check_prism(self.beam_args)
        return pipeline_options(self.beam_args, output_dir=self.output_dir, paths=paths)

    def plan(self, units: Sequence[str]) -> BuildPlan:
        """Return what workers need, given the names of the units."""
        from data.pipeline import BuildPlan

        return BuildPlan(
            config=self.config,
            vocab=self.vocab,
            output_dir=self.output_dir,
            units=tuple(units),
            made_by=versions(),
        )

    def manifest(self, *, with_hashes: bool) -> Manifest:
        """Return the manifest of the build before it has begun; the hashes of inputs take time."""
        return Manifest.planned(
            config=self.config,
            vocab=self.vocab,
            inputs=[_describe(file, with_hash=with_hashes) for file in self.inputs],
            made_by=versions(),
        )


def build(**fields: Any) -> Manifest:
    """Run a build, or return its manifest if it is finished.

    Args:
      **fields: fields of BuildJob.

    Raises:
      UserError: output_dir holds another build, an input is damaged, or a check of
        data.stages.corpus_checks fails.
    """
    job = BuildJob(**fields)
    options = job.options
    with build_dir.lock(job.output_dir):
        build_dir.check(job.output_dir, job.manifest(with_hashes=False), job.vocab)
        return _build(job, options)


def _build(job: BuildJob, options: PipelineOptions) -> Manifest:
    contaminated = NgramFilter.from_files(
        [file for file in job.inputs if file.kind == DECONTAMINATE]
    )
    requested = job.manifest(with_hashes=True)
    if files.exists(files.join(job.output_dir, schema.MANIFEST_FILE)):
        manifest = Manifest.load(job.output_dir)
        manifest.check_same_build(job.output_dir, requested)
        print(f"data: {job.output_dir} is already built")
    else:
        build_dir.begin_or_resume(job.output_dir, requested, job.vocab)
        contaminated.save(files.join(job.output_dir, NGRAM_FILE))
        names = unit_keys(job.units, requested=requested, contaminated=contaminated.sha256)
        _run(job, job.plan(names), options)
        manifest = Manifest.load(job.output_dir)
    build_dir.remove_leftovers(job.output_dir, manifest)
    return manifest


def _run(job: BuildJob, plan: BuildPlan, options: PipelineOptions) -> None:
    import apache_beam as beam

    from data.pipeline import BuildCorpus

    with contextlib.ExitStack() as stack:
        stack.enter_context(readable_beam_errors(job.output_dir))
        if not files.is_remote(job.output_dir):
            stack.enter_context(quiet_workers(files.join(job.output_dir, WORKERS_LOG)))
        stack.enter_context(BuildProgress(plan.journal, plan.tasks(job.units)))
        pipeline = stack.enter_context(beam.Pipeline(options=options))
        pipeline | "BuildCorpus" >> BuildCorpus(plan, job.units)


def dry_run(**fields: Any) -> None:
    """Construct the pipeline of a build and check it without running it.

    For Dataflow the job is translated too, but nothing is uploaded or submitted.

    Args:
      **fields: fields of BuildJob.

    Raises:
      UserError: a setting, an option or an input is wrong.
    """
    import apache_beam as beam

    from data.pipeline import BuildCorpus

    job = BuildJob(**fields)
    plan = job.plan([f"{index}" for index in range(len(job.units))])
    pipeline = beam.Pipeline(options=job.options)
    pipeline | "BuildCorpus" >> BuildCorpus(plan, job.units)
    num_transforms = len(pipeline.to_runner_api().components.transforms)
    if "DataflowRunner" in job.options.get_all_options()["runner"]:
        pipeline.run()  # with --dry_run this stops before the submission
    num_bytes = sum(file.num_bytes for file in job.inputs)
    num_tasks = sum(map(len, plan.tasks(job.units).values()))
    print(
        f"data: dry run: {len(job.inputs)} files of {num_bytes:,} bytes, {num_tasks} tasks"
        f" ({len(plan.units)} of them read), {num_transforms} transforms; nothing was run"
    )


def _describe(file: InputFile, *, with_hash: bool) -> dict[str, Any]:
    """Return the manifest entry of an input. Remote files have no hash: it would cost a second read."""
    has_hash = with_hash and not files.is_remote(file.path)
    sha256 = files.sha256_of(file.path) if has_hash else None
    entry = {"kind": file.kind, "name": file.name, "bytes": file.num_bytes, "sha256": sha256}
    return entry if file.text_field == TEXT_FIELD else {**entry, "text_field": file.text_field}


def _check_names(inputs: Sequence[InputFile]) -> None:
    """Raise a UserError for files with the same name: document ids are made of file names."""
    for previous, file in itertools.pairwise(inputs):
        if (previous.kind, previous.name) == (file.kind, file.name):
            raise UserError(
                f"{previous.path} and {file.path} have the same name, {file.name}; rename one,"
                " or give one glob that holds both folders"
            )


def summary(manifest: Manifest) -> str:
    """Return a summary of a build in one line."""
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
        f"{manifest.rejected} documents rejected",
    ]
    return "; ".join(parts)


def verify(directory: str) -> Manifest:
    """Compare every file of a build with the manifest, and check the structure of local files.

    Raises:
      UserError: a file differs or is malformed; the message names the first one.
    """
    from tqdm import tqdm

    manifest = Manifest.load(directory)
    manifest.load_vocab(directory)
    num_bytes = sum(file.bytes for file in manifest.files)
    with tqdm(total=num_bytes, unit="B", unit_scale=True, desc="verifying", disable=None) as bar:
        for file in manifest.files:
            file.check_content(directory)
            bar.update(file.bytes)
    if not files.is_remote(directory):
        check_structure(directory, manifest)
    print(f"data: {directory} is intact: {len(manifest.files)} files, {num_bytes:,} bytes")
    return manifest


def main(argv: Sequence[str]) -> None:
    """Parse the command line and build."""
    args, beam_args = _parse(argv)
    if args.verify:
        print(f"data: {summary(verify(args.verify))}")
        return
    for flag in ("vocab_file", "output_dir"):
        if getattr(args, flag) is None:
            raise UserError(f"--{flag} is missing; see --help")
    if not any(getattr(args, kind) for kind in FORMATS):
        raise UserError(f"there is nothing to build from: give {format_flags()}")

    (config,) = load_config(args.gin_file, args.gin_param, BuildConfig, strict=args.strict_gin)
    _check_output_dir(args)
    inputs = find_flagged_inputs(args)
    num_bytes = sum(file.num_bytes for file in inputs)
    inputs += [file for glob in args.decontaminate for file in find_inputs(DECONTAMINATE, glob)]
    arguments = dict(
        config=config,
        vocab=Vocab.load(args.vocab_file),
        inputs=inputs,
        output_dir=args.output_dir,
        beam_args=[*beam_args, *worker_flags(beam_args, args.workers, num_bytes=num_bytes)],
    )
    if args.dry_run:
        dry_run(**arguments)
        return
    manifest = build(**arguments)
    print(f"data: {summary(manifest)}")
    for warning in warnings_about(manifest):
        logging.warning(f"data: {warning}")
    if manifest.rejected:
        print(f"data: rejected documents are listed in {args.output_dir}/{schema.REJECTS_FILE}")
    # data.view is for local builds.
    viewed = "D` on a copy D" if files.is_remote(args.output_dir) else f"{args.output_dir}`"
    print(f"data: in {args.output_dir}; look at it with `python -m data.view {viewed}")


def _check_output_dir(args: argparse.Namespace) -> None:
    """Raise a UserError if a glob of the inputs would match the files of the build itself."""
    outputs = [schema.VOCAB_FILE, schema.MANIFEST_FILE, PLAN_FILE, schema.packed_path("train", 0)]
    for kind in (*FORMATS, DECONTAMINATE):
        for pattern in getattr(args, kind):
            for output in outputs:
                if files.would_match(files.join(args.output_dir, output), pattern):
                    raise UserError(
                        f"--output_dir {args.output_dir} is inside --{kind} {pattern}, which would"
                        " read the build itself; choose a directory outside"
                    )


def _parse(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = CommandParser(
        prog="python -m data.build",
        allow_abbrev=False,
        description=__doc__,
    )
    add_gin_flags(parser)
    add_format_flags(parser)
    parser.add_argument(
        "--decontaminate",
        help="evaluation files; paragraphs that share 13 words in a row with them are dropped",
        **GLOB_FLAG,
    )
    parser.add_argument(
        "--vocab_file",
        help="one piece per line (no default); learn one with `python -m data.vocab`",
    )
    parser.add_argument(
        "--output_dir",
        help="build directory (no default); a build that was interrupted here is resumed",
    )
    parser.add_argument(
        "--verify",
        metavar="D",
        help="instead of building, compare every file of a build with its sha256 (default: build)",
    )
    add_workers_flag(parser)
    parser.add_argument("--dry_run", action="store_true", help="check the job, but do not run it")
    args, beam_args = parser.parse_known_args(argv)
    if beam_args:
        check_flags(beam_args, list(parser.flags()))
    if args.dry_run and any("DataflowRunner" in argument for argument in beam_args):
        beam_args.append("--dry_run=True")  # also an option of Beam's Dataflow runner
    return args, beam_args


if __name__ == "__main__":
    run_main(main)
