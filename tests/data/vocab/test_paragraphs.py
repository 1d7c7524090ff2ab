import os
import signal

import pytest

from data.errors import UserError
from data.sources.documents import find_inputs
from data.vocab import paragraphs
from data.vocab.paragraphs import read_paragraphs


def write_lines(folder) -> list:
    for file in range(4):
        lines = [f"Sentence {number} of file {file}." for number in range(100)]
        (folder / f"{file}.txt").write_text("\n\n".join(lines))
    return find_inputs("text", f"{folder}/*.txt")


@pytest.mark.parametrize("max_bytes", [10**6, 4000])
def test_processes_change_neither_text_nor_order(tmp_path, max_bytes):
    inputs = write_lines(tmp_path)
    alone = list(read_paragraphs(inputs, max_bytes=max_bytes))
    assert len(alone) == (400 if max_bytes > 4000 else 200)
    assert list(read_paragraphs(inputs, max_bytes=max_bytes, workers=2)) == alone


def kill(part, max_bytes):
    os.kill(os.getpid(), signal.SIGKILL)


def test_process_that_dies_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(paragraphs, "_read_whole", kill)
    with pytest.raises(UserError, match=r"a worker process died; .* fewer workers"):
        list(read_paragraphs(write_lines(tmp_path), max_bytes=10**6, workers=2))
