"""Builds of real text: content, counts, errors."""

import bz2
import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from data import build_dir, schema
from data.build import build, main, summary
from data.cli.main import run_main
from data.config import BuildConfig
from data.errors import UserError
from data.hashing import document_hash
from data.manifest import Manifest
from data.sources.documents import Document, find_inputs
from data.sources.formats import read_part, split_file
from data.stages import accounting
from data.stages.corpus_checks import implausible_lengths
from data.stages.extract import partition_of, tokenize
from data.stages.masking import MaskingRule, mask_sequences
from data.stages.runner import pipeline_options
from data.storage.records import parse_specs
from data.view.__main__ import main as view_main
from data.vocab import Vocab
from data.vocab.__main__ import main as vocab_main


def packed(directory, manifest, split) -> np.ndarray:
    return np.concatenate(
        [np.load(directory / shard.packed.path) for shard in manifest.split(split)]
    )


def test_manifest_lists_every_file(small_build, sums_of):
    manifest = Manifest.load(small_build)
    listed = {file.path: file.sha256 for shard in manifest.shards for file in shard.files}
    others = {schema.MANIFEST_FILE, schema.VOCAB_FILE, schema.REJECTS_FILE}
    assert {p: h for p, h in sums_of(small_build).items() if p not in others} == listed
    assert [len(shard.masked) for shard in manifest.split("train")] == [3, 3]
    assert [len(shard.masked) for shard in manifest.split("eval")] == [1]
    assert manifest.rejected == 0
    assert (small_build / schema.REJECTS_FILE).read_text() == ""


def read_all(inputs) -> list[Document]:
    items = (
        item
        for file in inputs
        for part in split_file(file)
        for item in read_part(part, max_document_bytes=10**7)
    )
    return [item for item in items if isinstance(item, Document)]


def test_every_document_is_in_one_split_with_all_its_tokens(
    small_build, small_config, vocab, inputs
):
    manifest = Manifest.load(small_build)
    documents = {"train": 0, "eval": 0}
    token_counts = {split: np.zeros(len(vocab), np.int64) for split in schema.SPLITS}
    for document in tokenize(read_all(inputs), vocab, small_config):
        hashed = np.array([document_hash(document.id)], np.uint64)
        split = "eval" if partition_of(hashed, small_config)[0] >= 2 else "train"
        token_counts[split] += np.bincount(document.tokens, minlength=len(vocab))
        documents[split] += 1
    assert documents["train"] + documents["eval"] == 11
    outside = [vocab.ids[token] for token in (schema.PAD, schema.CLS, schema.SEP)]
    for split, expected in token_counts.items():
        sequences = packed(small_build, manifest, split)
        assert sequences.dtype == np.uint16
        counts = np.bincount(sequences.ravel(), minlength=len(vocab))
        separators = counts[outside[1:]].sum()
        counts[outside] = 0
        np.testing.assert_array_equal(counts, expected)
        shards = manifest.split(split)
        assert sum(shard.tokens for shard in shards) == expected.sum()
        assert sum(shard.separators for shard in shards) == separators
        assert sum(shard.documents for shard in shards) == documents[split]
        assert sum(map(sum, (shard.sequence_lengths for shard in shards))) == len(sequences)
        assert sum(map(sum, (s.sentence_lengths for s in shards))) == sum(
            s.sentences for s in shards
        )


def test_accounts_cover_every_byte_of_the_input(small_build, inputs):
    accounts = Manifest.load(small_build).accounts
    accounting.check(accounts)
    books = sum(file.num_bytes for file in inputs if file.kind == "books")
    dump = next(file for file in inputs if file.kind == "wiki")
    assert accounts["books"]["bytes_input"] == books
    assert accounts["wiki"]["bytes_input"] == len(bz2.decompress(Path(dump.path).read_bytes()))
    assert accounts["wiki"]["bytes_sections"] > 1000
    assert accounts["wiki"]["documents_packed"] + accounts["books"]["documents_packed"] == 11


