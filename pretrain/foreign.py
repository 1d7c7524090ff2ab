"""Reads BERTs of other makers: Hugging Face's, tf-models' and Google's checkpoints, and our exports."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from data import schema
from data.errors import UserError
from data.files import sha256_of
from data.vocab import Vocab
from model import huggingface
from model.config import EncoderConfig
from model.names import weights
from pretrain.exported import load_saved_model
from pretrain.recipe import check_table_size

# Weights of a block, as Hugging Face, Google and tf-models call them.
_BLOCK = re.compile(r"(?:bert[./]encoder[./]layer[._]|_transformer_layers/)(\d+)")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Foreign:
    """A BERT as read.

    Attributes:
      kind: the format, for people.
      files: what was read.
      values: weights by our names, in our shapes, float32; head and pooler may be missing.
      left_out: names of weights that have no place here, such as a classifier's.
    """

    kind: str
    files: tuple[Path, ...]
    encoder: EncoderConfig
    values: dict[str, np.ndarray]
    vocab: Vocab
    lower_case: bool
    left_out: tuple[str, ...]

    @property
    def origin(self) -> dict[str, str]:
        """What it was made from, for the record."""
        weights_file = self.files[0]
        return {"kind": self.kind, "path": str(weights_file), "sha256": sha256_of(weights_file)}

    @property
    def parts(self) -> list[str]:
        """Which of "encoder", "head" and "pooler" are there."""
        return [
            part
            for part in ("encoder", "head", "pooler")
            if weights(self.encoder, part)[0].name in self.values
        ]


def read(source: str, *, vocab_file: str | None = None) -> Foreign:
    """Reads a BERT; what it is is told from the files that are there.

    Args:
      source: a directory of Hugging Face's format (config.json), an export of ours (encoder/), or a
        directory with one TensorFlow checkpoint, or such a checkpoint's prefix.
      vocab_file: of a source that has none.

    Raises:
      UserError: it is none of these, of another architecture, damaged, or not consistent.
    """
    path = Path(source)
    if (path / "encoder/saved_model.pb").is_file():
        return _read_export(path)
    if (path / "config.json").is_file():
        return _read_huggingface(path, vocab_file)
    if (prefix := _checkpoint_prefix(path)) is not None:
        return _read_tensorflow(prefix, vocab_file)
    raise UserError(
        f"--from {source}: there is no BERT that is known here: neither config.json (Hugging Face),"
        " nor encoder/saved_model.pb (an export of ours), nor a checkpoint (*.index)"
    )


def _read_export(path: Path) -> Foreign:
    from model.weights import values_of

    record = _json(path / "export.json")
    loaded = load_saved_model(path / "encoder")
    if not hasattr(loaded, "mlm"):
        raise UserError(
            f"{path}/encoder has no .mlm: the head of its masked language model is missing"
        )
    try:
        encoder = EncoderConfig(**record["encoder"])
    except (KeyError, TypeError) as error:
        raise UserError(f"{path}/export.json is of another version: {error!r}") from error
    return _checked(
        kind="export",
        files=(path / "encoder/variables/variables.data-00000-of-00001",),
        encoder=encoder,
        values=values_of(loaded.mlm, encoder),
        vocab=Vocab.load(path / "encoder/assets" / schema.VOCAB_FILE),
        lower_case=bool(loaded.do_lower_case.numpy()),
    )


def _read_huggingface(path: Path, vocab_file: str | None) -> Foreign:
    from safetensors import SafetensorError, safe_open

    encoder = huggingface.config_from_json(_json(path / "config.json"), f"{path}/config.json")
    file = path / "model.safetensors"
    if not file.is_file():
        raise UserError(
            f"{file} is missing; weights in a pytorch_model.bin or in several files can be brought into"
            " one with transformers' save_pretrained"
        )
    try:
        # As TensorFlow's tensors: numpy has no bfloat16.
        with safe_open(file, framework="tf") as opened:
            tensors = {name: opened.get_tensor(name).numpy() for name in opened.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise UserError(f"{file} is damaged: {error}") from error
    values, left_out = huggingface.from_tensors(tensors, encoder, str(file))
    settings = path / "tokenizer_config.json"
    vocab = _vocab(path, vocab_file)
    return _checked(
        kind="Hugging Face",
        files=(file,),
        encoder=encoder,
        values=values,
        vocab=vocab,
        lower_case=(_json(settings) if settings.is_file() else {}).get("do_lower_case"),
        left_out=tuple(left_out),
    )


def _checkpoint_prefix(path: Path) -> Path | None:
    """The one checkpoint in a directory, or the one whose prefix this is."""
    if path.is_dir():
        found = sorted(path.glob("*.index"))
        if len(found) > 1:
            names = ", ".join(file.stem for file in found)
            raise UserError(f"--from {path} has several checkpoints ({names}); name one of them")
        return found[0].with_suffix("") if found else None
    return path if Path(f"{path}.index").is_file() else None


def _read_tensorflow(prefix: Path, vocab_file: str | None) -> Foreign:
    import tensorflow as tf

    try:
        reader = tf.train.load_checkpoint(str(prefix))
        if reader.has_tensor("_CHECKPOINTABLE_OBJECT_GRAPH"):
            return _read_tf_models(prefix, reader, vocab_file)
        return _read_google(prefix, reader, vocab_file)
    except (tf.errors.OpError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"checkpoint {prefix} cannot be read: {reason}") from error


def _read_google(prefix: Path, reader, vocab_file: str | None) -> Foreign:
    config_file = prefix.parent / "bert_config.json"
    if not config_file.is_file():
        raise UserError(f"{config_file} is missing: it says how many heads {prefix} has")
    encoder = _google_config(config_file)
    shapes = reader.get_variable_to_shape_map()
    values = {
        weight.name: reader.get_tensor(weight.google)
        for weight in weights(encoder)
        if weight.google in shapes
    }
    known = {weight.google for weight in weights(encoder)}
    # Slots of the optimizer are no weights.
    left_out = {n for n in shapes if n not in known and "adam" not in n and n != "global_step"}
    return _checked(
        kind="Google's TensorFlow 1 checkpoint",
        files=_files_of(prefix),
        encoder=encoder,
        values=values,
        vocab=_vocab(prefix.parent, vocab_file),
        left_out=tuple(sorted(left_out)),
    )


def _read_tf_models(prefix: Path, reader, vocab_file: str | None) -> Foreign:
    graph = _ObjectGraph(reader)
    encoder_node = next(
        (
            node
            for path in ("encoder", "model/encoder_network", "encoder_network", "model", "")
            if (node := graph.find(path)) is not None and graph.find("_embedding_layer", node)
        ),
        None,
    )
    if encoder_node is None:
        raise UserError(f"checkpoint {prefix} has no BERT encoder of tf-models in it")
    head = next((n for p in ("masked_lm", "model/masked_lm") if (n := graph.find(p))), None)

    def value(path: str, node: int | None) -> np.ndarray | None:
        key = None if node is None else graph.key(path, node)
        return None if key is None else reader.get_tensor(key)

    config_file = prefix.parent / "bert_config.json"
    if config_file.is_file():
        encoder = _google_config(config_file)
    else:
        encoder = _config_from_shapes(lambda path: value(path, encoder_node), prefix)
    num_layers = _count_layers(lambda path: value(path, encoder_node))
    values = {}
    for weight in weights(encoder):
        node = head if weight.part == "head" else encoder_node
        if (found := value(weight.tf_models, node)) is not None:
            # Heads have an axis of their own; another shape is told below.
            same = found.size == np.prod(weight.shape)
            values[weight.name] = found.reshape(weight.shape) if same else found
    return _checked(
        kind="tf-models checkpoint",
        files=_files_of(prefix),
        encoder=encoder,
        values=values,
        vocab=_vocab(prefix.parent, vocab_file),
        left_out=tuple(
            f"_transformer_layers/{n}" for n in range(encoder.num_hidden_layers, num_layers)
        ),
    )


class _ObjectGraph:
    """The objects of a TensorFlow 2 checkpoint, walked by attribute."""

    def __init__(self, reader):
        from tensorflow.core.protobuf import trackable_object_graph_pb2

        content = reader.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH")
        self._nodes = trackable_object_graph_pb2.TrackableObjectGraph.FromString(content).nodes

    def find(self, path: str, node: int = 0) -> int | None:
        """The object that attributes lead to."""
        for name in path.split("/") if path else ():
            name = name.replace(".S", "/")  # as TensorFlow writes a slash within a name
            children = {child.local_name: child.node_id for child in self._nodes[node].children}
            if name not in children:
                return None
            node = children[name]
        return node

    def key(self, path: str, node: int) -> str | None:
        """The key of the variable that attributes lead to."""
        found = self.find(path, node)
        attributes = [] if found is None else self._nodes[found].attributes
        return attributes[0].checkpoint_key if attributes else None


def _config_from_shapes(value, prefix: Path) -> EncoderConfig:
    """The architecture of a tf-models checkpoint; what no shape shows has BERT's values."""
    first = "_transformer_layers/0"
    paths = (
        "_embedding_layer/embeddings",
        "_position_embedding_layer/embeddings",
        "_type_embedding_layer/embeddings",
        f"{first}/_attention_layer/_query_dense/kernel",
        f"{first}/_intermediate_dense/kernel",
    )
    found = [value(path) for path in paths]
    for path, array in zip(paths, found, strict=True):
        if array is None:
            raise UserError(f"checkpoint {prefix} has no {path}: it is no BERT of tf-models")
    words, positions, types, query, inner = (array.shape for array in found)
    return EncoderConfig(
        vocab_size=words[0],
        hidden_size=words[1],
        num_hidden_layers=_count_layers(value),
        num_attention_heads=query[1],
        intermediate_size=inner[1],
        max_position_embeddings=positions[0],
        type_vocab_size=types[0],
    )


