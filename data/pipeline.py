"""Run the build as a Beam pipeline: waves of tasks that call the stages of this package.

    units > duplicate documents > duplicate paragraphs > packed shards > masked copies > manifest

Only tasks and their reports flow through Beam; documents and sequences are in files of the build
directory. So the memory of the runner does not grow with the corpus, and an interrupted build
resumes from its files. A task is a pure function of its input files, so the result does not depend
on the runner's shuffle, bundles or retries. `read_unit` is data/stages/extract.py; the other tasks are
in data/stages/shards.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam

from data import files, schema
from data.build_files import DataFile, Shard
from data.config import BuildConfig
from data.manifest import Manifest
from data.sources.formats import Unit
from data.stages import accounting, shards
from data.stages.contamination import NgramFilter
from data.stages.corpus_checks import (
    check_corpus,
    check_rejects,
    check_splits,
    low_prose,
    num_read,
)
from data.stages.extract import UnitExtractor, unit_paths
from data.stages.journal import NGRAM_FILE, PLAN_FILE, Journal, key_of, masking_key, packing_key
from data.stages.unknown_words import most_frequent
from data.vocab import Vocab

# Fields of data.manifest.Shard that packing counts.
_COUNTS = (
    *("documents", "sentences", "tokens", "separators", "unknown_tokens"),
    *("sentence_lengths", "sequence_lengths", "source_names"),
)

# (split, shard)
ShardKey = tuple[str, int]


@dataclasses.dataclass(frozen=True, kw_only=True)
class BuildPlan:
    """Plan of a build for its workers; the rest is in the build directory.

    Attributes:
      config: settings of the build.
      vocab: its vocabulary.
      output_dir: build directory.
      units: names of the units of input, which are their keys (data/stages/journal.py).
      made_by: versions of packages.
    """

    config: BuildConfig
    vocab: Vocab
    output_dir: str
    units: tuple[str, ...]
    made_by: Mapping[str, str]

    @property
    def journal(self) -> Journal:
        """Records of finished tasks."""
        return Journal(self.output_dir)

    def tasks(self, units: Sequence[Unit]) -> dict[str, dict[str, int]]:
        """Return the size of every task by kind and name in the journal: bytes to read, or 1."""
        config = self.config
        train = [("train", shard) for shard in range(config.num_shards)]
        held_out = [("eval", shard) for shard in range(config.num_eval_shards)]
        buckets = range(config.num_shards) if config.drop_duplicates else ()
        masks = [(key, copy) for key in train for copy in range(config.copies)]
        masks += [(key, 0) for key in held_out if config.copies]
        return {
            "read": {
                name: sum(part.stop - part.start for part in unit)
                for name, unit in zip(self.units, units, strict=True)
            },
            "duplicates": {
                **({"documents": 1} if config.drop_duplicates else {}),
                **{f"{bucket:05d}": 1 for bucket in buckets},
            },
            "pack": {f"{split}-{shard:05d}": 1 for split, shard in (*train, *held_out)},
            "mask": {f"{split}-{copy:03d}-{shard:05d}": 1 for (split, shard), copy in masks},
        }


class BuildCorpus(beam.PTransform):
    """The whole build: writes the shards, the rejects and, last, the manifest."""

    def __init__(self, plan: BuildPlan, units: Sequence[Unit]):
        super().__init__()
        self._plan, self._units = plan, units

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        """Connect the waves; each begins when the previous one has ended."""
        plan, config = self._plan, self._plan.config
        named = list(zip(plan.units, self._units, strict=True))
        reports = _wave(pipeline, "Read", named, read_unit, plan)
        done = _step(pipeline, "Rejects", check_rejected, plan, reports=reports)
        if config.drop_duplicates:
            done = _wave(pipeline, "Documents", [None], find_documents, plan, after=done)
            buckets = list(range(config.num_shards))
            done = _wave(pipeline, "Paragraphs", buckets, find_paragraphs, plan, after=done)
        keys = [("train", shard) for shard in range(config.num_shards)]
        keys += [("eval", shard) for shard in range(config.num_eval_shards)]
        packed = _wave(pipeline, "Pack", keys, pack_shard, plan, after=done)
        # Before the masked copies, which take most of the time and storage.
        checked = _step(pipeline, "Check", check_packed, plan, packed=packed, reports=reports)
        copies = (
            packed
            | "Copies" >> beam.FlatMap(copies_of, plan=plan, after=beam.pvalue.AsList(checked))
            | "SpreadCopies" >> beam.Reshuffle()
            | "Mask" >> beam.Map(mask_copy, plan=plan)
        )
        return _step(
            pipeline,
            "Manifest",
            write_manifest,
            plan,
            packed=packed,
            copies=copies,
            reports=reports,
        )


def _step(
    pipeline: beam.Pipeline,
    name: str,
    run: Callable[..., Any],
    plan: BuildPlan,
    **collections: beam.PCollection,
) -> beam.PCollection:
    """Call a function once, with all elements of the collections as lists."""
    lists = {key: beam.pvalue.AsList(collection) for key, collection in collections.items()}
    return pipeline | f"{name}Plan" >> beam.Create([plan]) | name >> beam.Map(run, **lists)


def _wave(
    pipeline: beam.Pipeline,
    name: str,
    tasks: list[Any],
    run: Callable[..., Any],
    plan: BuildPlan,
    after: beam.PCollection | None = None,
) -> beam.PCollection:
    """Run tasks on the workers, after the collection `after` is complete."""
    dependency = {} if after is None else {"after": beam.pvalue.AsList(after)}
    return (
        pipeline
        | f"{name}Tasks" >> beam.Create(tasks)
        | f"{name}Spread" >> beam.Reshuffle()
        | name >> beam.Map(_run_task, run=run, plan=plan, **dependency)
    )


def _run_task(
    task: Any, *, run: Callable[..., Any], plan: BuildPlan, after: Sequence[Any] = ()
) -> Any:
    del after  # a dependency only
    return run(task, plan)


def read_unit(named: tuple[str, Unit], plan: BuildPlan) -> dict[str, Any]:
    """Read and tokenize one unit of input; report its counts and rejects."""
    name, unit = named
    task = f"read/{name}"

    def run() -> tuple[dict[str, Any], Sequence[str]]:
        contaminated = NgramFilter.load(files.join(plan.output_dir, NGRAM_FILE))
        extractor = UnitExtractor(plan.config, plan.vocab, contaminated)
        progress = plan.journal.reporter(task)
        report = extractor.run(unit, name=name, output_dir=plan.output_dir, report=progress)
        return report, unit_paths(name)

    return plan.journal.run_once(
        task,
        run,
        key=name,
        paths=unit_paths(name),
        fields=("tally", "prose", "unknown_words", "rejects", "documents", "held_out"),
    )[0]


def find_documents(_: None, plan: BuildPlan) -> None:
    """Find duplicate documents."""

    def run() -> tuple[dict[str, Any], Sequence[str]]:
        shards.write_duplicate_documents(plan.output_dir, units=plan.units, config=plan.config)
        return {}, [shards.DUPLICATE_DOCUMENTS]

    key, paths = key_of(plan.units), [shards.DUPLICATE_DOCUMENTS]
    plan.journal.run_once("duplicates/documents", run, key=key, paths=paths)


def find_paragraphs(bucket: int, plan: BuildPlan) -> None:
    """Find the duplicate paragraphs of one bucket of hashes."""

    def run() -> tuple[dict[str, Any], Sequence[str]]:
        shards.write_duplicate_paragraphs(
            plan.output_dir, bucket, units=plan.units, config=plan.config
        )
        return {}, [shards.bucket_path(bucket)]

    key, paths = key_of(plan.units), [shards.bucket_path(bucket)]
    plan.journal.run_once(f"duplicates/{bucket:05d}", run, key=key, paths=paths)


def pack_shard(key: ShardKey, plan: BuildPlan) -> dict[str, Any]:
    """Pack one shard; the report of an empty one has no "shard"."""
    split, shard = key
    paths = [schema.packed_path(split, shard), schema.sources_path(split, shard)]

    def run() -> tuple[dict[str, Any], Sequence[str]]:
        counts = shards.write_packed_shard(
            plan.output_dir,
            split,
            shard,
            units=plan.units,
            config=plan.config,
            vocab=plan.vocab,
        )
        return counts, paths if counts["records"] else []

    counts, written = plan.journal.run_once(
        f"pack/{split}-{shard:05d}",
        run,
        key=packing_key(plan.config, plan.units),
        paths=paths,
        fields=("tally", "records", *_COUNTS),
    )
    if not written:
        return {"tally": counts["tally"]}
    packed, sources = (dataclasses.replace(file, records=counts["records"]) for file in written)
    fields = {name: counts[name] for name in counts.keys() - {"tally", "records"}}
    return {
        "tally": counts["tally"],
        "shard": Shard(split=split, shard=shard, packed=packed, sources=sources, **fields),
    }


def copies_of(
    report: dict[str, Any], *, plan: BuildPlan, after: list[Any]
) -> Iterator[tuple[Shard, int]]:
    """Yield the masked copies to write: all for training, one for evaluation (its masks are fixed)."""
    del after  # a dependency only
    if shard := report.get("shard"):
        copies = plan.config.copies if shard.split == "train" else min(1, plan.config.copies)
        for copy in range(copies):
            yield shard, copy


def mask_copy(shard_and_copy: tuple[Shard, int], *, plan: BuildPlan) -> tuple[ShardKey, DataFile]:
    """Write one masked copy of one shard."""
    shard, copy = shard_and_copy
    path = schema.masked_path(shard.split, shard.shard, copy)

    def run() -> tuple[dict[str, Any], Sequence[str]]:
        shard.packed.check_content(plan.output_dir)
        counts = shards.write_masked_copy(
            plan.output_dir,
            shard.split,
            shard.shard,
            copy,
            config=plan.config,
            vocab=plan.vocab,
        )
        return counts, [path]

    counts, written = plan.journal.run_once(
        f"mask/{shard.split}-{copy:03d}-{shard.shard:05d}",
        run,
        key=masking_key(
            plan.config,
            vocab=plan.vocab.sha256,
            made_by=plan.made_by,
            packed=shard.packed.sha256,
        ),
        paths=[path],
        fields=["records"],
    )
    file = dataclasses.replace(written[0], records=counts["records"])
    return (shard.split, shard.shard), file


def check_rejected(plan: BuildPlan, *, reports: list[dict[str, Any]]) -> None:
    """Stop a build that rejects too many documents or lacks a split, before any other work."""
    check_rejects(
        plan.config,
        rejects=[reject for report in reports for reject in report["rejects"]],
        tally=_tally(reports),
        output_dir=plan.output_dir,
    )
    check_splits(
        plan.config,
        num_read=num_read(_tally(reports)),
        num_documents=sum(report["documents"] for report in reports),
        num_held_out=sum(report["held_out"] for report in reports),
    )


def check_packed(
    plan: BuildPlan, *, packed: list[dict[str, Any]], reports: list[dict[str, Any]]
) -> None:
    """Stop a build whose corpus fails the checks, before the masked copies."""
    shards = [report["shard"] for report in packed if "shard" in report]
    check_corpus(plan.config, shards=shards, tally=_tally([*reports, *packed]))


def write_manifest(
    plan: BuildPlan,
    *,
    packed: list[dict[str, Any]],
    copies: list[tuple[ShardKey, DataFile]],
    reports: list[dict[str, Any]],
) -> None:
    """Write the manifest, which marks the build as finished."""
    masked: dict[ShardKey, list[DataFile]] = {}
    for key, file in copies:
        masked.setdefault(key, []).append(file)
    complete = [
        dataclasses.replace(
            shard,
            masked=tuple(
                sorted(masked.get((shard.split, shard.shard), ()), key=lambda file: file.path)
            ),
        )
        for shard in sorted(
            (report["shard"] for report in packed if "shard" in report),
            key=lambda shard: (shard.split, shard.shard),
        )
    ]
    plan_path = files.join(plan.output_dir, PLAN_FILE)
    planned = Manifest.parse(files.read_bytes(plan_path), plan_path)
    tally = _tally([*reports, *packed])
    dataclasses.replace(
        planned,
        config=plan.config,
        rejected=sum(counts.get(accounting.DOCUMENTS_REJECTED, 0) for counts in tally.values()),
        rejects=DataFile.describe(plan.output_dir, schema.REJECTS_FILE),
        accounts=tally,
        prose=low_prose(accounting.add(report["prose"] for report in reports)),
        unknown_words=most_frequent(report["unknown_words"] for report in reports),
        shards=tuple(complete),
    ).write(plan.output_dir)


def _tally(reports: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    return accounting.add(report["tally"] for report in reports)
