"""First stage: tokenizing, partitioning, rejects, and the counts of it."""

import numpy as np
import pytest

from data.config import BuildConfig
from data.hashing import document_hash
from data.sources.documents import Document, find_inputs
from data.sources.formats import plan_units
from data.stages import accounting
from data.stages.contamination import NgramFilter
from data.stages.extract import UnitExtractor, partition_of, tokenize, unit_paths
from data.stages.shuffle_files import (
    TokenizedDocument,
    documents_from_bytes,
    read_partition,
    write_partitions,
)


def test_documents_tokenized_in_one_call_are_separated_again(vocab):
    documents = [
        Document(
            id="books/a",
            paragraphs=("The bird. The tree!", "\u0336\u0301", "End."),
            breaks=(2,),
            num_bytes=30,
        ),
        Document(id="books/b", paragraphs=("\u0301",), num_bytes=2),
        Document(id="books/c", paragraphs=("A.",), num_bytes=2),
    ]
    first, empty, last = tokenize(documents, vocab, BuildConfig())
    pieces = [vocab.pieces[i] for i in first.tokens]
    assert pieces == ["the", "bir", "##d", ".", "the", "tr", "##ee", "!", "end", "."]
    assert first.sentence_lengths.tolist() == [4, 4, 2]
    # The second paragraph has characters but no pieces.
    assert first.paragraph_sentences.tolist() == [2, 0, 1]
    assert first.paragraph_bytes.tolist() == [19, 4, 4]
    assert first.starts_part.tolist() == [True, False, True]
    assert (len(empty.tokens), empty.paragraph_sentences.tolist()) == (0, [0])
    assert [vocab.pieces[i] for i in last.tokens] == ["a", "."]


def test_tokens_do_not_depend_on_batches(vocab, paragraphs):
    documents = [
        Document(id=f"books/{i}", paragraphs=tuple(paragraphs[i : i + 7]), num_bytes=0)
        for i in range(0, 200, 7)
    ]
    together = tokenize(documents, vocab, BuildConfig())
    alone = [tokenize([document], vocab, BuildConfig())[0] for document in documents]
    assert [d.to_bytes() for d in together] == [d.to_bytes() for d in alone]


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32])
def test_partition_files_round_trip_documents(tmp_path, dtype):
    documents = [
        TokenizedDocument(
            id=f"wiki/é{n}",
            tokens=np.arange(n, dtype=dtype),
            sentence_lengths=np.array([n], np.uint32)[: bool(n)],
            paragraph_sentences=np.array([0, int(n > 0)], np.uint32),
            paragraph_bytes=np.array([3, 4], np.uint32),
            starts_part=np.array([True, False]),
        )
        for n in (0, 1, 5)
    ]
    partitions = [[], [d.to_bytes() for d in documents], [], [documents[2].to_bytes()]]
    write_partitions(tmp_path / "f", partitions)
    assert [read_partition(tmp_path / "f", i) for i in range(4)] == [
        b"".join(p) for p in partitions
    ]
    read = list(documents_from_bytes(read_partition(tmp_path / "f", 1), np.dtype(dtype)))
    assert [d.to_bytes() for d in read] == partitions[1]
    assert [d.id for d in read] == ["wiki/é0", "wiki/é1", "wiki/é5"]
    assert read[2].tokens.tolist() == [0, 1, 2, 3, 4]


def test_shard_and_split_depend_on_the_document_only():
    config = BuildConfig(num_shards=7, num_eval_shards=3, eval_fraction=0.1)
    hashes = np.array([document_hash(f"wiki/{i}") for i in range(20_000)], np.uint64)
    partition = partition_of(hashes, config)
    counts = np.bincount(partition, minlength=10)
    assert len(counts) == 10
    np.testing.assert_allclose(counts[:7], 18_000 / 7, rtol=0.07)
    np.testing.assert_allclose(counts[7:], 2_000 / 3, rtol=0.12)
    # Another rule would move documents of existing builds to other shards.
    assert partition[:12].tolist() == [6, 5, 4, 7, 7, 2, 3, 1, 5, 8, 9, 6]
    assert (partition_of(hashes, BuildConfig(num_shards=7, eval_fraction=0.0)) < 7).all()


