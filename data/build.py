"""Builds the training data: text in, packed sequences and masked copies out.

    python -m data.build --gin_file gin/data_demo.gin --wiki 'dumps/*.bz2' --books 'books/*.txt' \
        --vocab_file vocab.txt --output_dir build

Arguments this program does not know are Beam options, e.g. --direct_num_workers=4
--direct_running_mode=multi_processing.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import itertools
import logging
import re
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from data import schema
from data.config import BuildConfig
from data.documents import InputFile, find_inputs
from data.errors import UserError, run_main
from data.files import require_local, sha256_of, write_atomically
from data.manifest import Manifest
from data.vocab import Vocab

# The class by its full name: Beam's "DirectRunner" is a switch between two engines.
DEFAULT_RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
_RUNNERS = ("FnApiRunner", "PortableRunner")
_UNFINISHED = ".unfinished"


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
    inputs = sorted(inputs, key=lambda file: (file.kind, file.name))
    _refuse_equal_names(inputs)
    described = tuple(
        {"kind": f.kind, "name": f.name, "bytes": f.num_bytes, "sha256": sha256_of(f.path)}
        for f in inputs
    )
    directory = Path(output_dir)
    if (directory / schema.MANIFEST_FILE).exists():
        manifest = Manifest.load(directory)
        manifest.check_same_build(directory, config=config, vocab=vocab, inputs=list(described))
        print(f"data: {output_dir} is built already")
    else:
        _run_pipeline(config, vocab, inputs, described, output_dir, beam_args)
        manifest = Manifest.load(directory)
    (directory / _UNFINISHED).unlink(missing_ok=True)
    return manifest


def _run_pipeline(
    config: BuildConfig,
    vocab: Vocab,
    inputs: Sequence[InputFile],
    described: tuple[dict, ...],
    output_dir: str,
    beam_args: Sequence[str],
) -> None:
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    from data.pipeline import BuildCorpus, BuildPlan

    options = PipelineOptions(
        list(beam_args),
        runner=_checked_runner(beam_args),
        default_sdk_harness_log_level="CRITICAL",
    )
    _check_flags(beam_args, set(options.get_all_options()))
    _clear_interrupted_build(Path(output_dir))
    write_atomically(Path(output_dir, schema.VOCAB_FILE), vocab.text.encode())
    plan = BuildPlan(
        config=config,
        vocab=vocab,
        output_dir=output_dir,
        inputs=tuple(inputs),
        inputs_described=described,
    )
    with (
        _errors_for_people(),
        _ProgressBar(config, output_dir),
        beam.Pipeline(options=options) as pipeline,
    ):
        pipeline | "BuildCorpus" >> BuildCorpus(plan)


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


@contextlib.contextmanager
def _errors_for_people() -> Iterator[None]:
    """Unwraps what Beam makes of exceptions: text with a stack and the name of the step."""
    try:
        yield
    except Exception as error:
        if "KeyboardInterrupt" in str(error):
            raise KeyboardInterrupt from None
        name = "" if isinstance(error, UserError) else r"\bUserError: "
        found = re.findall(rf"{name}(.+?)(?: \[while running .*)?$", str(error), re.M)
        if found:
            raise UserError(found[-1]) from None
        raise


def _clear_interrupted_build(output_dir: Path) -> None:
    """Removes what an interrupted build left, and marks the directory as one of a build."""
    marker = output_dir / _UNFINISHED
    parts = [output_dir / name for name in ("packed", "masked", "rejects")]
    if not marker.exists() and any(part.exists() for part in parts):
        raise UserError(
            f"{output_dir} has folders of a build but no {schema.MANIFEST_FILE}, and no build was"
            " interrupted there; choose another --output_dir"
        )
    for part in parts:
        shutil.rmtree(part, ignore_errors=True)
    write_atomically(marker, b"The build in this directory is not finished.\n")


def _checked_runner(beam_args: Sequence[str]) -> str:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--runner", default=DEFAULT_RUNNER)
    runner = parser.parse_known_args(list(beam_args))[0].runner
    if runner.rpartition(".")[2] not in _RUNNERS:
        raise UserError(
            f"--runner={runner} is not supported; leave it out for {DEFAULT_RUNNER}. Plain"
            " DirectRunner is a switch between two engines, DaskRunner loses elements, and the"
            " workers of other services would write to disks of their own"
        )
    return runner


def _check_flags(beam_args: Sequence[str], known: set[str]) -> None:
    """Beam drops options it does not know; a misspelt one must not pass silently."""
    for previous, flag in itertools.pairwise(["", *beam_args]):
        if not flag.startswith("-") and (not previous.startswith("-") or "=" in previous):
            raise UserError(f"{flag!r} belongs to no option; see --help")
        name = flag.removeprefix("--").partition("=")[0]
        if flag.startswith("-") and name not in known and name.removeprefix("no_") not in known:
            ours = {"gin_file", "gin_param", "wiki", "books", "vocab_file", "output_dir"}
            nearest = difflib.get_close_matches(name, known | ours, n=1)
            hint = f"did you mean --{nearest[0]}?" if nearest else "see --help"
            raise UserError(f"{flag} is neither an option of this program nor of Beam; {hint}")


class _ProgressBar:
    """Counts the shard files of a build as they appear in the output directory."""

    def __init__(self, config: BuildConfig, output_dir: str):
        self._pattern = re.compile(r"(packed|masked)/.*/shard-\d+\.\w+$")
        self._root = Path(output_dir)
        # As if every shard got a document; a shard without one has no file.
        self._total = config.num_shards * (1 + config.copies)
        self._total += config.num_eval_shards * (1 + min(1, config.copies))
        self._done = threading.Event()

    def __enter__(self):
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *unused):
        self._done.set()
        self._thread.join()

    def _watch(self):
        from tqdm import tqdm

        with tqdm(total=self._total, desc="reading text", unit="file", disable=None) as bar:
            pause = 0.5
            while not self._done.wait(pause):
                started = time.monotonic()
                bar.update(self._count() - bar.n)
                if bar.n:
                    bar.set_description("writing shards")
                pause = max(0.5, 20 * (time.monotonic() - started))  # large builds: look less often
            bar.update(self._count() - bar.n)

    def _count(self) -> int:
        files = (p.relative_to(self._root).as_posix() for p in self._root.glob("*/**/shard-*"))
        return sum(self._pattern.match(file) is not None for file in files)


def summary(manifest: Manifest) -> str:
    """One line on what a build holds."""
    parts = []
    for split in schema.SPLITS:
        shards = manifest.split(split)
        documents = sum(sum(shard.documents.values()) for shard in shards)
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


def main(argv: Sequence[str]) -> None:
    """Parses the command line and builds."""
    from pretrain.config import add_gin_flags, load_config

    # Beam logs what it misses for clouds, and the stack of every error that we report in one line.
    logging.getLogger().setLevel(logging.CRITICAL)
    parser = argparse.ArgumentParser(
        prog="python -m data.build",
        allow_abbrev=False,
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    add_gin_flags(parser)
    parser.add_argument("--wiki", action="extend", nargs="+", default=[], metavar="GLOB")
    parser.add_argument("--books", action="extend", nargs="+", default=[], metavar="GLOB")
    parser.add_argument("--vocab_file", required=True)
    parser.add_argument("--output_dir", required=True)
    args, beam_args = parser.parse_known_args(argv)
    require_local("--output_dir", args.output_dir)
    if not args.wiki and not args.books:
        raise UserError("there is nothing to build from: give --wiki GLOB, --books GLOB or both")

    (config,) = load_config(args.gin_file, args.gin_param, BuildConfig)
    inputs = [file for glob in args.wiki for file in find_inputs("wiki", glob)]
    inputs += [file for glob in args.books for file in find_inputs("books", glob)]
    manifest = build(
        config=config,
        vocab=Vocab.load(args.vocab_file),
        inputs=inputs,
        output_dir=args.output_dir,
        beam_args=beam_args,
    )
    print(f"data: {summary(manifest)}")
    if manifest.rejected:
        print(f"data: {args.output_dir}/{schema.REJECTS_FILE} says which and why")
    print(f"data: in {args.output_dir}")


if __name__ == "__main__":
    run_main(main)
