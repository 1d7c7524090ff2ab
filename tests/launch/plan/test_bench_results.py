"""Compiled rows that a plan uses."""

import dataclasses

import pytest

from launch.accelerators.costs import Step, memory, memory_on, update_seconds
from launch.accelerators.gpus import GPUS
from launch.accelerators.machines import parse
from launch.plan.bench_results import CompiledStep, find_compiled
from launch.plan.micro_batch import COMPILED_MEMORY, FORMULA, Machine, evaluate
from model.config import EncoderConfig

LARGE = EncoderConfig(
    vocab_size=30_522,
    hidden_size=1024,
    num_hidden_layers=24,
    num_attention_heads=16,
    intermediate_size=4096,
)
STEP = Step(encoder=LARGE, batch=32, micro_batch=32)
ROW = {
    "implementation": "lambert",
    "chip": "a100",
    "excess_precision": "forbidden",
    "batch_per_core": 32,
    "micro_batch_size": 0,
    "setting": "H=1024 A=16 L=24 S=512 P=76 V=30522, bfloat16, dropout 0.1, clipping, LAMB",
    "hbm_argument_bytes": 4_630_000_000,
    "hbm_temp_bytes": 25_000_000_000,
}


@pytest.mark.parametrize("accelerator", ["a100x8", "a100-40gx8"])
def test_gpus_have_compiled_memory_and_no_seconds(accelerator):
    found = find_compiled(STEP, parse(accelerator), [ROW])
    assert found == CompiledStep(total_bytes=29_630_000_000, seconds=None)


def test_bundles_of_kernels_count_once():
    """The cycles of a row of bench.tpu contain them."""
    row = {**ROW, "chip": "v5e", "attention": "kernel", "estimated_cycles": 1_503_000_000}
    step = dataclasses.replace(STEP, attention="kernel")
    found = find_compiled(step, parse("v5e-8"), [{**row, "kernel_bundles": 300_000_000}])
    assert found.seconds == pytest.approx(1, rel=1e-3)  # at 1.503 GHz


@pytest.mark.parametrize(
    "change",
    [
        {"chip": "h100"},
        {"implementation": "tf-models"},
        {"excess_precision": "allowed"},
        {"batch_per_core": 16},
        {"setting": ROW["setting"].replace("S=512", "S=1024")},
    ],
    ids=lambda change: next(iter(change)),
)
def test_rows_of_another_step_do_not_count(change):
    assert find_compiled(STEP, parse("a100x8"), [{**ROW, **change}]) is None


def test_seconds_of_a_gpu_are_by_formulas_next_to_compiled_memory():
    machine = Machine(accelerator=parse("a100x8"), headroom=0.1, compiled=[ROW])
    found = evaluate(STEP, machine)
    assert (found.total_bytes, found.source) == (29_630_000_000, COMPILED_MEMORY)
    assert found.seconds == update_seconds(STEP, machine.device(STEP))
    half = evaluate(dataclasses.replace(STEP, micro_batch=16), machine)
    assert half.source == FORMULA


def test_activations_of_gpus_have_a_factor():
    found, least = memory_on(GPUS["h100"], STEP), memory(STEP)
    factor = GPUS["h100"].activation_factor
    assert found.activations == pytest.approx(factor * least.activations)
    assert found.arguments == least.arguments and found.logits == least.logits
