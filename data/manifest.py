"""Describe a build: its settings, inputs, counts and files.

The manifest is written last, so a directory with a manifest holds a finished build. Readers take the
list of files from it, never from a glob.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import os
from collections.abc import Callable, Mapping
from typing import Any

from data import files, schema
from data.build_files import DataFile, Shard, check_files
from data.checked_json import Record, format_value, parse_json
from data.config import BuildConfig
from data.errors import UserError
from data.vocab import Vocab

# Settings that can stop a build but do not change its content.
_TOLERANCES = ("max_reject_fraction", "max_unknown_fraction")
_FORMAT, _VERSION = "lambert-build", 3

# Packages whose version can change the content of a build.
_PROGRAMS = (
    "lambert-pretrain",
    "sentencex",
    "mwparserfromhell",
    "tensorflow-text",
    "datasketch",
)


def versions() -> dict[str, str]:
    """Return the versions of the packages that can change the content of a build."""
    by_name = {}
    for name in _PROGRAMS:
        try:
            by_name[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            by_name[name] = "not installed"
    return by_name


@dataclasses.dataclass(frozen=True, kw_only=True)
class Manifest:
    """Everything a reader needs to know about a build.

    Attributes:
      config: settings of the build.
      vocab_pieces: number of pieces in the vocabulary.
      vocab_sha256: sha256 of the vocabulary file.
      made_by: version of each package that can change the content of a build.
      inputs: kind, name, bytes and sha256 of every file that was read.
      rejected: number of rejected documents.
      rejects: file that lists rejected documents.
      accounts: counts by source of what became of every byte and token, see data.stages.accounting.
      shards: shards of both splits, in order of split and number.
      prose: counts by file, for files of which less than half of the expected prose is kept.
      unknown_words: the most frequent words that are [UNK], see data.stages.unknown_words.
    """

    config: BuildConfig
    vocab_pieces: int
    vocab_sha256: str
    made_by: dict[str, str]
    inputs: tuple[dict[str, Any], ...]
    rejected: int
    rejects: DataFile | None
    accounts: dict[str, dict[str, int]]
    shards: tuple[Shard, ...]
    prose: dict[str, dict[str, int]] = dataclasses.field(default_factory=dict)
    unknown_words: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)

    def split(self, name: str) -> tuple[Shard, ...]:
        """Return the shards of "train" or "eval", in order."""
        return tuple(shard for shard in self.shards if shard.split == name)

    @property
    def files(self) -> list[DataFile]:
        """Every file of the build except manifest and vocabulary."""
        rejects = [self.rejects] if self.rejects else []
        return rejects + [file for shard in self.shards for file in shard.files]

    def num_sequences(self, split: str) -> int:
        """Return the number of sequences in one copy of a split."""
        return sum(shard.packed.records for shard in self.split(split))

    def require_masks(self, masks: str) -> None:
        """Raise a UserError if the build cannot be read with these `InputConfig.masks`."""
        if masks == "materialised" and not self.config.copies:
            raise UserError(
                "InputConfig.masks='materialised', but the data has no masked copies"
                " (BuildConfig.copies=0); set InputConfig.masks='online'"
            )

    @functools.cached_property
    def sha256(self) -> str:
        """Hash of the manifest file, which identifies the build."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def to_json(self) -> str:
        """Return the content of manifest.json."""
        content = {"format": _FORMAT, "version": _VERSION, **dataclasses.asdict(self)}
        for name in ("prose", "unknown_words"):  # unknown to older readers
            if not content[name]:
                del content[name]
        return json.dumps(content, indent=1, sort_keys=True) + "\n"

    def write(self, directory: str | os.PathLike[str]) -> None:
        """Write the manifest, which marks the build as finished."""
        files.write_atomically(files.join(directory, schema.MANIFEST_FILE), self.to_json().encode())

    def check_same_build(
        self, directory: str | os.PathLike[str], requested: Manifest, *, settings_only: bool = False
    ) -> None:
        """Raise a UserError that names the differences from a requested build, if there are any.

        Args:
          directory: build directory, for errors.
          requested: manifest of the requested build before it has begun.
          settings_only: whether to compare only settings and vocabulary: the inputs have no hashes yet.
        """
        differences = self.differences(requested, settings_only=settings_only)
        if differences:
            raise UserError(
                f"{directory} holds another build: {'; '.join(differences)}; choose another"
                " --output_dir or delete that one"
            )

    def differences(self, requested: Manifest, *, settings_only: bool = False) -> list[str]:
        """Return the differences from a requested build, in words.

        Versions of packages matter only for an unfinished build, which would mix the work of both.
        """
        config, inputs = requested.config, list(requested.inputs)
        differences = [
            f"BuildConfig.{field.name} is {old} there and {new} now"
            for field in dataclasses.fields(BuildConfig)
            if field.name not in _TOLERANCES
            and (old := getattr(self.config, field.name)) != (new := getattr(config, field.name))
        ]
        if self.vocab_sha256 != requested.vocab_sha256:
            differences.append(
                f"the vocabulary has {self.vocab_pieces} pieces (sha256 {self.vocab_sha256[:8]})"
                f" there and {requested.vocab_pieces} (sha256 {requested.vocab_sha256[:8]}) now"
            )
        if not self.shards:
            differences += [
                f"{name} is {self.made_by.get(name)} there and {version} now"
                for name, version in requested.made_by.items()
                if self.made_by.get(name) != version
            ]
        if list(self.inputs) != inputs and not settings_only:
            differences.append(
                f"the {len(self.inputs)} input files there differ from the {len(inputs)} given now:"
                f" {_first_difference(list(self.inputs), inputs)}"
            )
        return differences

    @classmethod
    def load(cls, directory: str | os.PathLike[str]) -> Manifest:
        """Read the manifest of a build and compare the size of every file with it.

        Raises:
          UserError: there is no manifest, it has another format or version, or a file is missing or
            has another size.
        """
        path = files.join(directory, schema.MANIFEST_FILE)
        try:
            content = files.read_bytes(path)
        except FileNotFoundError:
            state = "is not a finished build" if files.exists(directory) else "does not exist"
            raise UserError(
                f"{directory} {state}: {path} is missing; build it with `python -m data.build"
                f" --output_dir {directory} ...`"
            ) from None
        manifest = cls.parse(content, path)
        manifest.check_sizes(directory)
        return manifest

    @classmethod
    def planned(
        cls,
        *,
        config: BuildConfig,
        vocab: Vocab,
        inputs: list[dict[str, Any]],
        made_by: dict[str, str],
    ) -> Manifest:
        """Return the manifest of a build that has not begun."""
        return cls(
            config=config,
            vocab_pieces=len(vocab),
            vocab_sha256=vocab.sha256,
            made_by=made_by,
            inputs=tuple(inputs),
            rejected=0,
            rejects=None,
            accounts={},
            shards=(),
        )

    @classmethod
    def parse(cls, text: bytes, path: str) -> Manifest:
        """Parse the text of a manifest.

        Args:
          text: content of the file.
          path: path of the file, for errors.

        Raises:
          UserError: the text is not a manifest, has another format or version, or contradicts itself.
        """
        record = parse_json(text, path, remedy="copy the build again or rebuild it")
        name, version = record.text("format"), record.integer("version")
        if (name, version) != (_FORMAT, _VERSION):
            raise UserError(
                f"{path} is {format_value(name)[1:-1]} version {version}; this program reads"
                f" {_FORMAT} version {_VERSION}: build the data again"
            )
        return cls._from_record(record)

    @classmethod
    def _from_record(cls, record: Record) -> Manifest:
        names = [field.name for field in dataclasses.fields(cls)]
        record.refuse_other_fields(["format", "version", *names])
        config, vocab_pieces = (
            _config_from_record(record),
            record.integer("vocab_pieces", minimum=1),
        )
        shards = record.rows("shards")
        # A planned build has neither shards nor a list of rejected documents.
        rejects = record.mapping("rejects") if shards else record.mapping("rejects", default=None)
        manifest = cls(
            config=config,
            vocab_pieces=vocab_pieces,
            vocab_sha256=record.sha256("vocab_sha256"),
            made_by=_texts(record.mapping("made_by")),
            inputs=tuple(map(_input_from_record, record.rows("inputs"))),
            rejected=record.integer("rejected", minimum=0),
            rejects=None if rejects is None else DataFile.from_record(rejects),
            accounts=_counts(record.mappings("accounts")),
            prose=_counts(record.mappings("prose", default={})),
            unknown_words={
                word: {"count": entry.integer("count", minimum=1), "example": entry.text("example")}
                for word, entry in record.mappings("unknown_words", default={}).items()
            },
            shards=tuple(
                Shard.from_record(shard, config=config, vocab_pieces=vocab_pieces)
                for shard in shards
            ),
        )
        check_files(manifest.shards, manifest.files, record)
        return manifest

    def require_unchanged(self, directory: str | os.PathLike[str]) -> None:
        """Raise a UserError if the directory now holds another build, or none."""
        path = files.join(directory, schema.MANIFEST_FILE)
        try:
            digest = hashlib.sha256(files.read_bytes(path)).hexdigest()
        except FileNotFoundError:
            digest = "missing"
        if digest != self.sha256:
            raise UserError(
                f"{path} has changed since the start (sha256 {self.sha256[:8]} then, {digest[:8]}"
                " now): the data was rebuilt or removed; training since the last checkpoint is not"
                " saved"
            )

    def load_vocab(self, directory: str | os.PathLike[str]) -> Vocab:
        """Return the vocabulary of the build.

        Raises:
          UserError: the vocabulary file is missing, or its content differs from the manifest's.
        """
        path = files.join(directory, schema.VOCAB_FILE)
        vocab = Vocab.load(path)
        if (vocab.sha256, len(vocab)) != (self.vocab_sha256, self.vocab_pieces):
            raise UserError(
                f"{path} is not the vocabulary of this build: it has {len(vocab)} pieces and sha256"
                f" {vocab.sha256[:8]}, the manifest says {self.vocab_pieces} and"
                f" {self.vocab_sha256[:8]}"
            )
        return vocab

    def check_sizes(self, directory: str | os.PathLike[str]) -> None:
        """Raise a UserError for the first file that is missing or has another size."""
        for file in self.files:
            path = files.join(directory, file.path)
            size = files.size(path)
            if size != file.bytes:
                problem = "is missing" if size is None else f"has {size} bytes"
                raise UserError(
                    f"{path} {problem}, the manifest says {file.bytes} bytes; copy the build again"
                    " or delete it and rebuild it"
                )


