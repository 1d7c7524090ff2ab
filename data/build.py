r"""Builds the training data: text in, packed sequences and masked copies out.

    python -m data.build --gin_file gin/data_demo.gin --wiki 'dumps/*.bz2' --books 'books/*.txt' \
        --vocab_file vocab.txt --output_dir build

Arguments this program does not know are Beam options, e.g. --direct_num_workers=4
--direct_running_mode=multi_processing.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from data import files, schema
from data.config import BuildConfig
from data.contamination import NgramFilter
from data.documents import InputFile, find_inputs
from data.errors import UserError, run_main
from data.journal import PLAN_FILE, WORK_DIRECTORY
from data.manifest import Manifest
from data.runner import ProgressBar, errors_for_people, pipeline_options, quiet_workers
from data.sources import KINDS, plan_units
from data.vocab import Vocab

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

    from data.pipeline import BuildPlan

DECONTAMINATE = "decontaminate"  # the kind of the evaluation files among the inputs


def build(
    *,
    config: BuildConfig,
    vocab: Vocab,
    inputs: Sequence[InputFile],
    output_dir: str,
    beam_args: Sequence[str] = (),
) -> Manifest:
    """Runs the build, or returns the manifest of the same build if it is there already.

    Args:
      config: what to build.
      vocab: its pieces give the token ids.
      inputs: the files to read.
      output_dir: where the build goes.
      beam_args: options for Beam; the runner defaults to FnApiRunner.

    Raises:
      UserError: output_dir holds another build, an input is damaged, or the result would be unsound.
    """
    inputs, options, plan = _plan(config, vocab, inputs, output_dir, beam_args)
    asked = dict(config=config, vocab=vocab, inputs=list(plan.inputs_described))
    if files.exists(files.join(output_dir, schema.MANIFEST_FILE)):
        manifest = Manifest.load(output_dir)
        manifest.check_same_build(output_dir, **asked)
        print(f"data: {output_dir} is built already")
    else:
        _begin_or_resume(output_dir, **asked)
        _run(plan, options)
        manifest = Manifest.load(output_dir)
    _remove_leftovers(output_dir)
    return manifest


def _plan(
    config: BuildConfig,
    vocab: Vocab,
    inputs: Sequence[InputFile],
    output_dir: str,
    beam_args: Sequence[str],
) -> tuple[list[InputFile], PipelineOptions, BuildPlan]:
    """The sorted inputs, Beam's options, and what the workers need to know."""
    from data.pipeline import BuildPlan

    inputs = sorted(inputs, key=lambda file: (file.kind, file.name))
    _refuse_equal_names(inputs)
    options = pipeline_options(
        beam_args, output_dir=output_dir, paths=[file.path for file in inputs]
    )
    plan = BuildPlan(
        config=config,
        vocab=vocab,
        output_dir=output_dir,
        units=tuple(plan_units(file for file in inputs if file.kind != DECONTAMINATE)),
        inputs_described=tuple(map(_describe, inputs)),
        contaminated=NgramFilter.from_files([f for f in inputs if f.kind == DECONTAMINATE]),
    )
    return inputs, options, plan


def _describe(file: InputFile) -> dict:
    """How the manifest names an input. What lies in a bucket is not read twice for its hash."""
    sha256 = None if files.is_remote(file.path) else files.sha256_of(file.path)
    return {"kind": file.kind, "name": file.name, "bytes": file.num_bytes, "sha256": sha256}


def _run(plan: BuildPlan, options: PipelineOptions) -> None:
    import apache_beam as beam

    from data.pipeline import BuildCorpus

    vocab_path = files.join(plan.output_dir, schema.VOCAB_FILE)
    files.write_atomically(vocab_path, plan.vocab.text.encode())
    with contextlib.ExitStack() as stack:
        stack.enter_context(errors_for_people())
        if not files.is_remote(plan.output_dir):
            log_path = files.join(plan.output_dir, WORK_DIRECTORY, "workers.log")
            terminal = stack.enter_context(quiet_workers(log_path))
            stack.enter_context(ProgressBar(plan.journal, plan.num_tasks, terminal))
        stack.enter_context(beam.Pipeline(options=options)) | "BuildCorpus" >> BuildCorpus(plan)


