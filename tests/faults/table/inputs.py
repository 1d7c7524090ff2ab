"""Rows about the inputs of a build: text files, vocabularies, and files to decontaminate with."""

from __future__ import annotations

import bz2
import dataclasses
import gzip
import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from tests.faults import commands as run
from tests.faults import damage as d
from tests.faults.case import Apply, Command, goes_on, refused, refused_or_goes_on, row

AREA = "Inputs of a build"
BOOKS = "inputs/books"
DRY = dataclasses.replace(
    run.BUILD_BOOKS,
    title="data.build --dry_run",
    args=(*run.BUILD_BOOKS.args, "--dry_run"),
    writes=(),
)


def rows() -> list:
    """Return the rows."""
    return [*_places(), *_contents(), *_vocabularies(), *_flags(), *_decontaminate()]


def _link(target: str) -> Callable[[Path], object]:
    return lambda path: path.symlink_to(target)


def _places() -> list:
    """Rows about what lies where a glob looks for files."""
    no_text = {
        "a dangling link": d.instead(f"{BOOKS}/x.txt", _link("nowhere")),
        "a pipe": d.instead(f"{BOOKS}/x.txt", os.mkfifo),
        "a link to itself": d.instead(f"{BOOKS}/x.txt", _link("x.txt")),
        "two links in a circle": d.all_of(
            d.instead(f"{BOOKS}/x.txt", _link("y.txt")), d.instead(f"{BOOKS}/y.txt", _link("x.txt"))
        ),
        "/dev/zero": d.instead(f"{BOOKS}/x.txt", _link("/dev/zero")),
        "a socket": d.instead(f"{BOOKS}/x.txt", lambda path: os.mknod(path, 0o140644)),
        "the same file by a link": d.instead(f"{BOOKS}/x.txt", _link("lovers_complaint.txt")),
    }
    found = [
        row(
            *(AREA, "a file of --books", "what is no file of its own"),
            *(d.each(**no_text), command, refused(BOOKS)),
            each=True,
        )
        for command in (run.BUILD_BOOKS, DRY, run.VOCAB)
    ]
    found += [
        row(
            *(AREA, "a folder below --books '**'", "a circle of links"),
            d.instead(f"{BOOKS}/loop", _link(".")),
            *(command, refused_or_goes_on("loop")),
        )
        for command in (DRY, run.VOCAB)
    ]
    found += [
        row(
            *(AREA, "inputs/books", "missing"),
            *(d.remove(BOOKS), command, refused("no input file matched")),
        )
        for command in (DRY, run.VOCAB)
    ]
    found += [
        row(
            *(AREA, "a file of --books", "a name of bytes that are not UTF-8"),
            lambda folder: (folder / BOOKS / os.fsdecode(b"\xff.txt")).write_text("words"),
            *(command, refused("is not UTF-8")),
        )
        for command in (DRY, run.VOCAB)
    ]
    names = ("[a].txt", "*.txt", "a\nb.txt", "-x.txt", "x;id.txt", "$(id).txt", "é.txt")
    found.append(
        row(
            *(AREA, "a file of --books", "unusual names"),
            d.each(
                **{repr(name): d.write(f"{BOOKS}/{name}", "Some words. More.\n") for name in names}
            ),
            *(run.VOCAB, goes_on("pieces in new.txt")),
            each=True,
        )
    )
    return found


def _tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("../../outside/canary"), io.BytesIO(b""))
    return buffer.getvalue()


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("../../outside/canary", "x")
    return buffer.getvalue()


