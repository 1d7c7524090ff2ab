"""Benchmark of the data build, on little text and without targets for speed."""

import json
import shutil
import subprocess
import sys

import pytest

from bench.data import __main__ as main
from bench.data import cases, material, measure, quality, report, worker
from bench.data.workspace import Workspace, read_articles, read_texts, write_texts

SINGLE_PASS = measure.Stopwatch(repeats=0, min_seconds=0)
# Cases whose libraries are in the environment of the tests.
RUNNABLE = [
    case
    for case in cases.CASES
    if case.implementation in ("lambert", "tf-models", "mwparserfromhell")
    and case.stage != "memory"
]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, golden):
    """A workspace with the golden text in place of the samples."""
    workspace = Workspace(tmp_path_factory.mktemp("bench"))
    samples = workspace.root / "samples"
    (samples / "wiki").mkdir(parents=True)
    shutil.copy(golden / "wiki.xml.bz2", samples / "wiki")
    shutil.copytree(golden / "books", samples / "books")
    shutil.copy(golden / "vocab.txt", workspace.vocab)
    material.prepare(workspace, eval_fraction=0.25)
    return workspace


@pytest.mark.parametrize("case", RUNNABLE, ids=lambda case: case.name)
def test_case_returns_rates(workspace, case):
    for row in worker.run_case(case, workspace, SINGLE_PASS):
        assert {"implementation", "stage", "what", "setting", "versions"} <= row.keys()
        rates = [row[key] for key in row if key.endswith("_per_second")]
        assert rates
        assert all(rate > 0 for rate in rates)


def test_table_lists_rates_and_targets():
    rows = [
        {"implementation": name, "stage": stage, "what": what, "setting": "as it is", **figures}
        for name, stage, what, figures in (
            ("lambert", "packing", "in memory", rates("tokens", 4e6)),
            ("huggingface", "packing", "grouped", rates("tokens", 1e6)),
            (
                "lambert",
                "memory",
                "growth",
                {"peak_bytes_per_token": 3.5, "peak_own_bytes_per_token": 5},
            ),
        )
    ]
    table = report.table(rows)
    assert "in memory, tokens_per_second at least 3,000,000: reached" in table
    assert "8 x huggingface: 4.0 x, MISSED" in table
    assert "peak_bytes_per_token at most 4: reached" in table
    assert "peak_own_bytes_per_token at most 4: MISSED" in table


def test_table_lists_errors_of_sentence_splitters():
    errors = {"precision": 0.5, "recall": 0.25, "f1": 1 / 3, "expected": 8, "changed_paragraphs": 2}
    row = {"implementation": "pysbd", "stage": "sentences", "what": "split", "setting": "as it is"}
    table = report.table([{**row, "boundaries": {"hard": errors}}])
    assert "hard text: precision 50.0%, recall 25.0%, f1 33.3% of 8 boundaries" in table
    assert "2 paragraphs CHANGED" in table


def rates(unit: str, rate: float) -> dict[str, float]:
    return {f"{unit}_per_second": rate, f"{unit}_per_cpu_second": rate}


def test_quality_counts_leftover_markup_and_words_of_checked_pages(workspace, golden):
    by_title = {title: page_id for page_id, title, _ in read_articles(workspace.dump)}
    prose = (golden / "astronomer.txt").read_text()
    pages = {by_title["Astronomer"]: prose + "[[thumb|20px\n"}
    for name, texts in (("neat", {by_title["Astronomer"]: prose}), ("rough", pages)):
        write_texts(workspace.cleaned(name), texts.items())
    neat, rough = quality.compare(workspace, ["neat", "rough"])
    assert neat["debris_per_100_kilobytes"]["[["] == 0
    for kind in ("[[", "|", "px", "thumb"):
        assert rough["debris_per_100_kilobytes"][kind] > 0
    assert neat["reference_recall"] == rough["reference_recall"]
    assert neat["reference_precision"] == 1 > rough["reference_precision"]
    assert rough["numbers_kept"] == 1


def test_variations_replace_every_document_and_keep_its_length(workspace):
    folder = material.write_variations(workspace, 2)
    first, second = (read_texts(folder / f"{k:03d}.jsonl") for k in (0, 1))
    original = read_texts(workspace.documents)
    assert list(first.values()) == list(original.values())
    assert not set(first) & set(second)
    for text, varied in zip(first.values(), second.values(), strict=True):
        assert text != varied
        assert len(text.split()) == len(varied.split())


def test_peak_memory_counts_pages_shared_with_children_once():
    size = 64 * 2**20
    code = (
        f"import os, time; data = b'x' * {size}; child = os.fork(); time.sleep(0.5);"
        " child and os.wait()"
    )
    peak, _ = measure.peak_memory([sys.executable, "-c", code])
    assert size < peak.own <= peak.total < 1.6 * size
    with pytest.raises(subprocess.CalledProcessError):
        measure.peak_memory([sys.executable, "-c", "raise SystemExit(1)"])


def test_rows_of_other_stages_remain_in_the_file(workspace, tmp_path, monkeypatch):
    (masking,) = [case for case in RUNNABLE if case.name == "masking-lambert"]
    monkeypatch.setattr(main, "CASES", (masking,))
    results = tmp_path / "data.json"
    earlier = [{"stage": "reading", "what": "kept"}, {"stage": "masking", "what": "replaced"}]
    results.write_text(json.dumps(earlier))
    main.run(["masking"], workspace, results, {"repeats": 0, "min_seconds": 0})
    *rows, other = json.loads(results.read_text())
    assert other == earlier[0]
    assert {row["what"] for row in rows} == {"masked TFRecords on disk", "masks alone"}
    assert all({"command", "machine", "date"} <= row.keys() for row in rows)


def test_missing_peer_environment_is_skipped_with_a_hint(workspace, monkeypatch, capsys):
    peer = next(case for case in cases.CASES if case.is_peer)
    monkeypatch.setattr(main, "_PEERS_PYTHON", workspace.root / "nowhere")
    assert main.measure(peer, workspace, {}) == []
    assert "`make bench-data` makes it" in capsys.readouterr().out
