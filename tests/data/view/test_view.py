"""`python -m data.view`: tables, sequences, the page, and damaged builds."""

import dataclasses
import html.parser
import io
import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from rich.console import Console

from data import schema
from data.build import build
from data.cli.main import run_main
from data.errors import UserError
from data.files import sha256_of
from data.manifest import Manifest
from data.sources.documents import find_inputs
from data.storage.records import parse_specs
from data.view import __main__ as view
from data.view import html as view_html
from data.view.sequences import SequenceViewer, Span, gaps, spans_of
from data.vocab import Vocab

REPEATED = (
    "Who will believe my verse in time to come, if it were filled with your most high deserts?"
)
LINES = [
    {"id": "one", "text": f"{REPEATED}\nThe age to come would say this poet lies."},
    {"id": "two", "text": f"{REPEATED}\nSuch heavenly touches ne'er touched earthly faces."},
    {"id": "again", "text": f"{REPEATED}\nThe age to come would say this poet lies."},
    {"id": "empty", "text": ""},
]


@pytest.fixture(scope="module")
def built(tmp_path_factory, small_config, vocab, golden):
    """Books, and lines of JSON with duplicates and rejects: 64 tokens, 3 copies, 2 shards."""
    path = tmp_path_factory.mktemp("view")
    lines = "\n".join(["", *map(json.dumps, LINES), "no <JSON>", ""])
    (path / "lines.jsonl").write_text(lines)
    inputs = find_inputs("books", f"{golden}/books/*.txt")
    inputs += find_inputs("jsonl", f"{path}/lines.jsonl")
    config = dataclasses.replace(small_config, max_reject_fraction=0.5)
    build(config=config, vocab=vocab, inputs=inputs, output_dir=str(path / "data"))
    return path / "data"


@pytest.fixture
def damaged(built, tmp_path):
    """A copy of the build for tests that damage it."""
    return shutil.copytree(built, tmp_path / "data")


def edit(directory, change) -> None:
    """Change the manifest of a build."""
    path = directory / schema.MANIFEST_FILE
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def error_of(capsys, *argv) -> str:
    with pytest.raises(SystemExit) as stop:
        run_main(view.main, [str(argument) for argument in argv])
    assert stop.value.code == 2
    return capsys.readouterr().err


def test_printed_tables_of_a_build(built, capsys):
    view.main([str(built), "--html", "", "--number", "0"])
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    # "again" is "one" again: 89 + 41 bytes; "two" repeats its first paragraph: 89 bytes.
    assert lines[:12] == [
        "BYTES                         books  jsonl    total    share",
        "bytes in                    120,717    524  121,241  100.00%",
        "  kept                      118,999    180  119,179   98.30%",
        "  markup removed              1,718     86    1,804    1.49%",
        "  sections removed                0      0        0    0.00%",
        "  skipped: blank lines            0      1        1   <0.01%",
        "  rejected                        0     38       38    0.03%",
        "  contaminated                    0      0        0    0.00%",
        "  duplicate documents             0    130      130    0.11%",
        "  near-duplicate documents        0      0        0    0.00%",
        "  duplicate paragraphs            0     89       89    0.07%",
        "= sum                       120,717    524  121,241  100.00%",
    ]
    packed = [
        np.concatenate([np.load(path) for path in (built / "packed" / split).glob("*.npy")])
        for split in schema.SPLITS
    ]
    padding = [int((sequences == 0).sum()) for sequences in packed]
    assert ["padding", *(f"{n:,}" for n in (*padding, sum(padding)))] in map(str.split, lines)
    assert not any(line.startswith("predicted:") for line in lines)


