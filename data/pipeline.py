"""The build as a Beam pipeline: a few waves of tasks around the pure functions of this package.

    units > duplicate documents > duplicate paragraphs > packed shards > masked copies > manifest

What flows through Beam is the tasks and what they report; documents and sequences travel in files
of the build directory. So the memory of the runner does not grow with the corpus, a build that was
interrupted goes on from the files it finds, and no runner's shuffle, bundle or retry can change a
byte: every task is a function of its files, and runs at most once to its end.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import apache_beam as beam

from data import accounting, schema, shards
from data.config import BuildConfig
from data.contamination import NgramFilter
from data.extract import UnitExtractor, unit_paths
from data.journal import Journal
from data.manifest import DataFile, Manifest, Shard
from data.soundness import check_corpus
from data.sources import Unit
from data.vocab import Vocab

# (split, shard)
ShardKey = tuple[str, int]


@dataclasses.dataclass(frozen=True, kw_only=True)
class BuildPlan:
    """What every worker needs to know."""

    config: BuildConfig
    vocab: Vocab
    output_dir: str
    units: tuple[Unit, ...]
    inputs_described: tuple[dict, ...]
    contaminated: NgramFilter

    @property
    def journal(self) -> Journal:
        """The records of finished tasks."""
        return Journal(self.output_dir)

    @property
    def num_tasks(self) -> int:
        """Tasks of the whole build, as the journal counts them."""
        config = self.config
        masked = config.num_shards * config.copies + config.num_eval_shards * min(1, config.copies)
        duplicates = 1 + config.num_shards if config.drop_duplicates else 0
        return len(self.units) + duplicates + config.num_shards + config.num_eval_shards + masked


class BuildCorpus(beam.PTransform):
    """The whole build. Writes the shards, the rejects, and last of all the manifest."""

    def __init__(self, plan: BuildPlan):
        super().__init__()
        self._plan = plan

    def expand(self, pipeline):
        """Wires the waves; each begins when the one before has ended."""
        plan, config = self._plan, self._plan.config
        reports = _wave(pipeline, "Read", list(enumerate(plan.units)), read_unit, plan)
        buckets = reports
        if config.drop_duplicates:
            documents = _wave(pipeline, "Documents", [None], find_documents, plan, after=reports)
            buckets = _wave(
                pipeline,
                "Paragraphs",
                list(range(config.num_shards)),
                find_paragraphs,
                plan,
                after=documents,
            )
        keys = [("train", shard) for shard in range(config.num_shards)]
        keys += [("eval", shard) for shard in range(config.num_eval_shards)]
        packed = _wave(pipeline, "Pack", keys, pack_shard, plan, after=buckets)
        # Before the copies, which are most of the work and of the storage.
        sound = (
            pipeline
            | "Corpus" >> beam.Create([plan])
            | "Check"
            >> beam.Map(
                check_build,
                packed=beam.pvalue.AsList(packed),
                reports=beam.pvalue.AsList(reports),
            )
        )
        copies = (
            packed
            | "Copies" >> beam.FlatMap(copies_of, plan=plan, after=beam.pvalue.AsList(sound))
            | "SpreadCopies" >> beam.Reshuffle()
            | "Mask" >> beam.Map(mask_copy, plan=plan)
        )
        return (
            pipeline
            | "Last" >> beam.Create([plan])
            | "Manifest"
            >> beam.Map(
                write_manifest,
                packed=beam.pvalue.AsList(packed),
                copies=beam.pvalue.AsList(copies),
                reports=beam.pvalue.AsList(reports),
            )
        )


def _wave(pipeline, name: str, tasks: list, run: Callable, plan: BuildPlan, after=None):
    """Tasks spread over the workers, once everything in the collection `after` is there."""
    waited = {} if after is None else {"after": beam.pvalue.AsList(after)}
    return (
        pipeline
        | f"{name}Tasks" >> beam.Create(tasks)
        | f"{name}Spread" >> beam.Reshuffle()
        | name >> beam.Map(_run_task, run=run, plan=plan, **waited)
    )


def _run_task(task, *, run: Callable, plan: BuildPlan, after=()):
    del after  # it has happened, which is all that matters
    return run(task, plan)


def read_unit(indexed: tuple[int, Unit], plan: BuildPlan) -> dict:
    """Reads and tokenizes one unit of input; the report has its counts and rejects."""
    index, unit = indexed

    def run():
        extractor = UnitExtractor(plan.config, plan.vocab, plan.contaminated)
        report = extractor.run(unit, index=index, output_dir=plan.output_dir)
        return report, unit_paths(index)

    return plan.journal.once(f"read/{index:05d}", run)[0]


def find_documents(_: None, plan: BuildPlan) -> None:
    """Finds duplicate documents."""

    def run():
        shards.write_duplicate_documents(
            plan.output_dir, num_units=len(plan.units), config=plan.config
        )
        return {}, [shards.DUPLICATE_DOCUMENTS]

    plan.journal.once("duplicates/documents", run)


def find_paragraphs(bucket: int, plan: BuildPlan) -> None:
    """Finds the duplicate paragraphs of one bucket of hashes."""

    def run():
        shards.write_duplicate_paragraphs(
            plan.output_dir, bucket, num_units=len(plan.units), config=plan.config
        )
        return {}, [shards.bucket_path(bucket)]

    plan.journal.once(f"duplicates/{bucket:05d}", run)


def pack_shard(key: ShardKey, plan: BuildPlan) -> dict:
    """Packs one shard; without a sequence there is no "shard" in the report."""
    split, shard = key

    def run():
        counts = shards.write_packed_shard(
            plan.output_dir,
            split,
            shard,
            num_units=len(plan.units),
            config=plan.config,
            vocab=plan.vocab,
        )
        return counts, [schema.packed_path(split, shard)] if counts["records"] else []

    counts, written = plan.journal.once(f"pack/{split}-{shard:05d}", run)
    if not written:
        return {"tally": counts["tally"]}
    packed = dataclasses.replace(written[0], records=counts["records"])
    fields = {name: counts[name] for name in counts.keys() - {"tally", "records"}}
    return {
        "tally": counts["tally"],
        "shard": Shard(split=split, shard=shard, packed=packed, **fields),
    }


def copies_of(report: dict, *, plan: BuildPlan, after: list) -> Iterator[tuple[Shard, int]]:
    """The masked copies to write: all for training, one for evaluation (its masks are fixed)."""
    del after
    if shard := report.get("shard"):
        copies = plan.config.copies if shard.split == "train" else min(1, plan.config.copies)
        for copy in range(copies):
            yield shard, copy


def mask_copy(shard_and_copy: tuple[Shard, int], *, plan: BuildPlan) -> tuple[ShardKey, DataFile]:
    """Masks one shard as one copy."""
    shard, copy = shard_and_copy

    def run():
        counts = shards.write_masked_copy(
            plan.output_dir,
            shard.split,
            shard.shard,
            copy,
            config=plan.config,
            vocab=plan.vocab,
        )
        return counts, [schema.masked_path(shard.split, shard.shard, copy)]

    counts, written = plan.journal.once(f"mask/{shard.split}-{copy:03d}-{shard.shard:05d}", run)
    file = dataclasses.replace(written[0], records=counts["records"])
    return (shard.split, shard.shard), file


def check_build(plan: BuildPlan, *, packed: list[dict], reports: list[dict]) -> None:
    """Writes the rejects, and stops a build that would be unsound."""
    rejects = [reject for report in reports for reject in report["rejects"]]
    check_corpus(
        plan.config,
        shards=[report["shard"] for report in packed if "shard" in report],
        rejects=rejects,
        tally=_tally(packed, reports),
        output_dir=plan.output_dir,
    )


def write_manifest(
    plan: BuildPlan,
    *,
    packed: list[dict],
    copies: list[tuple[ShardKey, DataFile]],
    reports: list[dict],
) -> None:
    """Declares the build finished."""
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
    Manifest(
        config=plan.config,
        vocab_pieces=len(plan.vocab),
        vocab_sha256=plan.vocab.sha256,
        inputs=plan.inputs_described,
        rejected=sum(len(report["rejects"]) for report in reports),
        accounts=_tally(packed, reports),
        shards=tuple(complete),
    ).write(plan.output_dir)


def _tally(packed: list[dict], reports: list[dict]) -> dict[str, dict[str, int]]:
    return accounting.add(report["tally"] for report in [*reports, *packed])
