"""Compare the tokens of data.build, the exported preprocessor and Hugging Face's tokenizer."""

import importlib.util

import pytest

from data.samples import main as write_samples
from data.sources.documents import find_inputs
from data.sources.formats import guess_kind
from data.text.sentences import split_sentences
from data.vocab.learn import learn
from data.vocab.paragraphs import read_paragraphs
from tests.support.paths import ROOT


@pytest.fixture(scope="module")
def program():
    path = ROOT / "docs/compare_tokenizers.py"
    spec = importlib.util.spec_from_file_location("compare_tokenizers", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_known_differences_are_found(program, tmp_path):
    """The differences that docs/interoperability.md explains."""
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "α", "##σ", "##ς", ".", "…", "x"]
    (tmp_path / "vocab.txt").write_text("\n".join(vocab), encoding="utf-8")
    differences = program.compare(["ας", "x…", "X"], str(tmp_path / "vocab.txt"), lower_case=True)
    assert differences["preprocessor"] == []
    assert differences["Hugging Face"] == [
        ("ας", ["α", "##σ"], ["α", "##ς"]),
        ("x…", ["x", ".", ".", "."], ["x", "…"]),
    ]


def test_the_program_reads_files_of_all_kinds(program, golden, capsys):
    files = [f"{golden}/wiki.xml.bz2", f"{golden}/books/*.txt"]
    program.main(["--vocab_file", f"{golden}/vocab.txt", "--input", *files])
    output = capsys.readouterr().out
    assert "sentences, against the tokens of the data build:" in output
    assert "preprocessor: 0 sentences differ" in output


@pytest.mark.slow
def test_tokens_of_the_whole_sample_text(program, tmp_path):
    write_samples(["--output_dir", str(tmp_path)])
    inputs = find_inputs("input", f"{tmp_path}/*/*", kind_of=guess_kind)
    paragraphs = list(read_paragraphs(inputs, max_bytes=10**9))
    vocab = learn(paragraphs, vocab_size=8000, lower_case=True)
    (tmp_path / "vocab.txt").write_text(vocab.text, encoding="utf-8")
    sentences = [sentence for text in paragraphs for sentence in split_sentences(text)]
    differences = program.compare(sentences, str(tmp_path / "vocab.txt"), lower_case=True)
    assert len(sentences) > 100_000
    assert differences["preprocessor"] == []
    assert 0 < len(differences["Hugging Face"]) < 0.003 * len(sentences)
