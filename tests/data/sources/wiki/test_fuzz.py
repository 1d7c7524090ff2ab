"""Damage a real dump at random: each part must yield items for all its bytes or raise a UserError.

The test suite runs a few hundred cases. For a long run:

    python -m tests.data.sources.wiki.test_fuzz --cases 100000 --seed 1
"""

import argparse
import bz2
import gzip
import random
import re
import tempfile
import time
from pathlib import Path

import pytest

from data.errors import UserError
from data.sources.documents import Document, InputFile, Reject, Skipped
from data.sources.streams import ByteCounter
from data.sources.wiki import dump as wiki
from data.sources.wiki import parts as wiki_parts
from tests.support.paths import GOLDEN

DUMP = GOLDEN / "wiki.xml.bz2"
MAX_SECONDS = 5
# Tokens that the reader and the cleaner look for; random damage seldom produces them.
TOKENS = (
    b"<page>",
    b"</page>",
    b"<mediawiki>",
    b"</mediawiki>",
    b"<!DOCTYPE x>",
    b"&lt;ref&gt;",
    b"&lt;/ref&gt;",
    b"&lt;!--",
    b"{{",
    b"}}",
    b"[[",
    b"]]",
    b"\n{|",
    b"\n|}",
    b"\n== See also ==\n",
    b"{{convert|",
    b"''",
    b"&#0;",
    b"\xff",
    b"\0",
    b"BZh91AY&SY",
)


def mutate(content: bytes, rng: random.Random) -> bytes:
    """Make one to eight changes: flip bits; cut, repeat or move ranges; insert tokens."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 8)):
        start = rng.randrange(len(data) + 1)
        stop = min(len(data), start + rng.choice((1, 1, 10, 100, 5_000)))
        match rng.randrange(5):
            case 0 if start < len(data):
                data[start] ^= 1 << rng.randrange(8)
            case 1:
                del data[start:stop]
            case 2:
                data[start:start] = data[start:stop] * rng.randint(1, 3)
            case 3:
                piece = data[start:stop]
                del data[start:stop]
                target = rng.randrange(len(data) + 1)
                data[target:target] = piece
            case _:
                data[start:start] = rng.choice(TOKENS) * rng.choice((1, 1, 1, 50))
    return bytes(data)


def sources() -> dict[str, bytes]:
    """Return the dump in every compression that is read, by file name."""
    xml = bz2.decompress(DUMP.read_bytes())
    xml = xml[:20_000] + xml[xml.rindex(b"<page>") :]  # short, for many cases per second
    xml = xml[: xml[:20_000].rindex(b"</page>") + 7] + xml[20_000:]
    pieces = re.split(rb"(?=<page>)|(?=</mediawiki>)", xml)
    return {
        "d.xml": xml,
        "d.xml.gz": gzip.compress(xml, mtime=0),
        "single.xml.bz2": bz2.compress(xml),
        "multi.xml.bz2": b"".join(map(bz2.compress, pieces)),
    }


def check(seed: int, folder: Path, contents: dict[str, bytes]) -> str:
    """Run one case; return "items" or "error"."""
    rng = random.Random(seed)
    name = rng.choice(list(contents))
    content = contents[name]
    if name != "d.xml" and rng.random() < 0.5:  # damaged text in intact compression
        text = mutate(contents["d.xml"], rng)
        size = rng.choice((1_000, 10_000, len(text) + 1))
        pieces = [text[start : start + size] for start in range(0, len(text), size)]
        compress = gzip.compress if name.endswith("gz") else bz2.compress
        content = b"".join(map(compress, pieces))
    else:
        text = content = mutate(content, rng)
    path = folder / name
    path.write_bytes(content)
    file = InputFile(kind="wiki", path=str(path), name=name, num_bytes=len(content))
    num_bytes, began = 0, time.monotonic()
    try:
        for part in wiki_parts.split_file(file, part_bytes=rng.choice((500, 5_000, 10**6))):
            counter, part_sum, limit = ByteCounter(), 0, rng.choice((2_000, 10**6))
            for item in wiki.read_part(part, max_document_bytes=limit, counter=counter):
                assert isinstance(item, Document | Reject | Skipped), seed
                part_sum += item.num_bytes
            assert part_sum == counter.num_bytes, (seed, name)
            num_bytes += part_sum
    except UserError as error:
        assert str(error).startswith(str(path)), (seed, error)
        return "error"
    finally:
        assert time.monotonic() - began < MAX_SECONDS, seed
    if text is content and name != "d.xml":
        opener = gzip.open if name.endswith("gz") else bz2.open
        with opener(path) as stream:
            text = stream.read()
    assert num_bytes == len(text), (seed, name)
    return "items"


@pytest.mark.parametrize("first", range(0, 400, 100))
def test_damaged_dumps_yield_items_or_a_user_error(tmp_path, first):
    contents = sources()
    outcomes = {check(seed, tmp_path, contents) for seed in range(first, first + 100)}
    assert outcomes == {"items", "error"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0, help="seed of the first case")
    args = parser.parse_args()
    contents, outcomes = sources(), {"items": 0, "error": 0}
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(args.seed, args.seed + args.cases):
            outcomes[check(seed, Path(folder), contents)] += 1
    print(f"{args.cases} cases: {outcomes}")


if __name__ == "__main__":
    main()
