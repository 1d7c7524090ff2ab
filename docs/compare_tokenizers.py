"""Count differences between three tokenizers: data build, exported preprocessor, Hugging Face.

    python docs/compare_tokenizers.py --vocab_file vocab.txt --input 'samples/*/*'

Tokenizes every sentence with all three. The data build and the preprocessor must agree.
"""

import argparse
import itertools
import sys
import tempfile

import tensorflow as tf
import tensorflow_text  # noqa: F401  registers the ops of the preprocessor
from tokenizers import Tokenizer

from data.cli.main import run_main
from data.sources.documents import find_inputs
from data.sources.formats import guess_kind
from data.text.sentences import split_sentences
from data.text.wordpiece import WordPieceTokenizer
from data.vocab import Vocab
from data.vocab.paragraphs import read_paragraphs
from model.huggingface import tokenizer_files
from pretrain.export.preprocessor import export_preprocessor


def compare(sentences: list[str], vocab_file: str, *, lower_case: bool) -> dict[str, list[tuple]]:
    """Return the differences by tokenizer, each (sentence, pieces of the data build, its own pieces)."""
    vocab = Vocab.load(vocab_file)
    tokenizer = WordPieceTokenizer(vocab, lower_case=lower_case)
    with tempfile.TemporaryDirectory() as path:
        export_preprocessor(path, vocab_file=vocab_file, lower_case=lower_case, seq_length=128)
        preprocessor = tf.saved_model.load(path)
    files = tokenizer_files(vocab.pieces, lower_case=lower_case, max_length=512)
    huggingface = Tokenizer.from_str(files["tokenizer.json"])
    differences = {"preprocessor": [], "Hugging Face": []}
    for start in range(0, len(sentences), 1024):
        batch = sentences[start : start + 1024]
        ids, lengths = tokenizer.encode(batch)
        ends = itertools.accumulate(lengths.tolist())
        expected = [
            ids[end - length : end].tolist() for end, length in zip(ends, lengths, strict=True)
        ]
        others = {
            "preprocessor": preprocessor.tokenize(tf.constant(batch)).merge_dims(1, 2).to_list(),
            "Hugging Face": [
                e.ids for e in huggingface.encode_batch_fast(batch, add_special_tokens=False)
            ],
        }
        for name, rows in others.items():
            for sentence, *both in zip(batch, expected, rows, strict=True):
                if both[0] != both[1]:
                    pieces = [[vocab.pieces[i] for i in row] for row in both]
                    differences[name].append((sentence, *pieces))
    return differences


def main(argv: list[str]) -> None:
    """Print counts and examples."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--vocab_file", required=True)
    parser.add_argument("--input", required=True, action="extend", nargs="+", metavar="GLOB")
    parser.add_argument("--cased", action="store_true")
    parser.add_argument("--examples", type=int, default=5)
    args = parser.parse_args(argv)
    inputs = [
        file for glob in args.input for file in find_inputs("input", glob, kind_of=guess_kind)
    ]
    sentences = [s for p in read_paragraphs(inputs, max_bytes=10**9) for s in split_sentences(p)]
    differences_by_name = compare(sentences, args.vocab_file, lower_case=not args.cased)
    print(f"{len(sentences):,} sentences, against the tokens of the data build:")
    for name, differences in differences_by_name.items():
        print(f"{name}: {len(differences):,} sentences differ")
        for sentence, ours, theirs in differences[: args.examples]:
            pairs = zip(ours, theirs, strict=False)
            first = next((i for i, (a, b) in enumerate(pairs) if a != b), 0)
            window = slice(max(first - 1, 0), first + 4)
            print(f"  {sentence[:100]!r}")
            print(f"    data build {ours[window]}, {name} {theirs[window]}")
    if differences_by_name["preprocessor"]:
        sys.exit("error: the exported preprocessor and the data build tokenize differently")


if __name__ == "__main__":
    run_main(main)
