"""The manifest of a build: written last, so that a directory with a manifest is a whole build.

Readers read the manifest, never a glob.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import os

from data import files, schema
from data.config import BuildConfig
from data.errors import UserError
from data.vocab import Vocab

# Settings that stop a build or let it pass, and change nothing in it.
_TOLERANCES = ("max_reject_fraction", "max_unknown_fraction")
_LISTS = ("sentence_lengths", "sequence_lengths", "source_names")
_FORMAT, _VERSION = "lambert-build", 3


# What of the environment shows in the result of a build.
_PROGRAMS = (
    "lambert-pretrain",
    "sentencex",
    "mwparserfromhell",
    "tensorflow-text",
    "datasketch",
)


def versions() -> dict[str, str]:
    """Versions of the programs whose work shows in the result of a build."""
    found = {}
    for name in _PROGRAMS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataFile:
    """One file of a build; `path` is relative to the build directory."""

    path: str
    records: int = 0
    bytes: int
    sha256: str

    @classmethod
    def describe(cls, directory: str | os.PathLike, path: str) -> DataFile:
        """Measures a file that has just been written; the records are for the caller to set."""
        full_path = files.join(directory, path)
        return cls(path=path, bytes=files.size(full_path), sha256=files.sha256_of(full_path))

    def check_content(self, directory: str | os.PathLike) -> None:
        """Raises a UserError if the file is not the one that was written."""
        path = files.join(directory, self.path)
        digest = files.sha256_of(path)
        if digest != self.sha256:
            raise UserError(
                f"{path} is damaged: its sha256 is {digest[:8]}, the manifest says"
                f" {self.sha256[:8]}; copy the build again or build it anew"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shard:
    """One shard of a split: its unmasked sequences, and its masked copies in order of the copy.

    Attributes:
      documents: of which something is packed here.
      sentences: packed sentences; those too long for a sequence count once.
      tokens: text tokens (no [CLS], [SEP], [PAD]).
      separators: [CLS] and [SEP].
      unknown_tokens: text tokens that are [UNK].
      sentence_lengths: histogram of tokens in a sentence, in bins of data.stages.accounting.BIN_TOKENS.
      sequence_lengths: histogram of tokens in a sequence, [CLS] and [SEP] included.
      source_names: the sources of its documents, sorted.
      sources: of each sequence, see data.storage.sequence_sources.
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
    """Everything a reader needs to know of a build.

    Attributes:
      made_by: versions of the programs whose work shows in the result.
      inputs: kind, name, bytes and sha256 of every file that was read.
      rejected: documents that were refused.
      rejects: the file that lists them.
      accounts: what became of every byte and token, by source; see data.stages.accounting.
      shards: in order of split and number.
    """

    config: BuildConfig
    vocab_pieces: int
    vocab_sha256: str
    made_by: dict[str, str]
    inputs: tuple[dict, ...]
    rejected: int
    rejects: DataFile | None
    accounts: dict[str, dict[str, int]]
    shards: tuple[Shard, ...]

    def split(self, name: str) -> tuple[Shard, ...]:
        """The shards of "train" or "eval", in order."""
        return tuple(shard for shard in self.shards if shard.split == name)

    @property
    def files(self) -> list[DataFile]:
        """Every file of the build but manifest and vocabulary."""
        rejects = [self.rejects] if self.rejects else []
        return rejects + [file for shard in self.shards for file in shard.files]

    def num_sequences(self, split: str) -> int:
        """Sequences in one copy of a split."""
        return sum(shard.packed.records for shard in self.split(split))

    def require_masks(self, masks: str) -> None:
        """Raises a UserError if the build cannot be read with these `InputConfig.masks`."""
        if masks == "materialised" and not self.config.copies:
            raise UserError(
                "InputConfig.masks='materialised', but the data has no masked copies"
                " (BuildConfig.copies=0); set InputConfig.masks='online'"
            )

    @functools.cached_property
    def sha256(self) -> str:
        """Hash of the manifest as written: names the build."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def to_json(self) -> str:
        """The content of manifest.json."""
        content = {"format": _FORMAT, "version": _VERSION, **dataclasses.asdict(self)}
        return json.dumps(content, indent=1, sort_keys=True) + "\n"

    def write(self, directory: str | os.PathLike) -> None:
        """Declares the build finished."""
        files.write_atomically(files.join(directory, schema.MANIFEST_FILE), self.to_json().encode())

    def check_same_build(self, directory: str | os.PathLike, asked: Manifest) -> None:
        """Raises a UserError that names what differs from the build that was asked for.

        Another version of a program makes another build only of one that is not finished: work of
        both would be mixed.
        """
        config, inputs = asked.config, list(asked.inputs)
        differences = [
            f"BuildConfig.{field.name} is {old} there and {new} now"
            for field in dataclasses.fields(BuildConfig)
            if field.name not in _TOLERANCES
            and (old := getattr(self.config, field.name)) != (new := getattr(config, field.name))
        ]
        if self.vocab_sha256 != asked.vocab_sha256:
            differences.append(
                f"the vocabulary has {self.vocab_pieces} pieces (sha256 {self.vocab_sha256[:8]})"
                f" there and {asked.vocab_pieces} (sha256 {asked.vocab_sha256[:8]}) now"
            )
        if not self.shards:
            differences += [
                f"{name} is {self.made_by.get(name)} there and {version} now"
                for name, version in asked.made_by.items()
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
    def load(cls, directory: str | os.PathLike) -> Manifest:
        """Reads the manifest of a build and compares the size of every file with it.

        Raises:
          UserError: there is no manifest, it is of another format or version, or a file is missing
            or has another size.
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
        cls, *, config: BuildConfig, vocab: Vocab, inputs: list[dict], made_by: dict[str, str]
    ) -> Manifest:
        """The manifest of a build that has not begun."""
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
        """Reads the text of a manifest; `path` is how errors name it.

        Raises:
          UserError: it is no manifest, or of another format or version.
        """
        try:
            content = dict(json.loads(text))
        except (ValueError, TypeError) as error:
            raise UserError(f"{path} cannot be read: {error}; build the data again") from error
        found = (content.pop("format", None), content.pop("version", None))
        if found != (_FORMAT, _VERSION):
            raise UserError(
                f"{path} is {found[0]} version {found[1]}; this program reads {_FORMAT} version"
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

    def require_unchanged(self, directory: str | os.PathLike) -> None:
        """Raises a UserError if the directory has become another build, or is gone."""
        path = files.join(directory, schema.MANIFEST_FILE)
        try:
            found = hashlib.sha256(files.read_bytes(path)).hexdigest()
        except FileNotFoundError:
            found = "missing"
        if found != self.sha256:
            raise UserError(
                f"{path} has changed since the start (sha256 {self.sha256[:8]} then, {found[:8]}"
                " now): the data were built anew or taken away; nothing is saved of what was"
                " trained since the last checkpoint"
            )

    def load_vocab(self, directory: str | os.PathLike) -> Vocab:
        """The vocabulary of the build.

        Raises:
          UserError: it is missing, or not the one that the manifest names.
        """
        path = files.join(directory, schema.VOCAB_FILE)
        vocab = Vocab.load(path)
        if vocab.sha256 != self.vocab_sha256:
            raise UserError(
                f"{path} is not the vocabulary of this build: its sha256 is {vocab.sha256[:8]},"
                f" the manifest says {self.vocab_sha256[:8]}"
            )
        return vocab

    def check_sizes(self, directory: str | os.PathLike) -> None:
        """Raises a UserError for the first file that is missing or has another size."""
        for file in self.files:
            path = files.join(directory, file.path)
            size = files.size(path)
            if size != file.bytes:
                found = "is missing" if size is None else f"has {size} bytes"
                raise UserError(
                    f"{path} {found}, the manifest says {file.bytes} bytes; copy the build again"
                    " or delete it and build it anew"
                )


def _first_difference(old: list[dict], new: list[dict]) -> str:
    old_by_name, new_by_name = ({(f["kind"], f["name"]): f for f in files} for files in (old, new))
    for key in sorted(old_by_name.keys() | new_by_name.keys()):
        if key not in new_by_name:
            return f"{key[1]} is missing now"
        if key not in old_by_name:
            return f"{key[1]} is new"
        if old_by_name[key] != new_by_name[key]:
            return f"{key[1]} has another content"
    return "in their order"


def _shard_from_json(content: dict) -> Shard:
    packed, sources, masked = (content.pop(name) for name in ("packed", "sources", "masked"))
    lists = {name: tuple(content.pop(name)) for name in _LISTS}
    return Shard(
        packed=DataFile(**packed),
        sources=DataFile(**sources),
        masked=tuple(DataFile(**file) for file in masked),
        **lists,
        **content,
    )