def test_duplicates_are_packed_once(golden, vocab, tmp_path):
    """Two equal books, and a third that repeats one long and one short paragraph."""
    long = "This paragraph is long enough to be a duplicate of another one."
    texts = {
        "a.txt": f"Beginning.\n\n{long}\n\nNo.\n",
        "b.txt": f"Beginning.\n\n{long}\n\nNo.\n",
        "c.txt": f"Other.\n\n{long}\n\nNo.\n\nEnd.\n",
    }
    (tmp_path / "texts").mkdir()
    for name, text in texts.items():
        (tmp_path / "texts" / name).write_text(text)
    arguments = {"vocab": vocab, "inputs": find_inputs("text", f"{tmp_path}/texts/*")}
    config = BuildConfig(copies=0, num_shards=3, eval_fraction=0.0)
    manifest = build(config=config, output_dir=str(tmp_path / "once"), **arguments)
    counts = manifest.accounts["text"]
    assert (counts["documents_duplicate_document"], counts["documents_packed"]) == (1, 2)
    assert (counts["paragraphs_duplicate_paragraph"], counts["paragraphs_packed"]) == (1, 6)
    assert counts["bytes_duplicate_paragraph"] == len(long)

    pieces = [vocab.pieces[i] for i in packed(tmp_path / "once", manifest, "train").ravel()]
    assert pieces.count("another") == 1
    assert pieces.count("no") == 2

    config = dataclasses.replace(config, drop_duplicates=False)
    manifest = build(config=config, output_dir=str(tmp_path / "all"), **arguments)
    assert manifest.accounts["text"]["paragraphs_packed"] == 10


def test_near_duplicates_are_dropped_with_a_threshold(golden, vocab, tmp_path):
    (tmp_path / "texts").mkdir()
    for path in (golden / "books").iterdir():
        shutil.copy(path, tmp_path / "texts")
    sonnets = (golden / "books/sonnets.txt").read_text()
    (tmp_path / "texts/edition.txt").write_text(f"{sonnets}\n\nA new edition.\n")
    manifest = build(
        config=BuildConfig(copies=0, eval_fraction=0.0, near_duplicate_threshold=0.8),
        vocab=vocab,
        inputs=find_inputs("text", f"{tmp_path}/texts/*"),
        output_dir=str(tmp_path / "d"),
    )
    counts = manifest.accounts["text"]
    assert counts["documents_near_duplicate_document"] == 1
    assert counts["documents_packed"] == 4


def test_all_kinds_of_input_in_one_build(golden, vocab, tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "A bird.", "id": "x"}\n{"text": "A tree."}\n')
    (tmp_path / "b.txt").write_text("A bird of the tree.\n\nThe tree of a bird.\n")
    (tmp_path / "evaluation").write_text("one two three four five six seven eight nine ten a b c d")
    main(
        [
            *("--gin_param", "BuildConfig.eval_fraction = 0.0"),
            *("--gin_param", "BuildConfig.copies = 1"),
            *("--jsonl", f"{tmp_path}/a.jsonl", "--lines", f"{tmp_path}/b.txt"),
            *("--text", f"{tmp_path}/b.txt", "--books", f"{golden}/books/sonnets.txt"),
            *("--wiki", f"{golden}/wiki.xml.bz2", "--decontaminate", f"{tmp_path}/evaluation"),
            *("--vocab_file", f"{golden}/vocab.txt", "--output_dir", f"{tmp_path}/d"),
        ]
    )
    manifest = Manifest.load(tmp_path / "d")
    read = {kind: counts["documents_read"] for kind, counts in manifest.accounts.items()}
    assert read == {"books": 1, "jsonl": 2, "lines": 2, "text": 1, "wiki": 7}
    assert [file["kind"] for file in manifest.inputs] == [
        *("books", "decontaminate", "jsonl", "lines", "text", "wiki")
    ]


def test_sequences_read_as_text(small_build, vocab):
    manifest = Manifest.load(small_build)
    for row in packed(small_build, manifest, "train"):
        pieces = [vocab.pieces[i] for i in row if i != vocab.ids[schema.PAD]]
        assert pieces[0] == schema.CLS
        assert pieces[-1] == schema.SEP
        assert schema.MASK not in pieces


