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
from typing import Any

from data import files, schema
from data.config import BuildConfig
from data.errors import UserError
from data.vocab import Vocab

# Settings that can stop a build but do not change its content.
_TOLERANCES = ("max_reject_fraction", "max_unknown_fraction")
_LISTS = ("sentence_lengths", "sequence_lengths", "source_names")
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
class DataFile:
    """One file of a build; `path` is relative to the build directory."""

    path: str
    records: int = 0
    bytes: int
    sha256: str

    @classmethod
    def describe(cls, directory: str | os.PathLike[str], path: str) -> DataFile:
        """Return size and hash of a file that has just been written; `records` stays 0."""
        full_path = files.join(directory, path)
        return cls(path=path, bytes=files.size(full_path), sha256=files.sha256_of(full_path))

    def check_content(self, directory: str | os.PathLike[str]) -> None:
        """Raise a UserError if the sha256 of the file differs."""
        path = files.join(directory, self.path)
        digest = files.sha256_of(path)
        if digest != self.sha256:
            raise UserError(
                f"{path} is damaged: its sha256 is {digest[:8]}, the manifest says"
                f" {self.sha256[:8]}; copy the build again or rebuild it"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shard:
    """One shard of a split: its packed sequences and its masked copies.

    Attributes:
      split: "train" or "eval".
      shard: number of the shard in its split.
      documents: number of documents with packed text.
      sentences: number of packed sentences; one that is split over sequences counts once.
      tokens: number of text tokens, without [CLS], [SEP] and [PAD].
      separators: number of [CLS] and [SEP].
      unknown_tokens: number of text tokens that are [UNK].
      sentence_lengths: histogram of the tokens in a sentence, see data.stages.accounting.histogram.
      sequence_lengths: histogram of the tokens in a sequence, with [CLS] and [SEP].
      source_names: sources of the documents, sorted.
      packed: file of the packed sequences.
      sources: file of the sources of each sequence, see data.storage.sequence_sources.
      masked: files of the masked copies, in order of the copy number.
    """

    split: str
    shard: int
    documents: int
    sentences: int
    tokens: int
    separators: int
    unknown_tokens: int
    sentence_lengths: tuple[int, ...]
    sequence_lengths: tuple[int, ...]
    source_names: tuple[str, ...]
    packed: DataFile
    sources: DataFile
    masked: tuple[DataFile, ...] = ()

    @property
    def files(self) -> list[DataFile]:
        """Every file of the shard."""
        return [self.packed, self.sources, *self.masked]


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
        return json.dumps(content, indent=1, sort_keys=True) + "\n"

    def write(self, directory: str | os.PathLike[str]) -> None:
        """Write the manifest, which marks the build as finished."""
        files.write_atomically(files.join(directory, schema.MANIFEST_FILE), self.to_json().encode())

    def check_same_build(self, directory: str | os.PathLike[str], requested: Manifest) -> None:
        """Raise a UserError that names the differences from a requested build, if there are any.

        Versions of packages matter only for an unfinished build, which would mix the work of both.

        Args:
          directory: build directory, for errors.
          requested: manifest of the requested build before it has begun.
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
        if list(self.inputs) != inputs:
            differences.append(
                f"the {len(self.inputs)} input files there differ from the {len(inputs)} given now:"
                f" {_first_difference(list(self.inputs), inputs)}"
            )
        if differences:
            raise UserError(
                f"{directory} holds another build: {'; '.join(differences)}; choose another"
                " --output_dir or delete that one"
            )

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
          UserError: the text is not a manifest, or has another format or version.
        """
        try:
            content = dict(json.loads(text))
        except (ValueError, TypeError) as error:
            raise UserError(f"{path} cannot be read: {error}; build the data again") from error
        name, version = content.pop("format", None), content.pop("version", None)
        if (name, version) != (_FORMAT, _VERSION):
            raise UserError(
                f"{path} is {name} version {version}; this program reads {_FORMAT} version"
                f" {_VERSION}: build the data again"
            )
        try:
            return cls(
                config=BuildConfig(**content.pop("config")),
                inputs=tuple(content.pop("inputs")),
                rejects=DataFile(**rejects) if (rejects := content.pop("rejects")) else None,
                shards=tuple(map(_shard_from_json, content.pop("shards"))),
                **content,
            )
        except (TypeError, KeyError, UserError) as error:
            raise UserError(f"{path} is damaged: {error}; build the data again") from error

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
          UserError: the vocabulary file is missing, or its sha256 differs from the manifest's.
        """
        path = files.join(directory, schema.VOCAB_FILE)
        vocab = Vocab.load(path)
        if vocab.sha256 != self.vocab_sha256:
            raise UserError(
                f"{path} is not the vocabulary of this build: its sha256 is {vocab.sha256[:8]},"
                f" the manifest says {self.vocab_sha256[:8]}"
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


def _first_difference(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> str:
    old_by_name, new_by_name = ({(f["kind"], f["name"]): f for f in files} for files in (old, new))
    for key in sorted(old_by_name.keys() | new_by_name.keys()):
        if key not in new_by_name:
            return f"{key[1]} is missing now"
        if key not in old_by_name:
            return f"{key[1]} is new"
        if old_by_name[key] != new_by_name[key]:
            return f"the content of {key[1]} has changed"
    return "they are in another order"


def _shard_from_json(content: dict[str, Any]) -> Shard:
    packed, sources, masked = (content.pop(name) for name in ("packed", "sources", "masked"))
    lists = {name: tuple(content.pop(name)) for name in _LISTS}
    return Shard(
        packed=DataFile(**packed),
        sources=DataFile(**sources),
        masked=tuple(DataFile(**file) for file in masked),
        **lists,
        **content,
    )