def test_spans_have_the_shown_piece_and_the_label():
    vocab = Vocab((*schema.SPECIAL_TOKENS, "the", "king", "##dom", "of", "sun"))
    #                     [CLS] the king ##dom [SEP] of sun ##dom [SEP] [PAD] [PAD]
    tokens_S = np.array([2, 5, 6, 7, 3, 8, 9, 7, 3, 0, 0], np.uint16)
    features = {
        "input_word_ids": np.array([[2, 5, 6, 4, 3, 7, 9, 7, 3, 0, 0]]),
        "input_mask": np.array([[1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0]]),
        "masked_lm_positions": np.array([[3, 5, 6, 0]]),
        "masked_lm_weights": np.array([[1.0, 1.0, 1.0, 0.0]]),
    }
    spans = spans_of(tokens_S, features, vocab)
    assert spans == (
        Span(kind="separator", text="[CLS]"),
        Span(kind="plain", text="the king"),
        Span(kind="mask", text="[MASK]", label="##dom", joins=True),
        Span(kind="separator", text="[SEP]"),
        Span(kind="random", text="##dom", label="of"),
        Span(kind="same", text="sun", label="sun"),
        Span(kind="plain", text="dom", joins=True),
        Span(kind="separator", text="[SEP]"),
        Span(kind="padding", text="[PAD] x 2"),
    )
    assert gaps(spans) == ["", " ", "", " ", "\n", " ", "", " ", "\n"]
    sequence = view.MaskedSequence(split="train", index=1, copy=2, record=None, spans=spans)
    output = io.StringIO()
    view.print_sequence(Console(file=output, markup=False, width=60), sequence)
    assert output.getvalue().splitlines() == [
        "train sequence 1, copy 2 " + 35 * "─",
        "[CLS] the king[MASK→##dom] [SEP]",
        "[##dom→of] [sun=]dom [SEP]",
        "[PAD] x 2",
        "masked while reading: no copy on disk",
        "",
    ]