def test_masked_files_equal_the_mask_function(small_build, small_config, vocab):
    manifest = Manifest.load(small_build)
    rule = MaskingRule.create(small_config, vocab)
    for shard in manifest.shards:
        tokens = np.load(small_build / shard.packed.path)
        for copy, file in enumerate(shard.masked):
            assert file.path == schema.masked_path(shard.split, shard.shard, copy)
            records = tf.data.TFRecordDataset(str(small_build / file.path))
            parsed = tf.io.parse_example(list(records), parse_specs(64, 10))
            expected = mask_sequences(tokens, np.full(len(tokens), copy), rule)
            for name, values in expected.items():
                np.testing.assert_array_equal(parsed[name], values)


def test_finished_build_is_not_built_again(small_build, small_config, vocab, inputs, capsys):
    before = (small_build / schema.MANIFEST_FILE).stat().st_mtime_ns
    build(config=small_config, vocab=vocab, inputs=inputs, output_dir=str(small_build))
    assert "is already built" in capsys.readouterr().out
    assert (small_build / schema.MANIFEST_FILE).stat().st_mtime_ns == before


def test_directory_of_another_build_is_an_error(small_build, small_config, vocab, inputs):
    other = dataclasses.replace(small_config, copies=4)
    with pytest.raises(UserError, match=r"BuildConfig\.copies is 3 there and 4 now"):
        build(config=other, vocab=vocab, inputs=inputs, output_dir=str(small_build))
    vocab = Vocab((*vocab.pieces, "extra"))
    with pytest.raises(UserError, match=r"vocabulary has 1500 pieces .* there and 1501"):
        build(config=small_config, vocab=vocab, inputs=inputs, output_dir=str(small_build))
    with pytest.raises(UserError, match=r"differ from the 4 given now: .* is missing now"):
        build(
            config=small_config,
            vocab=Vocab(vocab.pieces[:-1]),
            inputs=inputs[1:],
            output_dir=str(small_build),
        )


def test_damaged_dump_stops_the_build(golden, vocab, tmp_path):
    content = (golden / "wiki.xml.bz2").read_bytes()
    (tmp_path / "cut.xml.bz2").write_bytes(content[:-100])
    with pytest.raises(UserError, match=r"cut\.xml\.bz2: truncated or damaged"):
        build(
            config=BuildConfig(copies=1),
            vocab=vocab,
            inputs=find_inputs("wiki", f"{tmp_path}/*.bz2"),
            output_dir=str(tmp_path / "d"),
        )
    assert not (tmp_path / "d" / schema.MANIFEST_FILE).exists()


def test_rejects_are_listed_and_too_many_stop_the_build(golden, vocab, tmp_path):
    shutil.copytree(golden / "books", tmp_path / "books")
    (tmp_path / "books/bad.txt").write_bytes(b"caf\xe9")
    arguments = {
        "vocab": vocab,
        "inputs": find_inputs("books", f"{tmp_path}/books/*"),
        "output_dir": str(tmp_path / "d"),
    }
    strict = BuildConfig(copies=0, eval_fraction=0.0)
    with pytest.raises(UserError, match=r"1 of 5 documents were rejected, more than .*=0\.01"):
        build(config=strict, **arguments)
    assert not (tmp_path / "d" / schema.MANIFEST_FILE).exists()

    lenient = BuildConfig(copies=0, eval_fraction=0.0, max_reject_fraction=0.5)
    manifest = build(config=lenient, **arguments)
    (line,) = (tmp_path / "d" / schema.REJECTS_FILE).read_text().splitlines()
    assert json.loads(line) == {
        "source": "bad.txt",
        "num_bytes": 4,
        "offset": "byte 3",
        "reason": "not UTF-8: byte 0xe9",
    }
    assert manifest.rejected == 1
    assert summary(manifest).startswith("train: 4 documents, ")
    assert "0 masked copies; " in summary(manifest)
    assert summary(manifest).endswith("of the tokens unknown; 1 documents rejected")
    assert not (tmp_path / "d/masked").exists()


def test_empty_held_out_split_is_an_error(golden, vocab, tmp_path):
    with pytest.raises(UserError, match="none of the 1 documents fell into the held-out split"):
        build(
            config=BuildConfig(copies=1, eval_fraction=0.01),
            vocab=vocab,
            inputs=find_inputs("books", f"{golden}/books/sonnets.txt"),
            output_dir=str(tmp_path / "d"),
        )


