"""Archives of texts, and archives that were made to harm."""

import bz2
import gzip
import io
import lzma
import tarfile

import pytest
import zstandard

from data.errors import UserError
from data.sources.documents import Document, Reject, Skipped, find_inputs
from data.sources.formats import read_part, split_file
from data.sources.streams import ByteCounter, DamagedError

COMPRESS = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.compress,
}


def tar_of(*members, format=tarfile.PAX_FORMAT) -> bytes:
    """Return an archive of (name, content) or of headers."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=format) as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
                continue
            name, content = member
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def special(name: str, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "/etc/passwd"
    return info


def read(path, kind="text", limit=10**6):
    (file,) = find_inputs(kind, str(path))
    (part,) = split_file(file)
    counter = ByteCounter()
    items = list(read_part(part, max_document_bytes=limit, counter=counter))
    assert sum(item.num_bytes for item in items) == counter.num_bytes
    return items


@pytest.mark.parametrize("suffix", COMPRESS)
@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_each_file_of_an_archive_is_a_document(tmp_path, suffix, format):
    long = "x" * 90 + "/" + "y" * 90 + ".txt"
    content = tar_of(
        special("folder", tarfile.DIRTYPE),
        ("folder/a.txt", b"First.\n\nSecond."),
        ("./b.txt", b"Third."),
        (long, "Größe.".encode()),
        format=format,
    )
    path = tmp_path / f"texts.tar{suffix}"
    path.write_bytes(COMPRESS[suffix](content))
    *documents, rest = read(path)
    assert documents == [
        Document(
            id="text/texts.tar" + suffix + "/folder/a.txt",
            paragraphs=("First.", "Second."),
            num_bytes=15,
        ),
        Document(id=f"text/texts.tar{suffix}/b.txt", paragraphs=("Third.",), num_bytes=6),
        Document(id=f"text/texts.tar{suffix}/{long}", paragraphs=("Größe.",), num_bytes=8),
    ]
    assert rest == Skipped(reason="archive", num_bytes=len(content) - 29)


@pytest.mark.parametrize("suffix", [".tgz", ".tbz2", ".txz", ".tzst"])
def test_short_suffixes_of_archives_are_known(tmp_path, suffix):
    compress = COMPRESS[{".tgz": ".gz", ".tbz2": ".bz2", ".txz": ".xz", ".tzst": ".zst"}[suffix]]
    (tmp_path / f"f{suffix}").write_bytes(compress(tar_of(("a.txt", b"Text."))))
    assert read(tmp_path / f"f{suffix}")[0].paragraphs == ("Text.",)


def test_books_in_an_archive_keep_their_conventions(tmp_path):
    book = b"*** START OF THE PROJECT GUTENBERG EBOOK A ***\nText.\n\nCHAPTER II\n\nMore."
    (tmp_path / "books.tar").write_bytes(tar_of(("a.txt", book)))
    licence, document, _ = read(tmp_path / "books.tar", "books")
    assert (licence.reason, licence.num_bytes) == ("licence", 46)
    assert (document.id, document.paragraphs, document.breaks) == (
        "books/books.tar/a.txt",
        ("Text.", "CHAPTER II", "More."),
        (1,),
    )


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        (("/etc/passwd", b"Text."), "its path leaves the archive"),
        (("a/../../b.txt", b"Text."), "its path leaves the archive"),
        (special("a", tarfile.SYMTYPE), "a link, a device or a sparse file, not a regular file"),
        (special("a", tarfile.LNKTYPE), "a link, a device or a sparse file, not a regular file"),
        (special("a", tarfile.CHRTYPE), "a link, a device or a sparse file, not a regular file"),
        (special("a", tarfile.FIFOTYPE), "a link, a device or a sparse file, not a regular file"),
        (
            ("a.txt.gz", gzip.compress(b"a")),
            "a compressed file inside an archive; unpack the archive",
        ),
        (("a.txt", b"x" * 101), "larger than BuildConfig.max_document_bytes=100"),
        (("a.txt", b"caf\xe9"), "not UTF-8: byte 0xe9"),
        (("a.txt", b""), "no text"),
        (("caf\udce9.txt", b"Text."), "its name is not UTF-8"),
    ],
)
def test_members_that_are_no_texts_are_rejected(tmp_path, member, reason):
    path = tmp_path / "f.tar"
    path.write_bytes(tar_of(member, ("good.txt", b"Good."), format=tarfile.GNU_FORMAT))
    reject, document, _ = read(path, limit=100)
    assert isinstance(reject, Reject)
    assert reject.reason == reason
    assert reject.source.startswith("f.tar/")
    assert document.paragraphs == ("Good.",)


def test_companions_in_an_archive_are_skipped(tmp_path):
    (tmp_path / "f.tar").write_bytes(tar_of(("a/._b.txt", b"\0\x05"), ("md5sums", b"x  a")))
    assert [(item.reason, item.num_bytes) for item in read(tmp_path / "f.tar")[:2]] == [
        ("companions", 2),
        ("companions", 4),
    ]


WHOLE = tar_of(("a.txt", b"Text. " * 500), ("b.txt", b"Text."))


def with_size(archive: bytes, size: int) -> bytes:
    """Return an archive whose first header claims another size."""
    header = bytearray(archive[:512])
    header[124:136] = b"%011o\0" % size
    header[148:156] = b"        "
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + archive[512:]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (WHOLE[:1000], "unexpected end of data"),
        (WHOLE[: 512 + 3072], "end mark is missing"),
        (WHOLE[:4096], "unexpected end of data"),
        (WHOLE[:3700], "end mark is missing"),
        (WHOLE[:3600] + b"x" + WHOLE[3601:], "a header is damaged"),
        (WHOLE + b"garbage", "other data after its end"),
        (with_size(WHOLE, 10**10), "unexpected end of data|larger|it ends within a file"),
        (b"x" * 2000, "."),
    ],
)
def test_a_damaged_archive_is_one_line_that_names_it(tmp_path, content, reason):
    path = tmp_path / "f.tar"
    path.write_bytes(content)
    with pytest.raises(DamagedError, match=rf"^\S*f\.tar: truncated or damaged \(.*{reason}.*\)"):
        read(path, limit=10**12)


def test_a_header_of_gigabytes_takes_no_memory(tmp_path):
    info = tarfile.TarInfo("a")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 2**32
    path = tmp_path / "f.tar"
    path.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
    with pytest.raises(DamagedError, match="a header of 4,294,967,296 bytes"):
        read(path)


def test_archives_of_other_kinds_or_under_other_names_are_named(tmp_path):
    (tmp_path / "f.tar.gz").write_bytes(gzip.compress(WHOLE))
    (tmp_path / "f.txt").write_bytes(WHOLE)
    message = (
        r"--lines .*/f\.tar\.gz is a tar archive, .* --text and --books .* tar -xf .* -C .*/f\)"
    )
    with pytest.raises(UserError, match=message):
        find_inputs("lines", f"{tmp_path}/*.gz")
    with pytest.raises(UserError, match=r"f\.txt is a tar archive; give it a name that ends with"):
        find_inputs("text", f"{tmp_path}/*.txt")