def _counts(mappings: Mapping[str, Record]) -> dict[str, dict[str, int]]:
    return {
        name: {counter: counts.integer(counter, minimum=0) for counter in counts.fields}
        for name, counts in mappings.items()
    }


def _first_difference(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> str:
    old_by_name, new_by_name = ({(f["kind"], f["name"]): f for f in files} for files in (old, new))
    for key in sorted(old_by_name.keys() | new_by_name.keys()):
        if key not in new_by_name:
            return f"{key[1]} is missing now"
        if key not in old_by_name:
            return f"{key[1]} is new"
        old_field, new_field = (
            files[key].get("text_field", "text") for files in (old_by_name, new_by_name)
        )
        if old_field != new_field:
            return (
                f"the text of {key[1]} is {old_field!r} there and {new_field!r} now (--text_field)"
            )
        if old_by_name[key] != new_by_name[key]:
            return f"the content of {key[1]} has changed"
    return "they are in another order"


def _config_from_record(record: Record) -> BuildConfig:
    """Return the settings of a build; each has the type of its default."""
    content = record.mapping("config")
    content.refuse_other_fields([field.name for field in dataclasses.fields(BuildConfig)])
    for field in dataclasses.fields(BuildConfig):
        if field.name in content:
            read: dict[type, Callable[[str], Any]] = {
                bool: content.boolean,
                int: content.integer,
                float: content.number,
            }
            read.get(type(field.default), content.text)(field.name)
    try:
        return BuildConfig(**content.fields)
    except UserError as error:
        raise record.damaged(str(error)) from error


def _texts(record: Record) -> dict[str, str]:
    return {name: record.text(name) for name in record.fields}


def _input_from_record(record: Record) -> dict[str, Any]:
    for name in ("kind", "name"):
        record.text(name)
    record.integer("bytes", minimum=0)
    record.sha256("sha256", default=None)
    return record.fields
