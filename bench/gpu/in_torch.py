"""Measure the training step of Hugging Face's BertForMaskedLM in PyTorch on a GPU.

    python3 -m bench.gpu.in_torch --layers 24 --batch 32 --head gathered --compile --profile

Prints one line of JSON. An update is as in bench/step/in_torch.py: autocast to bfloat16, attention by
scaled_dot_product_attention, clipping by the global norm, fused AdamW without decay of biases and
LayerNorm. Sequences are full, so there is no attention mask, which lets PyTorch use flash attention.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from bench.gpu import process
from bench.gpu.programs import Program
from bench.step import work

_IGNORED_LABEL = -100  # PyTorch's ignore_index
_PROFILED_STEPS = 3
_WARM_UP_STEPS = 3
# Where the head computes logits: at all positions, as the library does, or at predicted positions only,
# as Lambert does.
HEADS = ("all", "gathered")
OPTIMIZERS = ("adamw", "lamb")


def build_model(sizes: dict[str, int], device: str) -> Any:
    """Return a model with random weights on the device, in training mode."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=sizes["vocab"],
        hidden_size=sizes["hidden"],
        num_hidden_layers=sizes["layers"],
        num_attention_heads=sizes["heads"],
        intermediate_size=4 * sizes["hidden"],
        max_position_embeddings=sizes["positions"],
        attn_implementation="sdpa",
    )
    return transformers.BertForMaskedLM(config).to(device).train()


def build_optimizer(name: str, model: Any) -> Any:
    """Return PyTorch's fused AdamW, or timm's LAMB."""
    import torch

    parameters = dict(model.named_parameters())
    plain = {name for name in parameters if "bias" in name or "LayerNorm" in name}
    groups = [
        {"params": [p for n, p in parameters.items() if n not in plain], "weight_decay": 0.01},
        {"params": [parameters[n] for n in plain], "weight_decay": 0.0},
    ]
    if name == "lamb":
        import timm.optim

        return timm.optim.Lamb(groups, lr=1e-4, max_grad_norm=None)
    return torch.optim.AdamW(groups, lr=1e-4, fused=True)


def build_loss(model: Any, sizes: dict[str, int], head: str, device: str) -> Callable[[], Any]:
    """Return a function that computes the loss of a batch.

    Args:
      model: as `build_model` returns it.
      sizes: sizes of the model and the batch.
      head: one of HEADS.
      device: "cuda" or "cpu".
    """
    import torch

    batch = work.batch(sizes)

    def tensor(array: np.ndarray) -> Any:
        return torch.tensor(array, dtype=torch.long, device=device)

    ids = tensor(batch["input_word_ids"])
    if head == "all":
        array = np.full(batch["input_word_ids"].shape, _IGNORED_LABEL)
        np.put_along_axis(array, batch["masked_lm_positions"], batch["masked_lm_ids"], axis=1)
        all_labels = tensor(array)
        return lambda: model(input_ids=ids, labels=all_labels).loss
    labels = tensor(batch["masked_lm_ids"]).flatten()
    positions = tensor(batch["masked_lm_positions"])[..., None].expand(-1, -1, sizes["hidden"])

    def loss() -> Any:
        hidden = model.bert(input_ids=ids).last_hidden_state
        logits = model.cls(hidden.gather(1, positions)).flatten(0, 1)
        return torch.nn.functional.cross_entropy(logits.float(), labels)

    return loss


def compile_blocks(model: Any) -> None:
    """Compile each block, and the head, with torch.compile; equal blocks are compiled once."""
    for block in model.bert.encoder.layer:
        block.compile(dynamic=False)
    model.cls.compile(dynamic=False)


def measured(args: argparse.Namespace, sizes: dict[str, int]) -> Iterator[dict[str, Any]]:
    """Yield the fields of the row that the command line asks for."""
    import torch
    import transformers

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cuda.matmul.allow_tf32 = True
    model = build_model(sizes, device)
    optimizer = build_optimizer(args.optimizer, model)
    parameters = list(model.parameters())
    if args.compile:
        compile_blocks(model)
    loss_of = build_loss(model, sizes, args.head, device)

    def step() -> Any:
        with torch.autocast(device, torch.bfloat16):
            loss = loss_of()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    def wait() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    yield {
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "platform": "gpu" if device == "cuda" else "cpu",
        "start_seconds": process.elapsed(),
        "attention": model.config._attn_implementation,
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }
    started = time.monotonic()
    losses = [float(step())]
    yield {"compile_seconds": round(time.monotonic() - started, 1)}
    if device == "cuda":
        torch.cuda.empty_cache()
    process.wait_for_turn(args)
    losses += [float(step()) for _ in range(_WARM_UP_STEPS)]
    row = process.time_steps(step, wait, args.steps)
    yield {
        **row,
        "sequences_per_second": sizes["batch"] / row["seconds"],
        "model_tflop_per_second": work.model_flops(sizes) / row["seconds"] / 1e12,
        "losses": losses,
        "peak_bytes": torch.cuda.max_memory_allocated() if device == "cuda" else None,
    }
    if args.profile and device == "cuda":
        yield process.optional(lambda: profiled(step, wait))


def profiled(step: Callable[[], Any], wait: Callable[[], None]) -> dict[str, Any]:
    """Return the fields of a row about the kernels of a step."""
    import torch

    # Without the operations on the CPU, which are many and take long to read.
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        for _ in range(_PROFILED_STEPS):
            step()
        wait()
    seconds: dict[str, float] = {}
    launches: dict[str, float] = {}
    for event in profile.events():
        if "CUDA" in str(event.device_type):
            microseconds = event.device_time_total
            seconds[event.name] = (
                seconds.get(event.name, 0.0) + microseconds / 1e6 / _PROFILED_STEPS
            )
            launches[event.name] = launches.get(event.name, 0.0) + 1 / _PROFILED_STEPS
    return process.kernels_of(seconds, launches)


def main() -> None:
    """Measure the step that the command line describes."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    parser = process.parser(__doc__)
    parser.add_argument("--layers", type=int, required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--hidden", type=int, default=1024)
    parser.add_argument("--positions", type=int, default=512)
    parser.add_argument("--head", choices=HEADS, default="all")
    parser.add_argument("--optimizer", choices=OPTIMIZERS, default="adamw")
    parser.add_argument("--compile", action="store_true", help="compile the blocks and the head")
    args = parser.parse_args()
    sizes = Program(
        implementation="huggingface",
        layers=args.layers,
        batch=args.batch,
        hidden=args.hidden,
        positions=args.positions,
    ).sizes
    row = {
        "what": "step",
        "implementation": "huggingface",
        "sizes": sizes,
        "precision": "mixed_bfloat16",
        "head": args.head,
        "optimizer": args.optimizer,
        "compiled": args.compile,
    }
    process.leave_row(args, row, lambda: measured(args, sizes))


if __name__ == "__main__":
    main()
