"""Read BERTs from TensorFlow checkpoints of tf-models and of Google's BERT."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data.errors import UserError, first_line
from model import huggingface
from model.config import EncoderConfig
from model.names import weights
from pretrain.convert.common import (
    ImportedBert,
    check_layers,
    config_from_shapes,
    count_layers,
    find_vocab,
    merge_heads,
    read_json,
    read_record,
    validate,
)
from pretrain.export.atomic_directory import RECORD_FILE

if TYPE_CHECKING:
    from tensorflow.train import CheckpointReader


def checkpoint_prefix(path: Path) -> Path | None:
    """Return the prefix of the only checkpoint in a directory, or `path` if it is such a prefix."""
    if path.is_dir():
        indices = sorted(path.glob("*.index"))
        if len(indices) > 1:
            names = ", ".join(file.stem for file in indices)
            raise UserError(f"--from {path} has several checkpoints ({names}); name one of them")
        return indices[0].with_suffix("") if indices else None
    return path if Path(f"{path}.index").is_file() else None


def read_checkpoint(prefix: Path, vocab_file: str | None) -> ImportedBert:
    """Read a TensorFlow 2 or 1 checkpoint; raise a UserError if it is damaged or not a BERT."""
    import tensorflow as tf

    try:
        reader = tf.train.load_checkpoint(str(prefix))
        if reader.has_tensor("_CHECKPOINTABLE_OBJECT_GRAPH"):
            return _read_tf_models(prefix, reader, vocab_file)
        return _read_google(prefix, reader, vocab_file)
    except (tf.errors.OpError, RuntimeError, IndexError) as error:
        raise UserError(f"checkpoint {prefix} cannot be read: {first_line(error)}") from error


def _read_google(prefix: Path, reader: CheckpointReader, vocab_file: str | None) -> ImportedBert:
    config_file = prefix.parent / "bert_config.json"
    if not config_file.is_file():
        raise UserError(f"{config_file} is missing: it has the number of heads of {prefix}")
    encoder = _google_config(config_file)
    shapes = reader.get_variable_to_shape_map()
    check_layers(encoder, count_layers(shapes), prefix)
    values = {
        weight.name: reader.get_tensor(weight.google)
        for weight in weights(encoder)
        if weight.google in shapes
    }
    known = {weight.google for weight in weights(encoder)}
    # The state of the optimizer is not listed.
    left_out = {n for n in shapes if n not in known and "adam" not in n and n != "global_step"}
    return validate(
        kind="Google's TensorFlow 1 checkpoint",
        files=_files_of(prefix),
        encoder=encoder,
        values=values,
        vocab=find_vocab(prefix.parent, vocab_file),
        left_out=tuple(sorted(left_out)),
    )


def _read_tf_models(prefix: Path, reader: CheckpointReader, vocab_file: str | None) -> ImportedBert:
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
        raise UserError(f"checkpoint {prefix} has no tf-models BERT encoder")
    head_node = next((n for p in ("masked_lm", "model/masked_lm") if (n := graph.find(p))), None)
    record, config_file = prefix.parent / RECORD_FILE, prefix.parent / "bert_config.json"
    lower_case = None
    if record.is_file():
        encoder, lower_case = read_record(record)
    elif config_file.is_file():
        encoder = _google_config(config_file)
    else:
        encoder = _config(graph, encoder_node, prefix)
    check_layers(encoder, _count_layers(graph, encoder_node), prefix)
    values = {}
    for weight in weights(encoder):
        node = head_node if weight.part == "head" else encoder_node
        if node is not None and (value := graph.value(weight.tf_models, node)) is not None:
            values[weight.name] = merge_heads(value, weight.shape)
    return validate(
        kind="tf-models checkpoint",
        files=_files_of(prefix),
        encoder=encoder,
        values=values,
        vocab=find_vocab(prefix.parent, vocab_file),
        lower_case=lower_case,
    )


class _ObjectGraph:
    """The object graph of a TensorFlow 2 checkpoint, navigated by attribute names."""

    def __init__(self, reader: CheckpointReader):
        from tensorflow.core.protobuf import trackable_object_graph_pb2

        content = reader.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH")
        self._reader = reader
        self._nodes = trackable_object_graph_pb2.TrackableObjectGraph.FromString(content).nodes

    def find(self, path: str, node: int = 0) -> int | None:
        """Return the id of the object at a path of attribute names."""
        for name in path.split("/") if path else ():
            name = name.replace(".S", "/")  # TensorFlow's escape for a slash in a name
            children = {child.local_name: child.node_id for child in self._nodes[node].children}
            if name not in children:
                return None
            node = children[name]
        return node

    def value(self, path: str, node: int) -> np.ndarray | None:
        """Return the variable at a path of attribute names from an object; None if there is none."""
        variable = self.find(path, node)
        attributes = [] if variable is None else self._nodes[variable].attributes
        return self._reader.get_tensor(attributes[0].checkpoint_key) if attributes else None


def _config(graph: _ObjectGraph, encoder_node: int, prefix: Path) -> EncoderConfig:
    first = "_transformer_layers/0"
    paths = (
        "_embedding_layer/embeddings",
        "_position_embedding_layer/embeddings",
        "_type_embedding_layer/embeddings",
        f"{first}/_attention_layer/_query_dense/kernel",
        f"{first}/_intermediate_dense/kernel",
    )
    shapes = []
    for path in paths:
        array = graph.value(path, encoder_node)
        if array is None:
            raise UserError(f"checkpoint {prefix} has no {path}: it is not a tf-models BERT")
        shapes.append(array.shape)
    return config_from_shapes(*shapes, num_layers=_count_layers(graph, encoder_node))


def _count_layers(graph: _ObjectGraph, encoder_node: int) -> int:
    """Return the number of blocks of a tf-models encoder."""
    layers = 0
    while graph.value(f"_transformer_layers/{layers}/_output_dense/bias", encoder_node) is not None:
        layers += 1
    return layers


def _google_config(path: Path) -> EncoderConfig:
    content = read_json(path)
    if content.get("hidden_act", "gelu") != "gelu":
        raise UserError(f"{path}: hidden_act is {content['hidden_act']!r}; this encoder has 'gelu'")
    # Google's gelu is the tanh approximation, which Hugging Face calls gelu_new.
    settings = huggingface.common_settings(content, str(path))
    return huggingface.build_config(settings, "gelu_tanh", str(path))


def _files_of(prefix: Path) -> tuple[Path, ...]:
    return tuple(sorted(prefix.parent.glob(f"{prefix.name}.data-*")))
