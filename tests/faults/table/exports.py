"""Rows about exports, imports from other projects, and runs that start from an import."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.faults import commands as run
from tests.faults import damage as d
from tests.faults.case import Apply, refused, refused_or_goes_on, refused_or_same, row, same

AREA = "Exports and imports"
EXPORT, WARM = "export/export.json", "warm/initial/source.json"
ENCODER, VARIABLES = "export/encoder/saved_model.pb", "export/encoder/variables"
SUMS, ASSET = "export/SHA256SUMS", "export/preprocessor/assets/vocab.txt"
CONFIG, TENSORS, TOKENIZER = "hf/config.json", "hf/model.safetensors", "hf/tokenizer.json"
CHECKPOINT = "tf-models/ckpt-6"


def rows() -> list:
    """Return the rows."""
    return [*_exports(), *_huggingface(), *_safetensors(), *_checkpoints(), *_warm_starts()]


def _record(file: str, name: str, command, but: tuple[str, ...] = ()) -> list:
    """Rows about each field of a record."""
    right = refused_or_goes_on(name)
    return [
        *(
            row(AREA, file, damage, apply, command, right, each=True)
            for damage, apply in (
                ("a value of another type in each field", d.wrong_types(file, but=but)),
                ("an absurd number in each field", d.huge_numbers(file, but=but)),
            )
        ),
        # A size that is missing has its default, which the weights then do not have.
        row(
            *(AREA, file, "each field is missing"),
            *(d.missing_fields(file, but=but), command, refused_or_goes_on()),
            each=True,
        ),
        row(AREA, file, "not a record", d.no_json(file), command, refused(name), each=True),
    ]


def _exports() -> list:
    changed = refused("has changed since the export")
    found = [
        *_record(EXPORT, "export.json", run.IMPORT_EXPORT),
        row(
            *(AREA, "export/", "files changed"),
            d.each(
                flipped_bit_in_the_weights=d.flip(f"{VARIABLES}/variables.data-00000-of-00001"),
                flipped_bit_in_the_index=d.flip(f"{VARIABLES}/variables.index"),
                half_of_the_program=d.truncate(ENCODER),
                a_flipped_bit_in_the_program=d.flip(ENCODER),
                pieces_of_the_vocabulary_exchanged=d.edit(ASSET, _exchange_pieces),
                one_piece_more=d.append(ASSET, b"more\n"),
                vocabulary_missing=d.remove(ASSET),
                weights_missing=d.remove(f"{VARIABLES}/variables.data-00000-of-00001"),
            ),
            *(run.RELEASE, changed),
            each=True,
        ),
        row(
            *(AREA, "SHA256SUMS", "damaged"),
            d.each(
                not_UTF8=d.append(SUMS, b"\xff\xfe\n"),
                a_path_outside=d.append(SUMS, b"0" * 64 + b"  ../outside/canary\n"),
                an_absolute_path=d.append(SUMS, b"0" * 64 + b"  /etc/hostname\n"),
                a_short_checksum=d.append(SUMS, b"00  encoder/saved_model.pb\n"),
                zeros=d.append(SUMS, bytes(100)),
            ),
            *(run.RELEASE, refused("SHA256SUMS is damaged")),
            each=True,
        ),
        row(
            *(AREA, "SHA256SUMS", "not a file"),
            *(d.no_file(SUMS), run.RELEASE, refused_or_same("SHA256SUMS")),
            each=True,
        ),
    ]
    unchecked = {
        **{f"flipped_bit_{n}_in_the_program": d.flip(ENCODER, n, bits=3) for n in range(8)},
        **{
            f"flipped_bit_{n}_in_the_index": d.flip(f"{VARIABLES}/variables.index", n)
            for n in range(4)
        },
        "half_of_the_program": d.truncate(ENCODER),
        "zeros_in_the_program": d.zero(ENCODER, 0.2, 0.6),
        "an_empty_program": d.write(ENCODER, ""),
        "half_of_the_weights": d.truncate(f"{VARIABLES}/variables.data-00000-of-00001"),
        "without_weights": d.remove(f"{VARIABLES}/variables.data-00000-of-00001"),
        "without_an_index": d.remove(f"{VARIABLES}/variables.index"),
    }
    found.append(
        row(
            *(AREA, "export/ without SHA256SUMS", "damaged"),
            d.each(**{name: d.all_of(d.remove(SUMS), apply) for name, apply in unchecked.items()}),
            *(run.RELEASE, refused_or_goes_on("export/")),
            each=True,
        )
    )
    return found


def _exchange_pieces(content: bytes) -> bytes:
    lines = content.split(b"\n")
    lines[700], lines[701] = lines[701], lines[700]
    return b"\n".join(lines)


def _huggingface() -> list:
    found = [
        *_record(CONFIG, "hf/config.json", run.IMPORT),
        row(
            *(AREA, CONFIG, "values of all other types in each field"),
            *(d.wrong_types(CONFIG, all_types=True), run.IMPORT),
            *(refused_or_goes_on("hf/config.json"),),
            each=True,
        ),
        row(
            *(AREA, "tokenizer.json without vocab.txt", "not a record"),
            *(_without_vocab(d.no_json(TOKENIZER)), run.IMPORT, refused("tokenizer.json")),
            each=True,
        ),
        row(
            *(AREA, "tokenizer.json without vocab.txt", "damaged"),
            _without_vocab(
                d.each(
                    model_is_a_list=d.at(TOKENIZER, ("model",), []),
                    model_is_null=d.at(TOKENIZER, ("model",), None),
                    kind_is_a_number=d.at(TOKENIZER, ("model", "type"), 7),
                    vocab_is_a_list=d.at(TOKENIZER, ("model", "vocab"), []),
                    vocab_is_empty=d.at(TOKENIZER, ("model", "vocab"), {}),
                    an_id_is_text=d.at(TOKENIZER, ("model", "vocab", "[CLS]"), "2"),
                    an_id_is_true=d.at(TOKENIZER, ("model", "vocab", "[CLS]"), True),
                    an_id_is_huge=d.at(TOKENIZER, ("model", "vocab", "[CLS]"), 10**30),
                    an_id_twice=d.at(TOKENIZER, ("model", "vocab", "[CLS]"), 3),
                )
            ),
            *(run.IMPORT, refused("tokenizer.json")),
            each=True,
        ),
        row(
            *(AREA, "tokenizer_config.json", "not a record"),
            *(d.no_json("hf/tokenizer_config.json"), run.IMPORT),
            *(refused_or_same("tokenizer_config.json"),),
            each=True,
        ),
        row(
            *(AREA, "hf/vocab.txt", "damaged"),
            d.each(**_vocab_damages("hf/vocab.txt")),
            *(run.IMPORT, refused("vocab")),
            each=True,
        ),
    ]
    found += [
        row(AREA, name, "not a file", d.no_file(name), run.IMPORT, refused("hf"), each=True)
        for name in (CONFIG, TENSORS)
    ]
    return found


def _without_vocab(variants: d.Variants) -> d.Variants:
    def both(artefacts: Path) -> Iterator[tuple[str, Apply]]:
        for name, apply in variants(artefacts):
            yield name, d.all_of(d.remove("hf/vocab.txt"), apply)

    return both


def _vocab_damages(file: str) -> dict[str, Apply]:
    return {
        "empty": d.write(file, ""),
        "one_piece_twice": d.edit(file, lambda c: c.replace(b"\nthe\n", b"\n[CLS]\n")),
        "without_CLS": d.edit(file, lambda c: c.replace(b"[CLS]", b"[XLS]")),
        "one_piece_more": d.append(file, b"more\n"),
        "half_of_it": d.truncate(file),
        "not_UTF-8": d.append(file, b"\xff\xfe\n"),
        "zeros": d.zero(file, 0),
        "an_empty_line": d.edit(file, lambda c: c.replace(b"\nthe\n", b"\n\n")),
    }


def _header(change: Callable[[dict[str, Any]], object]) -> Apply:
    """Return a damage of the header of a safetensors file, whose length is set anew."""

    def edit(content: bytes) -> bytes:
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        change(header)
        text = json.dumps(header).encode()
        return len(text).to_bytes(8, "little") + text + content[8 + length :]

    return d.edit(TENSORS, edit)


def _length(value: int) -> Apply:
    """Return a damage: the header claims another length."""
    return d.edit(TENSORS, lambda c: value.to_bytes(8, "little") + c[8:])


def _tensor(field: str, value: object) -> Apply:
    """Return a damage of the description of one tensor."""
    return _header(lambda header: header["bert.embeddings.LayerNorm.bias"].update({field: value}))


def _safetensors() -> list:
    types = ("F8_E4M3", "F8_E5M2", "F4", "BOOL", "U8", "I64", "F64", "F16", "C64", "X", "", 7, None)
    lengths = (0, 1, 7, 2**20, 2**31, 2**40, 2**63 - 1, 2**63, 2**64 - 1)
    offsets = ([0, 0], [64, 0], [-64, 0], [0, 2**63], [0, 10**30], [2**40, 2**40 + 64], [0], "0", 7)
    shapes = ([], [0], [-16], [2**63], [10**30], [4, 4], [16, 1, 1], "16", None, [[16]], [1.5])
    damages = {f"type_{value}": _tensor("dtype", value) for value in types}
    damages |= {f"header of {value} bytes": _length(value) for value in lengths}
    damages |= {f"offsets {value}": _tensor("data_offsets", value) for value in offsets}
    damages |= {f"shape {value}": _tensor("shape", value) for value in shapes}
    damages |= {
        "a hundred thousand brackets": d.edit(
            TENSORS, lambda c: (10**5).to_bytes(8, "little") + b"[" * 10**5 + c[8:]
        ),
        "a list for a header": d.edit(TENSORS, lambda c: (2).to_bytes(8, "little") + b"[]" + c[8:]),
        "an empty header": d.edit(TENSORS, lambda c: (2).to_bytes(8, "little") + b"{}" + c[8:]),
        "a hundred thousand tensors": _header(_add_tensors),
        "metadata that is a list": _header(lambda h: h.update(__metadata__=[])),
        "two tensors at one place": _header(_share_place),
        "empty": d.write(TENSORS, ""),
        "seven bytes": d.write(TENSORS, b"\0" * 7),
        "half of it": d.truncate(TENSORS),
        "one byte more": d.append(TENSORS, b"\0"),
        "a layer that no block has": _header(
            lambda h: h.update({"bert.encoder.layer.10000000000.x": h.pop("cls.predictions.bias")})
        ),
    }
    flips = {f"flipped_bits_{n}": d.flip(TENSORS, n, bits=2) for n in range(4)}
    return [
        row(
            *(AREA, "model.safetensors", "header damaged"),
            *(d.each(**damages), run.IMPORT, refused_or_goes_on("hf/model.safetensors")),
            each=True,
        ),
        row(
            *(AREA, "model.safetensors", "bits of the header flipped"),
            d.each(
                **{f"{n}": d.edit(TENSORS, lambda c, n=n: _flip_header(c, n)) for n in range(12)}
            ),
            *(run.IMPORT, refused_or_goes_on("hf")),
            each=True,
        ),
        row(
            *(AREA, "model.safetensors", "bits flipped"),
            *(d.each(**flips), run.IMPORT, refused_or_goes_on("hf/model.safetensors")),
            each=True,
        ),
        row(
            *(AREA, "model.safetensors", "a weight is NaN"),
            d.edit(TENSORS, lambda c: c[:-4] + b"\x00\x00\xc0\x7f"),
            *(run.IMPORT, refused("hf/model.safetensors", "NaN or infinite")),
        ),
    ]


def _flip_header(content: bytes, seed: int) -> bytes:
    at = 8 + (seed * 977) % int.from_bytes(content[:8], "little")
    return content[:at] + bytes([content[at] ^ 1 << seed % 7]) + content[at + 1 :]


def _add_tensors(header: dict[str, Any]) -> None:
    entry = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    header.update({f"t{number}": entry for number in range(100_000)})


def _share_place(header: dict[str, Any]) -> None:
    names = [name for name in header if name != "__metadata__"]
    header[names[0]] = header[names[1]]


def _checkpoints() -> list:
    index, data = f"{CHECKPOINT}.index", f"{CHECKPOINT}.data-00000-of-00001"
    damages = {
        **{f"flipped_bit_{n}_in_the_index": d.flip(index, n) for n in range(8)},
        **{f"flipped_bit_{n}_in_the_data": d.flip(data, n) for n in range(4)},
        "half_of_the_index": d.truncate(index),
        "half_of_the_data": d.truncate(data),
        "an_empty_index": d.write(index, ""),
        "zeros_in_the_index": d.zero(index, 0.2, 0.5),
        "no_data": d.remove(data),
        "no_index": d.remove(index),
        "another_index_beside_it": d.write("tf-models/other.index", "x"),
        "an_index_of_something_else": d.write(index, "SQLite format 3\0" * 100),
    }
    return [
        row(
            *(AREA, "tf-models/", "damaged"),
            *(d.each(**damages), run.IMPORT_CHECKPOINT, refused_or_goes_on("tf-models")),
            each=True,
        ),
        *_record("tf-models/export.json", "export.json", run.IMPORT_CHECKPOINT),
        row(
            *(AREA, "tf-models/checkpoint", "names a file elsewhere"),
            d.write("tf-models/checkpoint", 'model_checkpoint_path: "/etc/passwd"\n'),
            *(run.IMPORT_CHECKPOINT, same()),
        ),
        row(
            *(AREA, "tf-models/vocab.txt", "damaged"),
            d.each(**_vocab_damages("tf-models/vocab.txt")),
            *(run.IMPORT_CHECKPOINT, refused("vocab")),
            each=True,
        ),
    ]


def _warm_starts() -> list:
    weights = "warm/initial/weights.safetensors"
    return [
        *_record(WARM, "source.json", run.WARM_DRY_RUN),
        row(
            *(AREA, WARM, "not a file"),
            *(d.no_file(WARM), run.WARM_DRY_RUN, refused("source.json")),
            each=True,
        ),
        row(
            *(AREA, "initial/weights.safetensors", "damaged"),
            d.each(
                flipped_bit=d.flip(weights),
                half_of_it=d.truncate(weights),
                missing=d.remove(weights),
                a_folder=d.instead(weights, Path.mkdir),
            ),
            *(run.WARM_EVAL, refused("weights.safetensors has changed since the import")),
            each=True,
        ),
        row(
            *(AREA, "initial/vocab.txt", "damaged"),
            d.each(**_vocab_damages("warm/initial/vocab.txt")),
            *(run.WARM_DRY_RUN, refused("vocab")),
            each=True,
        ),
        row(
            *(AREA, "initial/", "a file in its place"),
            d.instead("warm/initial", lambda path: path.write_text("x")),
            *(run.WARM_DRY_RUN, refused("initial")),
        ),
    ]