def dry_run(
    *,
    config: BuildConfig,
    vocab: Vocab,
    inputs: Sequence[InputFile],
    output_dir: str,
    beam_args: Sequence[str],
) -> None:
    """Makes the job of a build and checks it, as far as that goes without running anything.

    For Dataflow this includes the translation of the job; nothing is uploaded or submitted.

    Raises:
      UserError: as `build`, for what can be known beforehand.
    """
    import apache_beam as beam

    from data.pipeline import BuildCorpus

    inputs, options, plan = _plan(config, vocab, inputs, output_dir, beam_args)
    pipeline = beam.Pipeline(options=options)
    pipeline | "BuildCorpus" >> BuildCorpus(plan)
    num_transforms = len(pipeline.to_runner_api().components.transforms)
    if "DataflowRunner" in options.get_all_options()["runner"]:
        pipeline.run()  # stops before it would submit
    num_bytes = sum(file.num_bytes for file in inputs)
    print(
        f"data: dry run: {len(inputs)} files of {num_bytes:,} bytes, {len(plan.units)} units of work,"
        f" {plan.num_tasks} tasks, {num_transforms} transforms; nothing was run"
    )


def _begin_or_resume(output_dir: str, *, config: BuildConfig, vocab: Vocab, inputs: list) -> None:
    """Marks the directory as one of this build, or checks that it is.

    Raises:
      UserError: the directory holds an interrupted build of other settings, or something else.
    """
    plan_path = files.join(output_dir, PLAN_FILE)
    plan = Manifest.planned(config=config, vocab=vocab, inputs=inputs)
    if files.exists(plan_path):
        Manifest.parse(files.read_bytes(plan_path), plan_path).check_same_build(
            f"{output_dir} (not finished)", config=config, vocab=vocab, inputs=inputs
        )
        print(f"data: going on with the unfinished build in {output_dir}")
        return
    for name in ("packed", "masked", "rejects"):
        if files.exists(files.join(output_dir, name)):
            raise UserError(
                f"{output_dir} has a folder {name}/ but no {schema.MANIFEST_FILE}, and no build was"
                " interrupted there; choose another --output_dir"
            )
    files.write_atomically(plan_path, plan.to_json().encode())


def _remove_leftovers(output_dir: str) -> None:
    """What a finished build no longer needs, and what killed writers left."""
    files.remove_tree(files.join(output_dir, WORK_DIRECTORY))
    if not files.is_remote(output_dir):
        for path in Path(output_dir).glob("**/.tmp-*"):
            path.unlink()


def _refuse_equal_names(inputs: Sequence[InputFile]) -> None:
    """A document is known by its file's name: two equal ones would be one document."""
    for previous, file in itertools.pairwise(inputs):
        if previous == file:
            raise UserError(f"{file.path} is given twice")
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
    listed = [file for shard in manifest.shards for file in (shard.packed, *shard.masked)]
    num_bytes = sum(file.bytes for file in listed)
    with tqdm(total=num_bytes, unit="B", unit_scale=True, desc="verifying", disable=None) as bar:
        for file in listed:
            file.check_content(directory)
            bar.update(file.bytes)
    print(f"data: {directory} is whole: {len(listed)} files, {num_bytes:,} bytes")
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
    kinds = {kind: getattr(args, kind) for kind in KINDS}
    if not any(kinds.values()):
        raise UserError(
            f"there is nothing to build from: give {', '.join(f'--{kind}' for kind in KINDS)}"
        )
    kinds[DECONTAMINATE] = args.decontaminate

    from pretrain.config import load_config

    (config,) = load_config(args.gin_file, args.gin_param, BuildConfig)
    inputs = [file for kind in kinds for glob in kinds[kind] for file in find_inputs(kind, glob)]
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
    from pretrain.config import add_gin_flags

    parser = argparse.ArgumentParser(
        prog="python -m data.build",
        allow_abbrev=False,
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    add_gin_flags(parser)
    several = dict(action="extend", nargs="+", default=[], metavar="GLOB")
    for kind, meaning in KINDS.items():
        parser.add_argument(f"--{kind}", help=meaning.replace("%", "%%"), **several)
    parser.add_argument(
        "--decontaminate",
        help="evaluation files; paragraphs that share 13 words in a row with them are left out",
        **several,
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