def _contents() -> list:
    words = b"Words of a text that is long enough to be read. " * 50
    kinds = {
        "a zip archive": _zip(),
        "compressed by gzip": gzip.compress(words),
        "compressed by bzip2": bz2.compress(words),
        "7z": b"7z\xbc\xaf\x27\x1c" + bytes(100),
        "a PDF document": b"%PDF-1.7\n" + bytes(100),
        "a Parquet table": b"PAR1" + bytes(100),
        "a program": b"\x7fELF" + bytes(100),
    }
    found = [
        row(
            *(AREA, "a file of --books", "another format"),
            d.each(**{name: d.write(f"{BOOKS}/x.txt", content) for name, content in kinds.items()}),
            *(command, refused("x.txt")),
            each=True,
        )
        for command in (DRY, run.VOCAB)
    ]
    bad = {
        "not UTF-8": b"\xff\xfe\xfd" * 1000,
        "UTF-16": "Words of a text.\n".encode("utf-16") * 50,
        "zeros": bytes(10_000),
        "empty": b"",
        "white space": b" \n\t" * 1000,
        "a line of 4 MB": b"word " * 800_000,
        "a word of a megabyte": b"x" * 10**6,
        "200,000 brackets": b"[" * 200_000,
        "a million accents": "\u0301".encode() * 500_000,
        "control characters": bytes(range(32)) * 1000,
        "right-to-left marks": "\u202e\u200f\ufeff".encode() * 1000,
        "half of a character at the end": b"words \xe2\x82",
        "line ends of an old Mac": b"One. Two.\r" * 500,
    }
    found += [
        row(
            *(AREA, "a file of --books", "unusual bytes"),
            d.each(
                **{
                    name: d.write(f"{BOOKS}/x.txt", content)
                    for name, content in bad.items()
                    if name not in left_out
                }
            ),
            *(command, refused_or_goes_on("")),
            each=True,
        )
        # The trainer of vocabularies takes minutes for such a word.
        for command, left_out in ((run.VOCAB, ("a word of a megabyte",)), (run.BUILD_BOOKS, ()))
    ]
    dump = "inputs/wiki.xml.bz2"
    dumps = {
        "half of it": d.truncate(dump),
        "a flipped bit": d.flip(dump, first=1000),
        "zeros in the middle": d.zero(dump, 0.4, 0.5),
        "empty": d.write(dump, ""),
        "not compressed": d.write(dump, "<mediawiki>" * 100),
        "an entity bomb": d.write(dump, bz2.compress(_BOMB)),
        "no pages": d.write(dump, bz2.compress(b"<mediawiki></mediawiki>")),
        "100,000 nested templates": d.write(dump, bz2.compress(_page("{{" * 100_000))),
        "100,000 nested links": d.write(dump, bz2.compress(_page("[[" * 100_000))),
        "100,000 open tags": d.write(dump, bz2.compress(_page("&lt;div&gt;" * 100_000))),
        "50,000 list markers": d.write(dump, bz2.compress(_page("*" * 50_000))),
        "bytes behind the end": d.append(dump, b"more" * 100),
        "a zip archive": d.write(dump, _zip()),
    }
    found.append(
        row(
            *(AREA, "a dump of --wiki", "damaged or hostile"),
            *(d.each(**dumps), run.BUILD_WIKI, refused_or_goes_on("")),
            each=True,
        )
    )
    found.append(
        row(
            *(AREA, "a file of --books", "zeros in a gzip file"),
            d.write(f"{BOOKS}/x.txt.gz", gzip.compress(words)[:-30] + bytes(30)),
            *(run.VOCAB, refused_or_goes_on("x.txt.gz")),
        )
    )
    return found


_BOMB = (
    b'<!DOCTYPE m [<!ENTITY a "aaaaaaaaaa">'
    + b"".join(b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(9))
    + b"]><mediawiki><page><title>T</title><ns>0</ns><revision><text>&j;</text></revision></page>"
    + b"</mediawiki>"
)


def _page(text: str) -> bytes:
    return (
        "<mediawiki>\n  <page>\n    <title>T</title>\n    <ns>0</ns>\n    <id>1</id>\n    <revision>\n"
        f"      <text>{text}</text>\n    </revision>\n  </page>\n</mediawiki>\n"
    ).encode()


def _vocabularies() -> list:
    file = "vocab.txt"
    damages = {
        "a piece twice": d.edit(file, lambda c: c.replace(b"\nthe\n", b"\n[CLS]\n")),
        "UTF-16": d.edit(file, lambda c: c.decode().encode("utf-16")),
        "without [MASK]": d.edit(file, lambda c: c.replace(b"[MASK]", b"[MUSK]")),
        "without [PAD]": d.edit(file, lambda c: c.replace(b"[PAD]", b"[PUD]")),
        "an empty line": d.edit(file, lambda c: c.replace(b"\nthe\n", b"\n\n")),
        "empty": d.write(file, ""),
        "zeros": d.zero(file, 0),
        "not UTF-8": d.append(file, b"\xff\n"),
        "half of it": d.edit(file, lambda c: c[2:40]),
    }
    return [
        row(
            *(AREA, file, "damaged"),
            *(d.each(**damages), run.BUILD_BOOKS, refused("vocab")),
            each=True,
        ),
        row(
            AREA,
            file,
            "not a file",
            d.no_file(file),
            run.BUILD_BOOKS,
            refused("vocab.txt"),
            each=True,
        ),
        row(
            *(AREA, file, "unusual but sound"),
            d.each(
                **{
                    "a byte order mark": d.edit(file, lambda c: b"\xef\xbb\xbf" + c),
                    "line ends of Windows": d.edit(file, lambda c: c.replace(b"\n", b"\r\n")),
                }
            ),
            *(run.BUILD_BOOKS, goes_on("data: in new")),
            each=True,
        ),
    ]