@pytest.mark.parametrize(("split", "copy"), [("train", 0), ("train", 2), ("eval", 0)])
def test_shown_sequence_equals_the_record(built, vocab, split, copy):
    manifest = Manifest.load(built)
    config = manifest.config
    records = [
        tf.io.parse_single_example(record, parse_specs(config.max_seq_length, 10))
        for shard in manifest.split(split)
        for record in tf.data.TFRecordDataset(str(built / shard.masked[copy].path))
    ]
    viewer = SequenceViewer(str(built), manifest)
    assert len(records) == manifest.num_sequences(split)
    for index in (0, len(records) // 2, len(records) - 1):
        record = {name: value.numpy() for name, value in records[index].items()}
        predicted = [s for s in viewer.view(split, index, copy).spans if s.label]
        count = int(record["masked_lm_weights"].sum())
        assert [vocab.ids[s.label] for s in predicted] == record["masked_lm_ids"][:count].tolist()
        shown = record["input_word_ids"][record["masked_lm_positions"][:count]]
        assert [vocab.ids[s.text] for s in predicted] == shown.tolist()


def test_choice_of_sequences_is_repeatable(built):
    viewer = SequenceViewer(str(built), Manifest.load(built))
    chosen = viewer.choose("train", 5)
    assert len(set(chosen)) == 5
    assert chosen == viewer.choose("train", 5)
    assert sorted(viewer.choose("train", 1000)) == list(range(167))


def test_pieces_are_counted(built, vocab):
    manifest = Manifest.load(built)
    found = SequenceViewer(str(built), manifest).count_pieces("train")
    packed = [np.load(built / shard.packed.path) for shard in manifest.split("train")]
    expected = np.bincount(np.concatenate(packed).ravel(), minlength=len(vocab))
    assert found.counts.tolist() == expected.tolist()
    assert (found.num_sequences, found.is_sample) == (167, False)


def test_pieces_of_a_large_build_are_counted_in_a_sample(built, monkeypatch):
    monkeypatch.setattr("data.view.sequences._POSITIONS_COUNTED", 2 * 10 * 64)
    found = SequenceViewer(str(built), Manifest.load(built)).count_pieces("train")
    assert (found.num_sequences, found.is_sample, found.counts.sum()) == (20, True, 20 * 64)


def test_swapped_masked_copy_is_an_error(damaged, capsys):
    first, second = (damaged / schema.masked_path("train", 1, copy) for copy in (0, 1))
    second.write_bytes(first.read_bytes())
    view.main([str(damaged), "--html", "", "--copy", "0"])
    capsys.readouterr()
    size = Manifest.load(damaged).split("train")[0].packed.records
    error = error_of(capsys, damaged, "--html", "", "--copy", "1", "--sequence", size + 5)
    assert f"{second}: record 5 differs from row 5 of packed/train/shard-00001.npy" in error


def test_damaged_record_is_an_error(damaged, capsys):
    path = damaged / schema.masked_path("eval", 0, 0)
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    error = error_of(capsys, damaged, "--html", "", "--split", "eval", "--sequence", 0)
    assert error == (
        f"error: {path}: record 0 is damaged (wrong checksum); copy it again or rebuild it\n"
    )


def test_damaged_shard_is_an_error(damaged, capsys):
    path = damaged / schema.packed_path("train", 0)
    whole = np.load(path)
    changed = whole.copy()
    changed[-1, 1] = 3  # a separator too many, in a row that is not shown
    np.save(path, changed)
    error = error_of(capsys, damaged, "--number", 0)
    assert error.startswith(f"error: {path} is damaged: it holds {{'tokens': ")
    path.write_bytes(path.read_bytes().replace(b"NUMPY", b"numpy"))
    assert error_of(capsys, damaged, "--sequence", 0).startswith(f"error: {path} is damaged: ")
    np.save(path, whole.view(np.int16))
    assert f"{path} holds int16 [" in error_of(capsys, damaged, "--sequence", 0)
    whole[0, 1] = 60_000
    np.save(path, whole)
    for number in (0, 1):
        error = error_of(capsys, damaged, "--sequence", 0, "--number", number)
        assert f"{path} is damaged: it holds id 60000, the vocabulary has" in error


def test_missing_or_damaged_manifest_is_an_error(tmp_path, damaged, capsys):
    assert f"{tmp_path}/none does not exist" in error_of(capsys, tmp_path / "none")
    assert f"{tmp_path} is not a finished build" in error_of(capsys, tmp_path)
    assert "must be a local path" in error_of(capsys, "gs://bucket/data")
    edit(damaged, lambda content: content["accounts"]["books"].update(bytes_input=1))
    error = error_of(capsys, damaged)
    assert "manifest.json is damaged, or its build was: the accounts of books do not" in error
    assert error.count("\n") == 1
    (damaged / schema.MANIFEST_FILE).write_text('{"format"')
    assert "manifest.json is damaged: it is not JSON" in error_of(capsys, damaged)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--copy 3", "--copy 3: the train split has copies 0 to 2"),
        ("--copy -1", "--copy -1: the train split has copies 0 to 2"),
        ("--split eval --copy 1", "--copy 1: the eval split has copy 0 only"),
        ("--sequence 167", "--sequence 167: the train split has 167 sequences, 0 to 166"),
        ("--number -1", "--number -1: must be 0 or more"),
    ],
)
def test_sequence_or_copy_out_of_range_is_an_error(built, capsys, arguments, message):
    assert error_of(capsys, built, *arguments.split()) == f"error: {message}\n"


def test_empty_split_is_an_error(built):
    manifest = Manifest.load(built)
    manifest = dataclasses.replace(manifest, shards=manifest.split("train"))
    with pytest.raises(UserError, match="--split eval: this build has no eval sequences"):
        SequenceViewer(built, manifest).choose("eval", 3)


def test_build_without_copies_can_show_any_copy(damaged, capsys):
    def without_copies(content):
        content["config"]["copies"] = 0
        for shard in content["shards"]:
            shard["masked"] = []

    view.main([str(damaged), "--html", "", "--sequence", "3", "--copy", "2"])
    before = capsys.readouterr().out.splitlines()
    edit(damaged, without_copies)
    view.main([str(damaged), "--html", "", "--sequence", "3", "--copy", "2"])
    after = capsys.readouterr().out.splitlines()
    start = before.index(next(line for line in before if line.startswith("train sequence 3")))
    assert after[start:-2] == before[start:-2]
    assert after[-2] == "masked while reading: no copy on disk"
    assert before[-2].startswith("equals masked/train/copy-002/shard-0000")


def test_output_has_colours_on_terminals_only(built, capsys, monkeypatch):
    view.main([str(built), "--html", ""])
    assert "\x1b" not in capsys.readouterr().out
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    view.main([str(built), "--html", ""])
    assert "\x1b[1;36mMASK" in capsys.readouterr().out
    monkeypatch.setenv("NO_COLOR", "1")
    view.main([str(built), "--html", ""])
    assert "\x1b[1;36m" not in capsys.readouterr().out


