"""Read the text that a vocabulary is learned from, in several processes."""

from __future__ import annotations

import collections
import itertools
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

from absl import logging

from data.config import BuildConfig
from data.errors import UserError
from data.sources.documents import Document, InputFile, InputPart, Reject, text_bytes
from data.sources.formats import read_part, split_file
from data.sources.progress import Phase, Progress
from data.sources.streams import ByteCounter

_Item = Document | Reject
_AHEAD = 2  # parts for each process


def read_paragraphs(
    inputs: Sequence[InputFile], *, max_bytes: int, workers: int = 1
) -> Iterator[str]:
    """Yield the clean paragraphs of the files until they have `max_bytes` bytes of UTF-8.

    Args:
      inputs: files, in the order in which they are read.
      max_bytes: size of the text.
      workers: processes; their number does not change the text.

    Raises:
      UserError: a file is damaged, or a process has died.
    """
    num_bytes = 0
    total = sum(file.num_bytes for file in inputs)
    parts = [part for file in inputs for part in split_file(file)]
    with Progress(Phase(name="reading text", total=total, unit="B"), program="vocab") as progress:

        def report(stored_bytes: int) -> None:
            # Whichever comes first, the end of the files or that of the text to learn from.
            progress.update(max(stored_bytes, total * num_bytes // max_bytes))

        read = _read_here if workers == 1 or len(parts) == 1 else _read_in_processes
        for item in read(parts, max_bytes, workers, report):
            if isinstance(item, Reject):
                logging.warning(f"vocab: skipped {item.source} at {item.offset}: {item.reason}")
                continue
            yield from item.paragraphs
            num_bytes += sum(text_bytes(item.paragraphs))
            if num_bytes >= max_bytes:
                logging.info(
                    f"vocab: stopped reading after {num_bytes:,} bytes of text (--max_megabytes)"
                )
                return


def _read_here(
    parts: Sequence[InputPart], _: int, __: int, report: Callable[[int], None]
) -> Iterator[_Item]:
    stored_bytes = 0
    for part in parts:
        counter = ByteCounter()
        for item in _items(part, counter):
            yield item
            report(stored_bytes + max(counter.stored_position - part.start, 0))
        stored_bytes += part.stop - part.start


def _read_in_processes(
    parts: Sequence[InputPart], max_bytes: int, workers: int, report: Callable[[int], None]
) -> Iterator[_Item]:
    """Yield the items of all parts in order; a few parts for each process are read ahead."""
    stored_bytes, waiting = 0, iter(parts)
    executor = ProcessPoolExecutor(
        min(workers, len(parts)),
        mp_context=get_context("spawn"),
        # Ctrl-C reaches all processes of a terminal; this one ends the others.
        initializer=signal.signal,
        initargs=(signal.SIGINT, signal.SIG_IGN),
    )
    running: collections.deque[tuple[InputPart, Future[list[_Item]]]] = collections.deque()
    try:
        while True:
            for part in itertools.islice(waiting, _AHEAD * workers - len(running)):
                running.append((part, executor.submit(_read_whole, part, max_bytes)))
            if not running:
                return
            part, future = running.popleft()
            yield from future.result()
            stored_bytes += part.stop - part.start
            report(stored_bytes)
    except BrokenProcessPool:
        raise UserError(
            "a worker process died; if it ran out of memory, use fewer workers (--workers)"
        ) from None
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


def _read_whole(part: InputPart, max_bytes: int) -> list[_Item]:
    """Return the items of a part, at most as many as all the text to learn from."""
    found, num_bytes = [], 0
    for item in _items(part, ByteCounter()):
        found.append(item)
        num_bytes += sum(text_bytes(item.paragraphs)) if isinstance(item, Document) else 0
        if num_bytes >= max_bytes:
            break
    return found


def _items(part: InputPart, counter: ByteCounter) -> Iterator[_Item]:
    limit = BuildConfig.max_document_bytes
    for item in read_part(part, max_document_bytes=limit, counter=counter):
        if isinstance(item, Document | Reject):
            yield item
