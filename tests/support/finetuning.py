"""A small encoder in Hugging Face's format, and small tasks of real sentences."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors import numpy as safetensors

from data.vocab import Vocab
from finetune import run
from finetune.tasks.task import Split
from model import huggingface
from model.config import EncoderConfig
from model.mlm import Pretrainer
from model.weights import values_of

ENCODER = EncoderConfig(
    hidden_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=32,
    max_position_embeddings=64,
    initializer_range=0.1,
    hidden_dropout_prob=0.1,
    attention_probs_dropout_prob=0.1,
)
SETTINGS = [
    "TaskConfig.max_seq_length = 48",
    "FinetuneConfig.epochs = 0.0",
    "TrainConfig.global_batch_size = 16",
    "TrainConfig.eval_batch_size = 16",
    "TrainConfig.log_interval = 4",
    "TrainConfig.precision = 'float32'",
    "ClusterConfig.strategy = 'default'",
    "OptimizerConfig.optimizer = 'adamw'",
    "OptimizerConfig.peak_learning_rate = 0.01",
]
OWN = [
    "TaskConfig.text_column = 'text'",
    "TaskConfig.label_column = 'label'",
    "TaskConfig.train_file = 'train.jsonl'",
    "TaskConfig.dev_file = 'dev.jsonl'",
    "TaskConfig.test_file = 'test.jsonl'",
]
LONGER = ["TrainConfig.train_steps = 60", "FinetuneConfig.evaluations = 4"]


def sequence_texts(vocab: Vocab, split: Split) -> list[str]:
    """Text of each sequence, special tokens included, without padding."""
    rows = split.features["input_word_ids"]
    texts = [" ".join(vocab.pieces[i] for i in row).replace(" ##", "") for row in rows]
    return [text.replace(" [PAD]", "") for text in texts]


def one_hot(ids: Sequence[int], num_labels: int) -> np.ndarray:
    """Outputs of a classification, [N, C], with 1 at the given labels."""
    return np.eye(num_labels, dtype=np.float32)[ids]


def write_encoder(path: Path, vocab: Vocab) -> None:
    """Write an encoder with a pooler in Hugging Face's format."""
    config = dataclasses.replace(ENCODER, vocab_size=len(vocab))
    values = values_of(Pretrainer(config, seed=1), config)
    pooler = {
        "encoder/pooler_transform/kernel": values[
            "encoder/transformer/layer_0/self_attention/query/kernel"
        ],
        "encoder/pooler_transform/bias": values["encoder/embeddings/layer_norm/beta"],
    }
    path.mkdir()
    content = huggingface.config_to_json(config, pad_token_id=0, architecture="BertModel")
    (path / "config.json").write_text(json.dumps(content))
    (path / "vocab.txt").write_text(vocab.text)
    tensors = huggingface.to_tensors(values | pooler, config, architecture="BertModel")
    (path / "model.safetensors").write_bytes(safetensors.save(tensors))


def write_rows(directory: Path, rows: Sequence[dict]) -> list[str]:
    """Write a custom task with the same rows in all splits; return its settings."""
    directory.mkdir()
    for split in ("train", "dev", "test"):
        lines = "".join(f"{json.dumps(row)}\n" for row in rows)
        (directory / f"{split}.jsonl").write_text(lines)
    return OWN


def write_squad(directory: Path, contexts: Sequence[str]) -> list[str]:
    """Write SQuAD files with the longest word of each context as the answer; return settings."""
    paragraphs = []
    for number, context in enumerate(contexts):
        word = max(context.split(), key=len).strip(",;:.!?'")
        answer = {"text": word, "answer_start": context.index(word)}
        question = {
            "id": f"q{number}",
            "question": "which word is the longest ?",
            "answers": [answer],
        }
        paragraphs.append({"context": context, "qas": [question]})
    directory.mkdir()
    for split in ("train", "dev"):
        content = {"version": "1.1", "data": [{"title": "t", "paragraphs": paragraphs}]}
        (directory / f"{split}-v1.1.json").write_text(json.dumps(content))
    return [
        "TaskConfig.task = 'squad_v1'",
        "TaskConfig.max_query_length = 8",
        "TaskConfig.doc_stride = 16",
    ]


def arguments(encoder: Path, task: Path, model_dir: Path, *params: str) -> list[str]:
    """Return the command line of `finetune.run`."""
    flags = [f"--encoder={encoder}", f"--task_data={task}", f"--model_dir={model_dir}"]
    return [*flags, *(f"--gin_param={param}" for param in (*SETTINGS, *params))]


@dataclasses.dataclass(frozen=True)
class Finetuned:
    """The task whether a clause ends with a comma, and a model directory with two trained seeds."""

    encoder: Path
    task: Path
    params: list[str]
    model_dir: Path

    def arguments(self, model_dir: Path, *params: str) -> list[str]:
        return arguments(self.encoder, self.task, model_dir, *self.params, *params)


def finetuned_in(directory: Path, encoder: Path) -> Finetuned:
    """Return the paths and settings of what `finetune` writes into a directory."""
    return Finetuned(
        encoder=encoder,
        task=directory / "task",
        params=[*OWN, "TaskConfig.kind = 'classification'", *LONGER],
        model_dir=directory / "m",
    )


def write_clauses(directory: Path, clauses: Sequence[str]) -> None:
    """Write the task whether a clause ends with a comma."""
    rows = [{"text": text, "label": "yes" if text[-1] == "," else "no"} for text in clauses]
    assert 6 < sum(row["label"] == "yes" for row in rows) < 18
    write_rows(directory, rows)


def finetune(directory: Path, encoder: Path, clauses: Sequence[str]) -> None:
    """Write the task and train two seeds."""
    finetuned = finetuned_in(directory, encoder)
    write_clauses(finetuned.task, clauses)
    run.main([*finetuned.arguments(finetuned.model_dir), "--restarts=2"])
