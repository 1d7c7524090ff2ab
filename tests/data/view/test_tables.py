"""Tables of the counts of a build."""

import dataclasses
import io

import pytest
from rich.console import Console

from data.config import BuildConfig
from data.errors import UserError
from data.manifest import DataFile, Manifest, Shard
from data.view import __main__ as view
from data.view import tables as view_tables


def printed(tables, **options) -> str:
    output = io.StringIO()
    view.print_tables(Console(file=output, markup=False, **options), tables)
    return "".join(f"{line.rstrip()}\n" for line in output.getvalue().splitlines())


# Invented counts of two sources, which add up.
WIKI = {
    "bytes_input": 1_000_000,
    "bytes_skipped_redirects": 30_000,
    "bytes_skipped_xml": 200_000,
    "bytes_rejected": 10,
    "bytes_sections": 90_000,
    "bytes_markup": 179_990,
    "bytes_text": 500_000,
    "bytes_contaminated": 1_000,
    "bytes_duplicate_document": 20_000,
    "bytes_near_duplicate_document": 4_000,
    "bytes_duplicate_paragraph": 5_000,
    "bytes_packed": 470_000,
    "tokens_tokenized": 100,
    "tokens_duplicate_document": 12,
    "tokens_packed": 88,
    "documents_read": 9,
    "documents_duplicate_document": 1,
    "documents_near_duplicate_document": 1,
    "documents_packed": 4,
}
BOOKS = {
    "bytes_input": 7,
    "bytes_markup": 2,
    "bytes_text": 5,
    "bytes_packed": 5,
    "tokens_tokenized": 2,
    "tokens_packed": 2,
    "documents_read": 1,
    "documents_packed": 1,
}


def handmade() -> Manifest:
    """Return the manifest of a build of both sources."""
    common = dict(sentence_lengths=(3, 1), documents=2, sentences=4, unknown_tokens=1)
    shards = [
        Shard(
            split=split,
            shard=shard,
            tokens=tokens,
            separators=6,
            sequence_lengths=lengths,
            packed=DataFile(path=f"{split}{shard}", bytes=1, sha256="", records=sum(lengths)),
            source_names=("books", "wiki"),
            sources=DataFile(path=f"{split}{shard}s", bytes=1, sha256="", records=sum(lengths)),
            **common | more,
        )
        for split, shard, tokens, lengths, more in (
            ("eval", 0, 20, (1, 1), {"documents": 1}),
            ("train", 0, 40, (0, 2), {}),
            ("train", 1, 30, (1, 1), {"unknown_tokens": 0}),
        )
    ]
    return Manifest(
        config=BuildConfig(max_seq_length=32, max_predictions=4, copies=0),
        vocab_pieces=8,
        vocab_sha256="",
        made_by={},
        inputs=(),
        rejected=1,
        rejects=None,
        accounts={"books": dict(BOOKS), "wiki": dict(WIKI)},
        shards=tuple(shards),
    )


ACCOUNTS = """\
BYTES                       books       wiki      total    share
bytes in                        7  1,000,000  1,000,007  100.00%
  kept                          5    470,000    470,005   47.00%
  markup removed                2    179,990    179,992   18.00%
  sections removed              0     90,000     90,000    9.00%
  skipped: redirects            0     30,000     30,000    3.00%
  skipped: xml                  0    200,000    200,000   20.00%
  rejected                      0         10         10   <0.01%
  contaminated                  0      1,000      1,000    0.10%
  duplicate documents           0     20,000     20,000    2.00%
  near-duplicate documents      0      4,000      4,000    0.40%
  duplicate paragraphs          0      5,000      5,000    0.50%
= sum                           7  1,000,000  1,000,007  100.00%

TOKENS                      books  wiki  total    share
tokens made                     2   100    102  100.00%
  packed                        2    88     90   88.24%
  duplicate documents           0    12     12   11.76%
  near-duplicate documents      0     0      0    0.00%
  duplicate paragraphs          0     0      0    0.00%
= sum                           2   100    102  100.00%

DOCUMENTS                   books  wiki  total    share
documents read                  1     9     10  100.00%
  kept                          1     4      5   50.00%
  duplicate documents           0     1      1   10.00%
  near-duplicate documents      0     1      1   10.00%
  nothing left of it            0     3      3   30.00%
= sum                           1     9     10  100.00%

SEQUENCES                       train    eval   total
documents                           4       1       5
sentences                           8       4      12
sequences                           4       2       6
masked copies of them on disk       0       0       0
positions (32 each)               128      64     192
  tokens                           70      20      90
  [CLS] and [SEP]                  12       6      18
  padding                          46      38      84
= sum                             128      64     192
[UNK]                               1       1       2
padding, of the positions      35.94%  59.38%  43.75%
[UNK], of the tokens            1.43%   5.00%   2.22%

"""


def test_tables_of_a_manifest_add_up():
    manifest = handmade()
    view_tables.check_manifest(manifest, "manifest.json")
    tables = [*view_tables.account_tables(manifest), view_tables.packed_table(manifest)]
    assert printed(tables) == ACCOUNTS


def test_narrow_terminal_truncates_no_number():
    tables = view_tables.account_tables(handmade())
    assert printed(tables, width=20) == printed(tables, width=200)


@pytest.mark.parametrize(
    ("counter", "message"),
    [
        ("bytes_markup", "the accounts of wiki do not add up: 1000000 against 1000001"),
        ("bytes_contaminated", "the accounts of wiki do not add up: 1000000 against 1000001"),
        ("tokens_duplicate_document", "the accounts of wiki do not add up: 100 against 101"),
        ("documents_packed", "6 documents packed here, 5 there"),
    ],
)
def test_counts_that_do_not_reconcile_are_an_error(counter, message):
    manifest = handmade()
    manifest.accounts["wiki"][counter] += 1
    with pytest.raises(UserError, match=message):
        view_tables.check_manifest(manifest, "manifest.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tokens": 21}, "90 tokens packed here, 91 there"),
        ({"sequence_lengths": (1, 2)}, "2 sequences in eval0 here, 3 there"),
        ({"sentences": 5}, "5 sentences in eval0 here, 4 there"),
        ({"sequence_lengths": (0, 2)}, "26 filled positions in eval0 here, 32 there"),
    ],
)
def test_shards_that_contradict_the_counts_are_an_error(change, message):
    manifest = handmade()
    changed = (dataclasses.replace(manifest.shards[0], **change), *manifest.shards[1:])
    with pytest.raises(UserError, match=f"D/manifest.json is damaged: {message}"):
        view_tables.check_manifest(dataclasses.replace(manifest, shards=changed), "D/manifest.json")