def extract(folder, config, vocab, contaminated=()):
    inputs = find_inputs("text", f"{folder}/*.txt")
    (unit,) = plan_units(inputs)
    report = UnitExtractor(config, vocab, NgramFilter.from_files(contaminated)).run(
        unit, name="3", output_dir=str(folder / "out")
    )
    documents = [
        document
        for index in range(config.num_shards + config.num_eval_shards)
        for document in documents_from_bytes(
            read_partition(folder / "out" / unit_paths("3")[0], index), vocab.token_dtype
        )
    ]
    return report, documents


def test_contaminated_paragraphs_are_dropped_and_counted(tmp_path, vocab):
    sentence = "the quick brown fox jumps over the lazy dog and runs far away today"
    (tmp_path / "a.txt").write_text(f"Before.\n\nHe said: {sentence}.\n\nAfter.")
    (tmp_path / "b.txt").write_text(sentence)
    (tmp_path / "eval").write_text(sentence)
    report, documents = extract(
        tmp_path,
        BuildConfig(num_shards=2),
        vocab,
        find_inputs("decontaminate", f"{tmp_path}/eval"),
    )
    assert [d.id for d in documents] == ["text/a.txt"]
    assert documents[0].paragraph_bytes.tolist() == [7, 6]
    tally = report["tally"]["text"]
    assert tally["bytes_contaminated"] == len(f"He said: {sentence}.") + len(sentence)
    assert tally["paragraphs_contaminated"] == 2
    assert tally["documents_read"] == 2
    assert tally["bytes_text"] - tally["bytes_contaminated"] == 13


def test_rejects_are_counted_and_listed(tmp_path, vocab):
    (tmp_path / "a.txt").write_text("Good text.")
    (tmp_path / "b.txt").write_bytes(b"bad \xff")
    report, documents = extract(tmp_path, BuildConfig(num_shards=2), vocab)
    assert [d.id for d in documents] == ["text/a.txt"]
    assert report["rejects"] == [
        {"source": "b.txt", "offset": "byte 4", "reason": "not UTF-8: byte 0xff", "num_bytes": 5}
    ]
    tally = report["tally"]["text"]
    assert (tally["bytes_input"], tally["bytes_rejected"], tally["bytes_text"]) == (15, 5, 10)
    assert tally["bytes_markup"] == 0


def test_units_join_small_files_of_one_kind(tmp_path):
    for name, size in (("a", 4), ("b", 4), ("c", 9), ("d", 1)):
        (tmp_path / name).write_text("x" * size)
    inputs = find_inputs("books", f"{tmp_path}/[a-d]") + find_inputs("text", f"{tmp_path}/d")
    units = plan_units(inputs, unit_bytes=10)
    assert [[part.file.name for part in unit] for unit in units] == [["a", "b"], ["c", "d"], ["d"]]


def test_empty_file_is_a_unit(tmp_path):
    (tmp_path / "empty").touch()
    ((part,),) = plan_units(find_inputs("text", f"{tmp_path}/empty"))
    assert (part.start, part.stop) == (0, 0)


def test_counts_that_do_not_reconcile_are_an_error():
    tally = {"books": {"bytes_input": 10, "bytes_markup": 2, "bytes_text": 8, "bytes_packed": 8}}
    accounting.check(tally)
    tally["books"]["bytes_packed"] = 7
    with pytest.raises(RuntimeError, match="the accounts of books do not add up: 10 against 9"):
        accounting.check(tally)


@pytest.mark.parametrize(("max_seq_length", "num_bins"), [(64, 33), (512, 33), (2048, 129)])
def test_histogram_has_a_bin_for_every_sequence_length(max_seq_length, num_bins):
    last = 16 * (num_bins - 1)
    counts = accounting.histogram([0, 15, 16, last - 1, last, 9999], max_seq_length=max_seq_length)
    assert len(counts) == num_bins
    assert (counts[0], counts[1], counts[-2], counts[-1], sum(counts)) == (2, 1, 1, 2, 6)