def _count_layers(value) -> int:
    """Of a tf-models checkpoint."""
    layers = 0
    while value(f"_transformer_layers/{layers}/_output_dense/bias") is not None:
        layers += 1
    return layers


def _google_config(path: Path) -> EncoderConfig:
    content = _json(path)
    if content.get("hidden_act", "gelu") != "gelu":
        raise UserError(f"{path}: hidden_act is {content['hidden_act']!r}; this encoder has 'gelu'")
    # Google's gelu is the one that PyTorch calls gelu_new.
    settings = huggingface.common_settings(content, str(path))
    return EncoderConfig(**settings, hidden_activation="gelu_tanh")


def _files_of(prefix: Path) -> tuple[Path, ...]:
    return tuple(sorted(prefix.parent.glob(f"{prefix.name}.data-*")))


def _json(path: Path) -> Mapping:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} holds a {type(content).__name__}, not settings by name")
    return content


def _vocab(directory: Path, vocab_file: str | None) -> Vocab:
    """The vocabulary given, or the one that lies beside the weights."""
    if vocab_file or (directory / schema.VOCAB_FILE).is_file():
        return Vocab.load(vocab_file or directory / schema.VOCAB_FILE)
    tokenizer = directory / "tokenizer.json"
    if not tokenizer.is_file():
        raise UserError(
            f"{directory} has no {schema.VOCAB_FILE}; give the vocabulary as --vocab_file"
        )
    model = _json(tokenizer).get("model", {})
    if model.get("type") != "WordPiece":
        raise UserError(
            f"{tokenizer}: its model is {model.get('type')!r}; this encoder has a 'WordPiece' vocabulary"
        )
    pieces = sorted(model["vocab"], key=model["vocab"].get)
    for number, piece in enumerate(pieces):
        if model["vocab"][piece] != number:
            raise UserError(
                f"{tokenizer}: no piece has id {number}, {piece!r} has {model['vocab'][piece]}; give the"
                " vocabulary as --vocab_file"
            )
    return Vocab(tuple(pieces))