def test_two_files_with_one_name_are_an_error(golden, vocab, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        shutil.copy(golden / "books/sonnets.txt", tmp_path / folder)
    files = [find_inputs("books", f"{tmp_path}/{folder}/*.txt")[0] for folder in ("a", "b")]
    arguments = {"vocab": vocab, "output_dir": str(tmp_path / "d")}
    config = BuildConfig(copies=0, eval_fraction=0.0)
    with pytest.raises(UserError, match=r"have the same name, sonnets\.txt"):
        build(config=config, inputs=files, **arguments)
    with pytest.raises(UserError, match=r"a/sonnets\.txt are the same file; give it once"):
        build(config=config, inputs=files[:1] * 2, **arguments)
    # With one glob over both folders, names are paths and differ.
    manifest = build(
        config=config, inputs=find_inputs("books", f"{tmp_path}/**/*.txt"), **arguments
    )
    counts = manifest.accounts["books"]
    assert (counts["documents_read"], counts["documents_packed"]) == (2, 1)


def test_duplicate_page_id_is_an_error(golden, vocab, tmp_path):
    for name in ("one.xml.bz2", "two.xml.bz2"):
        shutil.copy(golden / "wiki.xml.bz2", tmp_path / name)
    with pytest.raises(UserError, match=r"document wiki/enwiki/\d+ occurs twice"):
        build(
            config=BuildConfig(copies=0, eval_fraction=0.0),
            vocab=vocab,
            inputs=find_inputs("wiki", f"{tmp_path}/*.bz2"),
            output_dir=str(tmp_path / "d"),
        )


def test_changed_input_is_an_error(golden, vocab, tmp_path):
    shutil.copytree(golden / "books", tmp_path / "books")
    arguments = {
        "config": BuildConfig(copies=0, eval_fraction=0.0),
        "vocab": vocab,
        "output_dir": str(tmp_path / "d"),
    }
    build(inputs=find_inputs("books", f"{tmp_path}/books/*"), **arguments)
    path = tmp_path / "books/sonnets.txt"
    path.write_text(path.read_text().replace("beauty", "byauty", 1))
    with pytest.raises(UserError, match=r"the content of sonnets\.txt has changed"):
        build(inputs=find_inputs("books", f"{tmp_path}/books/*"), **arguments)


def test_vocabulary_with_too_many_unknown_tokens_is_an_error(inputs, vocab, tmp_path):
    with pytest.raises(UserError, match=r"tokens are \[UNK\], more than .*lower_case=False match"):
        build(
            config=BuildConfig(copies=0, eval_fraction=0.0, lower_case=False),
            vocab=vocab,
            inputs=inputs,
            output_dir=str(tmp_path / "d"),
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to build from: give --wiki, --books, --text, --lines, --sentences, --jsonl"),
        (["--books", "{tmp}/*.txt"], r"--books .*/\*\.txt: no input file matched"),
        (["--books", "{golden}/books/*.txt"], r"vocabulary file .* does not exist"),
        (["--verify", "{tmp}/none"], "none does not exist"),
        (["--books", "{golden}/books/*.txt", "stray"], "--books stray: no input file matched"),
        (
            ["--books={golden}/books/*.txt", "--vocab_file={golden}/vocab.txt", "stray"],
            "'stray' belongs to no option",
        ),
        (
            ["--books", "{golden}/books/*.txt", "--vocab_file={golden}/vocab.txt", "--ouput_dir=x"],
            "--ouput_dir=x is neither an option of this program nor of Beam; did you mean"
            " --output_dir",
        ),
    ],
)
def test_command_line_errors(arguments, message, golden, tmp_path):
    arguments = [a.format(tmp=tmp_path, golden=golden) for a in arguments]
    common = ["--vocab_file", f"{tmp_path}/vocab.txt", "--output_dir", f"{tmp_path}/d"]
    with pytest.raises(UserError, match=message):
        main([*common, *arguments])


def test_second_build_in_a_directory_is_an_error(golden, tmp_path):
    arguments = [
        *("--gin_param", "BuildConfig.copies = 0", "--books", f"{golden}/books/*.txt"),
        *("--vocab_file", f"{golden}/vocab.txt", "--output_dir", str(tmp_path / "d")),
    ]
    message = r"--output_dir .*d is in use by another build"
    with build_dir.lock(str(tmp_path / "d")), pytest.raises(UserError, match=message):
        main(arguments)


