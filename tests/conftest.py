"""Fixtures: real text, its vocabulary, and a small build made of it."""

import bz2
import os
import re
from pathlib import Path

os.environ["LAMBERT_PREEMPTION_URL"] = ""  # never ask a metadata server

import pytest
import tensorflow as tf

from data.build import build
from data.cli import logs
from data.config import BuildConfig
from data.files import sha256_of
from data.sources.documents import Document, find_inputs
from data.sources.formats import read_part, split_file
from data.vocab import Vocab
from tests.support.paths import GOLDEN
from tests.support.sharing import shared_directory

logs.start()  # as in every program; before TensorFlow finds its devices

# Four logical CPUs, so that MirroredStrategy has replicas on one machine.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 4
)


@pytest.fixture(scope="session")
def golden() -> Path:
    return GOLDEN


@pytest.fixture(scope="session")
def sums_of():
    """Function that returns the sha256 of every file below a directory, by relative path."""

    def sums(directory: Path) -> dict[str, str]:
        return {
            path.relative_to(directory).as_posix(): sha256_of(path)
            for path in sorted(directory.rglob("*"))
            if path.is_file()
        }

    return sums


@pytest.fixture(scope="session")
def vocab() -> Vocab:
    return Vocab.load(GOLDEN / "vocab.txt")


@pytest.fixture(scope="session")
def xml() -> bytes:
    """Nine real pages as plain XML; the first of them is a redirect."""
    return bz2.decompress((GOLDEN / "wiki.xml.bz2").read_bytes())


@pytest.fixture(scope="session")
def inputs():
    wiki = find_inputs("wiki", f"{GOLDEN}/*.bz2")
    return wiki + find_inputs("books", f"{GOLDEN}/books/*.txt")


@pytest.fixture(scope="session")
def paragraphs(inputs) -> list[str]:
    """The clean paragraphs of the golden books."""
    items = (
        item
        for file in inputs
        if file.kind == "books"
        for part in split_file(file)
        for item in read_part(part, max_document_bytes=10**7)
    )
    return [text for item in items if isinstance(item, Document) for text in item.paragraphs]


@pytest.fixture(scope="session")
def small_config() -> BuildConfig:
    return BuildConfig(
        copies=3,
        num_shards=2,
        max_seq_length=64,
        max_predictions=10,
        eval_fraction=0.25,
        seed=7,
    )


@pytest.fixture(scope="session")
def small_build(tmp_path_factory, small_config, vocab, inputs) -> Path:
    """A build of the golden text: 64 tokens, 3 copies, 2 shards."""

    def make(path: Path) -> None:
        build(config=small_config, vocab=vocab, inputs=inputs, output_dir=str(path / "data"))

    return shared_directory(tmp_path_factory, "build", make) / "data"


@pytest.fixture(scope="session")
def small_encoder(tmp_path_factory, vocab) -> Path:
    """An encoder in Hugging Face's format; see tests/support/finetuning.py."""
    from tests.support.finetuning import write_encoder

    def make(path: Path) -> None:
        write_encoder(path / "hf", vocab)

    return shared_directory(tmp_path_factory, "encoder", make) / "hf"


@pytest.fixture(scope="session")
def clauses(paragraphs) -> list[str]:
    """24 clauses of verse of six to nine words, with their final punctuation mark."""
    clauses = re.findall(r"[^,;:.!?]+[,;:.!?]", " ".join(paragraphs))
    return [text.strip() for text in clauses if 6 <= len(text.split()) <= 9][:24]


@pytest.fixture(scope="session")
def finetuned(tmp_path_factory, small_encoder, clauses):
    """Two seeds on a task of these clauses; see tests/support/finetuning.py."""
    from tests.support.finetuning import finetune, finetuned_in

    def make(path: Path) -> None:
        finetune(path, small_encoder, clauses)

    return finetuned_in(shared_directory(tmp_path_factory, "finetuned", make), small_encoder)


@pytest.fixture(scope="session")
def published(tmp_path_factory, small_build):
    """A model directory and its exports; see tests/support/published.py."""
    from tests.support.published import publish, published_in  # tf-models takes long to load

    def make(path: Path) -> None:
        publish(path, small_build)

    return published_in(shared_directory(tmp_path_factory, "published", make), small_build)