def _checked(
    *,
    encoder: EncoderConfig,
    values: dict[str, np.ndarray],
    vocab: Vocab,
    files: tuple[Path, ...],
    lower_case: bool | None = None,
    left_out: tuple[str, ...] = (),
    **others,
) -> Foreign:
    """What was read, if the parts are whole and fit each other."""
    check_table_size(encoder.vocab_size, len(vocab), str(files[0]))
    blocks = [int(found[1]) + 1 for name in left_out if (found := _BLOCK.match(name))]
    if (num_layers := max(blocks, default=0)) > encoder.num_hidden_layers:
        raise UserError(
            f"{files[0]} has {num_layers} layers, its configuration says {encoder.num_hidden_layers}"
        )
    for part in ("encoder", "head", "pooler"):
        wanted = weights(encoder, part)
        missing = [weight.name for weight in wanted if weight.name not in values]
        if missing and (part == "encoder" or len(missing) < len(wanted)):
            raise UserError(
                f"{files[0]}: {len(missing)} of {len(wanted)} weights of the {part} are missing, e.g."
                f" {missing[0]}: it is no BERT with {encoder.num_hidden_layers} layers, or damaged"
            )
    for weight in weights(encoder):
        found = values.get(weight.name)
        if found is not None and found.shape != weight.shape:
            raise UserError(
                f"{files[0]}: {weight.name} has shape {list(found.shape)}, its configuration says"
                f" {list(weight.shape)}"
            )
    if lower_case is None:
        special = {*schema.SPECIAL_TOKENS, *(vocab.pieces[i] for i in vocab.special_ids)}
        lower_case = not any(p != p.lower() for p in vocab.pieces if p not in special)
    return Foreign(
        encoder=encoder,
        values={name: np.asarray(value, np.float32) for name, value in values.items()},
        vocab=vocab,
        files=files,
        lower_case=lower_case,
        left_out=left_out,
        **others,
    )
