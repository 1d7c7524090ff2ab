"""The directory of a build while it is being made: begun, gone on with, tidied up."""

from __future__ import annotations

import os
import re
from pathlib import Path

from data import files, schema
from data.errors import UserError
from data.manifest import Manifest
from data.stages.journal import PLAN_FILE, WORK_DIRECTORY
from data.vocab import Vocab

_PARTS = ("packed", "sources", "masked", "rejects")
_TEMPORARY = re.compile(r"\.tmp-[0-9a-f]{32}-.+")


def begin_or_resume(directory: str, asked: Manifest, vocab: Vocab) -> None:
    """Marks the directory as one of this build, or checks that it is.

    Raises:
      UserError: the directory holds an interrupted build of other settings, or something else.
    """
    plan_path = files.join(directory, PLAN_FILE)
    if files.exists(plan_path):
        plan = Manifest.parse(files.read_bytes(plan_path), plan_path)
        plan.check_same_build(f"{directory} (not finished)", asked)
        print(f"data: going on with the unfinished build in {directory}")
        return
    strangers = _strangers(directory, vocab)
    if strangers:
        raise UserError(
            f"{directory} is not empty ({', '.join(strangers[:3])}) and holds no build; choose"
            " another --output_dir"
        )
    files.write_atomically(plan_path, asked.to_json().encode())
    files.write_atomically(files.join(directory, schema.VOCAB_FILE), vocab.text.encode())


def remove_leftovers(directory: str) -> None:
    """What a finished build no longer needs, and what killed writers left."""
    files.remove_tree(files.join(directory, WORK_DIRECTORY))
    if files.is_remote(directory):
        return
    for part in _PARTS:
        for path in Path(directory, part).rglob(".tmp-*"):
            if _TEMPORARY.fullmatch(path.name):
                path.unlink()
    for path in Path(directory).glob(".tmp-*"):
        if _TEMPORARY.fullmatch(path.name):
            path.unlink()


def _strangers(directory: str, vocab: Vocab) -> list[str]:
    """What lies in the directory and did not come from a build; the vocabulary itself may."""
    if files.is_remote(directory):
        return [part for part in _PARTS if files.exists(files.join(directory, part))]
    try:
        names = sorted(os.listdir(directory))
    except FileNotFoundError:
        return []
    vocab_path = Path(directory, schema.VOCAB_FILE)
    if schema.VOCAB_FILE in names and vocab_path.read_bytes() == vocab.text.encode():
        names.remove(schema.VOCAB_FILE)
    # Killed between the making of its folder and the first file in it.
    work = Path(directory, WORK_DIRECTORY)
    if WORK_DIRECTORY in names and all(_TEMPORARY.fullmatch(path.name) for path in work.iterdir()):
        names.remove(WORK_DIRECTORY)
    return [name for name in names if not _TEMPORARY.fullmatch(name)]
