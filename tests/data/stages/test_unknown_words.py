"""Words behind [UNK]: found in tokenized sentences, counted over units, shown with a build."""

import dataclasses
import json

import pytest

from data.build import build
from data.manifest import Manifest
from data.sources.documents import find_inputs
from data.stages.unknown_words import UnknownWordCounter, characters_without_piece, most_frequent
from data.text.wordpiece import WordPieceTokenizer
from data.view.__main__ import main as view_main
from data.vocab import Vocab

VOCAB = Vocab(
    ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "tale", "of", "cafe", "lane", ".")
)


def counted(sentences, *, lower_case=True):
    tokenizer = WordPieceTokenizer(VOCAB, lower_case=lower_case)
    counter = UnknownWordCounter(VOCAB)
    counter.add(sentences, *tokenizer.encode(sentences), tokenizer)
    return counter.report()


def test_unknown_words_are_counted_as_written_with_an_example():
    assert counted(["The tale of Ωmega.", "", "The café of Ωmega, the lane.", "The lane."]) == {
        "Ωmega": {"count": 2, "example": "The tale of Ωmega."},
        ",": {"count": 1, "example": "The café of Ωmega, the lane."},
    }
    assert counted(["the tale."]) == counted([]) == {}


def test_cased_text_is_compared_as_its_tokenizer_reads_it():
    assert list(counted(["The cafe of the tale."], lower_case=False)) == ["The"]


def test_examples_are_cut_around_the_word():
    sentence = "the tale of the lane " * 4 + "and" + " of the tale" * 4
    (entry,) = counted([sentence]).values()
    assert entry["example"] == "the lane the tale of the lane and of the tale of the tale of th"


def test_words_of_several_reports_add_up_in_any_order():
    first = {"ab": {"count": 2, "example": "y ab"}, "cd": {"count": 3, "example": "cd"}}
    second = {"ab": {"count": 5, "example": "x ab"}, "ef": {"count": 3, "example": "ef"}}
    expected = {"ab": {"count": 7, "example": "x ab"}, "cd": {"count": 3, "example": "cd"}}
    for reports in ([first, second], [second, first]):
        assert most_frequent(reports, 2) == expected
        assert list(most_frequent(reports, 2)) == ["ab", "cd"]


@pytest.mark.parametrize(
    ("word", "characters"), [("Ωmegaω", "Ωmgω"), ("Café", ""), ("Tale", ""), ("zoo", "z")]
)
def test_characters_that_no_piece_has(word, characters):
    assert characters_without_piece(word, VOCAB) == characters


def test_a_build_names_its_unknown_words(tmp_path, small_config, vocab, capsys):
    rows = [
        {"id": str(i), "text": f"The {word} came to the king and said that all was well."}
        for i, word in enumerate(["☃", "王", "☃", "<ю>"])
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    config = dataclasses.replace(
        small_config, eval_fraction=0.0, max_unknown_fraction=1.0, drop_duplicates=False
    )
    inputs = find_inputs("jsonl", f"{tmp_path}/rows.jsonl")
    build(config=config, vocab=vocab, inputs=inputs, output_dir=str(tmp_path / "D"))
    example = "The ☃ came to the king and said that "
    assert Manifest.load(tmp_path / "D").unknown_words["☃"] == {"count": 2, "example": example[:35]}
    view_main([str(tmp_path / "D"), "--number", "0"])
    output = capsys.readouterr().out
    assert "WORDS BEHIND [UNK]" in output
    assert next(line.split()[:3] for line in output.splitlines() if line.startswith("王")) == [
        *("王", "1", "王")
    ]
    page = (tmp_path / "D" / "report.html").read_text()
    assert "<td>ю</td>" in page and "Words behind [UNK]" in page


def test_words_of_real_text_account_for_every_unknown_token(small_build):
    manifest = Manifest.load(small_build)
    named = {word: entry["count"] for word, entry in manifest.unknown_words.items()}
    assert "10⁻⁷" in named and len(named) < 20
    assert sum(named.values()) == sum(shard.unknown_tokens for shard in manifest.shards)
