import dataclasses
import json
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from data import build as build_module
from data import schema
from data.build import build, main, summary
from data.config import BuildConfig
from data.documents import find_inputs
from data.errors import UserError
from data.files import atomic_path, sha256_of
from data.manifest import Manifest
from data.masking import MaskingRule, mask_sequences
from data.pipeline import shard_of
from data.sentences import split_sentences
from data.sources import read_input
from data.vocab import Vocab
from data.wordpiece import WordPieceTokenizer


def all_files(directory) -> dict[str, str]:
    return {
        path.relative_to(directory).as_posix(): sha256_of(path)
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def packed(directory, manifest, split) -> np.ndarray:
    return np.concatenate(
        [np.load(directory / shard.packed.path) for shard in manifest.split(split)]
    )


def test_what_is_on_disk_is_what_the_manifest_says(small_build):
    manifest = Manifest.load(small_build)
    listed = {
        file.path: file.sha256
        for shard in manifest.shards
        for file in (shard.packed, *shard.masked)
    }
    others = {schema.MANIFEST_FILE, schema.VOCAB_FILE, schema.REJECTS_FILE}
    assert {p: h for p, h in all_files(small_build).items() if p not in others} == listed
    assert [len(shard.masked) for shard in manifest.split("train")] == [3, 3]
    assert [len(shard.masked) for shard in manifest.split("eval")] == [1]
    assert manifest.rejected == 0
    assert (small_build / schema.REJECTS_FILE).read_text() == ""


def test_every_document_is_in_exactly_one_split_and_every_token_is_there(
    small_build, small_config, vocab, inputs
):
    manifest = Manifest.load(small_build)
    tokenizer = WordPieceTokenizer(vocab, lower_case=True)
    ids = {"train": 0, "eval": 0}
    bags = {split: np.zeros(len(vocab), np.int64) for split in schema.SPLITS}
    for file in inputs:
        for document in read_input(file):
            split, _ = shard_of(document.id, small_config)
            tokens = np.concatenate(tokenizer.encode(split_sentences(document.paragraphs)))
            bags[split] += np.bincount(tokens, minlength=len(vocab))
            ids[split] += 1
    assert ids["train"] + ids["eval"] == 11
    outside = [vocab.ids[token] for token in (schema.PAD, schema.CLS, schema.SEP)]
    for split, bag in bags.items():
        sequences = packed(small_build, manifest, split)
        assert sequences.dtype == np.uint16
        found = np.bincount(sequences.ravel(), minlength=len(vocab))
        found[outside] = 0
        np.testing.assert_array_equal(found, bag)
        assert sum(shard.tokens for shard in manifest.split(split)) == bag.sum()
        documents = [sum(shard.documents.values()) for shard in manifest.split(split)]
        assert sum(documents) == ids[split]


def test_sequences_read_as_text(small_build, vocab):
    manifest = Manifest.load(small_build)
    for row in packed(small_build, manifest, "train"):
        pieces = [vocab.pieces[i] for i in row if i != vocab.ids[schema.PAD]]
        assert pieces[0] == schema.CLS
        assert pieces[-1] == schema.SEP
        assert schema.MASK not in pieces


def test_masked_files_hold_the_mask_function(small_build, small_config, vocab):
    import tensorflow as tf

    from data.records import parse_specs

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


def test_the_same_bytes_from_two_workers(small_build, small_config, vocab, inputs, tmp_path):
    arguments = ["--direct_num_workers=2", "--direct_running_mode=multi_processing"]
    build(
        config=small_config,
        vocab=vocab,
        inputs=list(reversed(inputs)),
        output_dir=str(tmp_path / "d"),
        beam_args=arguments,
    )
    assert all_files(tmp_path / "d") == all_files(small_build)


def test_a_finished_build_is_not_made_again(small_build, small_config, vocab, inputs, capsys):
    before = (small_build / schema.MANIFEST_FILE).stat().st_mtime_ns
    build(config=small_config, vocab=vocab, inputs=inputs, output_dir=str(small_build))
    assert "is built already" in capsys.readouterr().out
    assert (small_build / schema.MANIFEST_FILE).stat().st_mtime_ns == before


def test_another_build_in_the_directory_is_an_error(small_build, small_config, vocab, inputs):
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


def test_a_damaged_dump_stops_the_build(golden, vocab, tmp_path):
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
    with pytest.raises(UserError, match=r"1 of 5 documents were refused, more than .*=0\.01"):
        build(config=strict, **arguments)
    assert not (tmp_path / "d" / schema.MANIFEST_FILE).exists()

    lenient = BuildConfig(copies=0, eval_fraction=0.0, max_reject_fraction=0.5)
    manifest = build(config=lenient, **arguments)
    (line,) = (tmp_path / "d" / schema.REJECTS_FILE).read_text().splitlines()
    assert json.loads(line) == {
        "source": "bad.txt",
        "offset": "3",
        "reason": "not UTF-8: byte 0xe9",
    }
    assert manifest.rejected == 1
    assert summary(manifest).startswith("train: 4 documents, ")
    assert "0 masked copies; " in summary(manifest)
    assert summary(manifest).endswith("of the tokens unknown; 1 documents refused")
    assert not (tmp_path / "d/masked").exists()


def test_no_held_out_document_is_an_error(golden, vocab, tmp_path):
    with pytest.raises(UserError, match="none of the 1 documents fell into the held-out split"):
        build(
            config=BuildConfig(copies=1, eval_fraction=0.01),
            vocab=vocab,
            inputs=find_inputs("books", f"{golden}/books/sonnets.txt"),
            output_dir=str(tmp_path / "d"),
        )


@pytest.mark.parametrize("runner", ["DirectRunner", "x.DaskRunner", "DataflowRunner"])
def test_runners_that_are_refused(runner):
    with pytest.raises(UserError, match=f"--runner={runner} is not supported"):
        build_module._checked_runner([f"--runner={runner}"])
    assert build_module._checked_runner([]).endswith("FnApiRunner")


def test_the_same_name_twice_is_an_error(golden, vocab, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        shutil.copy(golden / "books/sonnets.txt", tmp_path / folder)
    files = [find_inputs("books", f"{tmp_path}/{folder}/*.txt")[0] for folder in ("a", "b")]
    arguments = {"vocab": vocab, "output_dir": str(tmp_path / "d")}
    config = BuildConfig(copies=0, eval_fraction=0.0)
    with pytest.raises(UserError, match=r"have the same name, sonnets\.txt"):
        build(config=config, inputs=files, **arguments)
    with pytest.raises(UserError, match=r"a/sonnets\.txt is given twice"):
        build(config=config, inputs=files[:1] * 2, **arguments)
    # One glob over both folders tells them apart.
    manifest = build(
        config=config, inputs=find_inputs("books", f"{tmp_path}/**/*.txt"), **arguments
    )
    assert sum(shard.documents["books"] for shard in manifest.shards) == 2


def test_the_same_page_twice_is_an_error(golden, vocab, tmp_path):
    for name in ("one.xml.bz2", "two.xml.bz2"):
        shutil.copy(golden / "wiki.xml.bz2", tmp_path / name)
    with pytest.raises(UserError, match=r"document wiki/\d+ occurs twice"):
        build(
            config=BuildConfig(copies=0, eval_fraction=0.0),
            vocab=vocab,
            inputs=find_inputs("wiki", f"{tmp_path}/*.bz2"),
            output_dir=str(tmp_path / "d"),
        )


def test_an_input_that_changed_is_noticed(golden, vocab, tmp_path):
    shutil.copytree(golden / "books", tmp_path / "books")
    arguments = {
        "config": BuildConfig(copies=0, eval_fraction=0.0),
        "vocab": vocab,
        "output_dir": str(tmp_path / "d"),
    }
    build(inputs=find_inputs("books", f"{tmp_path}/books/*"), **arguments)
    path = tmp_path / "books/sonnets.txt"
    path.write_text(path.read_text().replace("beauty", "byauty", 1))
    with pytest.raises(UserError, match=r"sonnets\.txt has another content"):
        build(inputs=find_inputs("books", f"{tmp_path}/books/*"), **arguments)


def test_a_vocabulary_that_does_not_fit_is_noticed(inputs, vocab, tmp_path):
    with pytest.raises(UserError, match=r"tokens are \[UNK\], more than .*lower_case=False right"):
        build(
            config=BuildConfig(copies=0, eval_fraction=0.0, lower_case=False),
            vocab=vocab,
            inputs=inputs,
            output_dir=str(tmp_path / "d"),
        )


def test_an_interrupted_build_is_made_anew_and_others_are_left_alone(golden, vocab, tmp_path):
    directory = tmp_path / "d"
    old = directory / schema.packed_path("train", 63)
    old.parent.mkdir(parents=True)
    old.touch()
    arguments = {
        "config": BuildConfig(copies=1, num_shards=2, eval_fraction=0.0),
        "vocab": vocab,
        "inputs": find_inputs("books", f"{golden}/books/*"),
        "output_dir": str(directory),
    }
    with pytest.raises(UserError, match="has folders of a build but no manifest"):
        build(**arguments)
    assert old.exists()
    (directory / ".unfinished").touch()
    build(**arguments)
    assert not old.exists()
    assert not (directory / ".unfinished").exists()


def test_ctrl_c_stops_with_one_line(golden, tmp_path):
    """A build large enough to be caught in the middle, and the same command again to the end."""
    command = [sys.executable, "-m", "data.build", "--output_dir", str(tmp_path / "d")]
    command += ["--vocab_file", f"{golden}/vocab.txt", "--books", f"{golden}/books/*.txt"]
    for param in ("copies = 400", "eval_fraction = 0.0", "num_shards = 2"):
        command += ["--gin_param", f"BuildConfig.{param}"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "d").glob("masked/**/*.tfrecord")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert errors.strip() == "interrupted; run the same command again to go on"
    assert not (tmp_path / "d" / schema.MANIFEST_FILE).exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give --wiki GLOB, --books GLOB or both"),
        (["--books", "{tmp}/*.txt"], r"--books .*/\*\.txt: no input file matched"),
        (["--books", "{golden}/books/*.txt"], r"vocabulary file .* does not exist"),
        (["--output_dir=gs://b/d", "--books", "x"], "gs://b/d: only local paths are supported"),
        (["--books", "s3://b/*.txt"], r"--books s3://b/\*\.txt: only local paths"),
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


class TestManifest:
    @pytest.fixture
    def copy(self, small_build, tmp_path):
        return shutil.copytree(small_build, tmp_path / "copy")

    def test_round_trip(self, small_build):
        manifest = Manifest.load(small_build)
        text = (small_build / schema.MANIFEST_FILE).read_text()
        assert manifest.to_json() == text
        assert manifest.sha256 == sha256_of(small_build / schema.MANIFEST_FILE)

    def test_missing(self, tmp_path):
        with pytest.raises(UserError, match="is not a finished build"):
            Manifest.load(tmp_path)
        with pytest.raises(UserError, match="none does not exist"):
            Manifest.load(tmp_path / "none")

    def test_another_version(self, copy):
        path = copy / schema.MANIFEST_FILE
        path.write_text(path.read_text().replace('"version": 1', '"version": 2'))
        with pytest.raises(UserError, match="is lambert-build version 2; this program reads"):
            Manifest.load(copy)

    @pytest.mark.parametrize("content", ["{", "[]", '{"format": "lambert-build", "version": 1}'])
    def test_damaged(self, copy, content):
        (copy / schema.MANIFEST_FILE).write_text(content)
        with pytest.raises(UserError, match=r"manifest\.json"):
            Manifest.load(copy)

    def test_a_shard_that_is_missing_or_cut(self, copy):
        path = copy / schema.masked_path("train", 1, 2)
        size = path.stat().st_size
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(UserError, match=f"has {size - 1} bytes, the manifest says {size}"):
            Manifest.load(copy)
        path.unlink()
        with pytest.raises(UserError, match="is missing, the manifest says"):
            Manifest.load(copy)


def test_atomic_path_leaves_nothing_behind_on_failure(tmp_path):
    target = tmp_path / "file"
    target.write_text("old")
    with pytest.raises(RuntimeError), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]
