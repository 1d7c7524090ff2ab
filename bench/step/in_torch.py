"""Program that times the training step of Hugging Face's BertForMaskedLM in PyTorch.

It does what their Trainer does: autocast to bfloat16, the model's own loss, clipping by the global
norm, AdamW without decay of biases and LayerNorm. PyTorch and transformers have no LAMB; fused AdamW
does less work.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import transformers

from bench.step import work

_IGNORED_LABEL = -100  # PyTorch's ignore_index


def inputs(sizes: dict) -> dict[str, torch.Tensor]:
    """Return the batch in the model's form, with a label or _IGNORED_LABEL at each position."""
    batch = work.batch(sizes)
    labels = np.full(batch["input_word_ids"].shape, _IGNORED_LABEL)
    np.put_along_axis(labels, batch["masked_lm_positions"], batch["masked_lm_ids"], axis=1)
    arrays = {
        "input_ids": batch["input_word_ids"],
        "attention_mask": batch["input_mask"],
        "token_type_ids": batch["input_type_ids"],
        "labels": labels,
    }
    return {name: torch.tensor(array, dtype=torch.long) for name, array in arrays.items()}


def training_step(precision: str, sizes: dict) -> Callable[[], float]:
    """Return a function that makes one update and returns the loss."""
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=sizes["vocab"],
        hidden_size=sizes["hidden"],
        num_hidden_layers=sizes["layers"],
        num_attention_heads=sizes["heads"],
        intermediate_size=4 * sizes["hidden"],
        max_position_embeddings=sizes["positions"],
    )
    model = transformers.BertForMaskedLM(config).train()
    parameters = dict(model.named_parameters())
    plain = {name for name in parameters if "bias" in name or "LayerNorm" in name}
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for n, p in parameters.items() if n not in plain], "weight_decay": 0.01},
            {"params": [parameters[n] for n in plain], "weight_decay": 0.0},
        ],
        lr=1e-4,
        fused=True,
    )
    batch = inputs(sizes)

    def step() -> float:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "mixed_bfloat16"):
            loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters.values(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return step


if __name__ == "__main__":
    work.main({"huggingface": training_step})