def _nothing(folder: Path) -> None:
    """Damage nothing: the command line is what is wrong."""


def _with(command: Command, *args: str, title: str) -> Command:
    return dataclasses.replace(command, args=(*command.args, *args), title=title)


def _flags() -> list:
    found = []
    for value in ("1000000000", "0", "-1", "5", "1e3", "9" * 5000, "٣"):
        command = _with(
            run.VOCAB, f"--vocab_size={value}", title=f"data.vocab --vocab_size {value[:12]}"
        )
        found.append(row(AREA, "--vocab_size", "out of range", _nothing, command, refused()))
    for value in ("0", "-7", "1000000000000"):
        command = _with(
            run.VOCAB, f"--max_megabytes={value}", title=f"data.vocab --max_megabytes {value}"
        )
        found.append(
            row(AREA, "--max_megabytes", "out of range", _nothing, command, refused("max_mega"))
        )
    for place in ("inputs/books", "inputs/books/new", "inputs", "."):
        command = dataclasses.replace(
            run.BUILD_BOOKS,
            args=tuple(
                f"--output_dir={place}" if arg.startswith("--output") else arg
                for arg in run.BUILD_BOOKS.args
            ),
            title=f"data.build --output_dir={place}",
        )
        found.append(
            row(AREA, "--output_dir", "in the glob of the input", _nothing, command, refused())
        )
    for value in ("-1", "0", "x", "1e9"):
        command = _with(
            run.BUILD_BOOKS,
            f"--direct_num_workers={value}",
            title=f"data.build --direct_num_workers={value}",
        )
        found.append(
            row(
                AREA,
                "--direct_num_workers",
                "out of range",
                _nothing,
                command,
                refused_or_goes_on(),
            )
        )
    for flag in ("--no_such_flag=1", "--book=x", "--output_dir=", "--vocab_file=", "--books="):
        command = _with(run.BUILD_BOOKS, flag, title=f"data.build {flag}")
        found.append(
            row(AREA, "flags", "unknown or empty", _nothing, command, refused_or_goes_on())
        )
    return found


def _write(file: str, content: bytes | Callable[[], bytes]) -> Apply:
    """Return a damage that adds a file, whose content may be made only then."""
    return lambda folder: d.write(file, content() if callable(content) else content)(folder)


def _decontaminate() -> list:
    bombs: dict[str, tuple[str, bytes | Callable[[], bytes]]] = {
        "gzip of 400 MB": ("e.txt.gz", lambda: gzip.compress(bytes(4 * 10**8), 1)),
        "bzip2 of 400 MB": ("e.txt.bz2", lambda: bz2.compress(bytes(4 * 10**8), 1)),
        "brackets": ("e.json", b"[" * 10**6),
        "brackets in lines": ("e.jsonl", b"[" * 10**6 + b"\n"),
        "a number of 5,000 digits": ("e.json", b'{"a": ' + b"9" * 5000 + b"}"),
        "not UTF-8": ("e.txt", b"\xff\xfe" * 100),
        "a line of 20 MB": ("e.txt", b"word " * 4 * 10**6),
        "half a gzip file": ("e.txt.gz", gzip.compress(b"word " * 10**5)[:100]),
        "a tar archive": ("e.txt", _tar()),
    }
    found = []
    for name, (file, content) in bombs.items():
        command = _with(
            run.BUILD_BOOKS,
            f"--decontaminate=eval/{file}",
            title=f"data.build --decontaminate={file}",
        )
        found.append(
            row(
                *(AREA, "a file of --decontaminate", name),
                *(_write(f"eval/{file}", content), command, refused_or_goes_on(file)),
            )
        )
    return found