def test_implausible_lengths_are_said():
    counts = {"tokens_tokenized": 4_404_120, "sentences_tokenized": 17_976, "documents_read": 10}
    rows = {"tokens_tokenized": 14_000, "sentences_tokenized": 1000, "documents_read": 1000}
    prose = {"tokens_tokenized": 25_000, "sentences_tokenized": 1000, "documents_read": 10}
    long, short = implausible_lengths({"text": counts, "jsonl": rows, "books": prose})
    assert "--text: 17,976 sentences of 245 tokens on average" in long
    assert "--sentences" in long
    assert "--jsonl: 1,000 documents of 14 tokens on average" in short


@pytest.mark.parametrize("pattern", ["**", "**/*.txt", "*/*.txt"])
def test_output_directory_inside_the_glob_of_the_inputs_is_an_error(golden, tmp_path, pattern):
    (tmp_path / "a.txt").write_text("Text.")
    with pytest.raises(UserError, match=r"--output_dir .*/d is inside --books "):
        main(
            [
                *("--books", f"{tmp_path}/{pattern}", "--vocab_file", f"{golden}/vocab.txt"),
                *("--output_dir", str(tmp_path / "d")),
            ]
        )
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize("workers", ["-1", "1000000"])
def test_number_of_workers_out_of_range_is_an_error(tmp_path, workers):
    with pytest.raises(UserError, match=rf"--direct_num_workers={workers}: must be between 0"):
        pipeline_options([f"--direct_num_workers={workers}"], output_dir=str(tmp_path), paths=[])


def test_home_directory_is_expanded_in_arguments(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    seen = []
    run_main(seen.extend, ["--a=~/x", "--b", "~/y", "~", "a~/z", "--c=1 ~/x"])
    assert seen == ["--a=/home/me/x", "--b", "/home/me/y", "/home/me", "a~/z", "--c=1 ~/x"]


@pytest.mark.parametrize("size", ["0", "-5", "1000000000"])
def test_vocabulary_size_out_of_range_is_an_error(tmp_path, size):
    with pytest.raises(UserError, match=rf"--vocab_size {size}: must be between 1 and 1,000,000"):
        vocab_main(["--vocab_size", size, "--output_file", str(tmp_path / "v"), "--input", "x"])


LIST_OF_STARS = "<mediawiki><siteinfo><dbname>testwiki</dbname></siteinfo>\n" + "".join(
    f"<page><ns>0</ns><id>{number}</id><revision><text>{text}</text></revision></page>\n"
    for number, text in enumerate(["A bird of the tree.", *["Name of a star"] * 100])
)


def test_an_input_that_is_hardly_prose_is_said_by_name_and_share(golden, tmp_path, capsys):
    (tmp_path / "stars.xml").write_text(LIST_OF_STARS + "</mediawiki>\n")
    shutil.copy(golden / "wiki.xml.bz2", tmp_path)
    directory = str(tmp_path / "D")
    main(
        [
            *("--gin_param", "BuildConfig.copies = 0", "--gin_param", "BuildConfig.num_shards = 1"),
            *("--gin_param", "BuildConfig.eval_fraction = 0.0"),
            *("--gin_param", "BuildConfig.max_unknown_fraction = 1.0"),
            *("--wiki", f"{tmp_path}/*.xml*", "--vocab_file", f"{golden}/vocab.txt"),
            *("--output_dir", directory),
        ]
    )
    warning = "ONLY 1.3% OF THE TEXT IS KEPT (19 of 1,419 bytes of paragraphs);"
    assert f"WARNING data: --wiki stars.xml: {warning}" in capsys.readouterr().err
    manifest = Manifest.load(directory)
    assert manifest.prose == {"wiki/stars.xml": {"bytes_expected": 1419, "bytes_kept": 19}}
    view_main([directory, "--number", "0"])
    assert "ONLY 1.3% OF THE TEXT IS KEPT" in capsys.readouterr().out
    assert "ONLY 1.3% OF THE TEXT IS KEPT" in Path(directory, "report.html").read_text()


def test_builds_of_prose_have_no_such_warning(small_build):
    assert '"prose"' not in Path(small_build, "manifest.json").read_text()