class Page(html.parser.HTMLParser):
    """Collects tags, ids, links and texts of a page; fails if tags do not match."""

    VOID = ("meta", "br", "path", "use", "rect", "image")

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.ids, self.links, self.texts = [], [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        attributes = dict(attrs)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.links += [v for k, v in attrs if k in ("href", "src", "xlink:href")]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def test_page_has_no_external_resources(built, tmp_path, capsys):
    pages = [tmp_path / "a.html", tmp_path / "b.html"]
    for page in pages:
        view.main([str(built), "--number", "2", "--html", str(page)])
    assert capsys.readouterr().out.splitlines()[-1] == f"view: figures in {pages[1]}"
    text = pages[0].read_text()
    assert text == pages[1].read_text()
    page = Page(text)
    assert page.tags.count("svg") == 7
    viewer = SequenceViewer(str(built), Manifest.load(built))
    shown = [viewer.view("train", index, 0) for index in viewer.choose("train", 2)]
    predicted = sum(bool(span.label) for sequence in shown for span in sequence.spans)
    assert page.tags.count("ruby") == 3 + predicted
    assert len(page.ids) == len(set(page.ids))
    assert all(link.startswith("#") for link in page.links)
    assert not re.search(r"url\((?!#)|@import|<script|#0a0b", text)
    assert "bytes in" in page.texts
    assert any(t.startswith("lines.jsonl, byte") and "not a line of JSON" in t for t in page.texts)
    assert "BuildConfig.max_seq_length" in page.texts


def test_page_is_written_into_the_build_by_default(damaged):
    before = sha256_of(damaged / schema.MANIFEST_FILE)
    view.main([str(damaged), "--number", "1"])
    assert (damaged / view.REPORT_FILE).read_text().endswith("</html>\n")
    assert sha256_of(damaged / schema.MANIFEST_FILE) == before


def test_damaged_rejects_file_is_an_error(damaged, capsys):
    path = damaged / schema.REJECTS_FILE
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    assert f"{path} has {len(content) - 1} bytes" in error_of(capsys, damaged)
    path.write_bytes(bytes(len(content)))
    assert f"{path} is damaged: its sha256 is" in error_of(capsys, damaged)


def test_spans_are_escaped():
    span = Span(kind="random", text="<b>", label="&")
    assert (
        view_html._span(span) == '<ruby class="random"><span>&lt;b&gt;</span><rt>&amp;</rt></ruby>'
    )


def test_names_and_pieces_are_escaped(tmp_path, small_config, vocab):
    """A file named <script>.jsonl, and a piece <script>, on the page."""
    special = np.array(vocab.pieces)[vocab.special_ids]
    hostile = next(i for i in range(len(vocab)) if vocab.pieces[i] not in special)
    pieces = list(vocab.pieces)
    pieces[hostile] = "<script>"
    lines = [{"id": str(i), "text": f"{line['text']} {i}"} for i, line in enumerate(LINES[:3])]
    source = tmp_path / "<script>.jsonl"
    source.write_text("\n".join([*map(json.dumps, lines), "no <JSON>", ""]))
    config = dataclasses.replace(small_config, max_reject_fraction=0.5, eval_fraction=0.0)
    output = tmp_path / "data"
    inputs = find_inputs("jsonl", f"{tmp_path}/*.jsonl")
    build(config=config, vocab=Vocab(tuple(pieces)), inputs=inputs, output_dir=str(output))
    view.main([str(output), "--number", "2"])
    text = (output / view.REPORT_FILE).read_text()
    assert "script" not in Page(text).tags
    assert "&lt;script&gt;.jsonl" in text
    assert re.search(r'class="piece">[^<]*&lt;script&gt;', text)


def test_start_imports_no_large_library():
    code = (
        "import sys, data.view.__main__; print(sorted({m.partition('.')[0] for m in sys.modules}))"
    )
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    assert "'numpy'" in modules
    for library in ("tensorflow", "apache_beam", "matplotlib", "tokenizers"):
        assert f"'{library}'" not in modules
