"""Formulas for memory and time, compared with sums by hand and with the TPU compiler."""

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.tpu import estimates
from launch.accelerators import costs
from launch.accelerators.costs import Step, memory, num_parameters, update_seconds
from launch.accelerators.gpus import GPUS
from launch.accelerators.tpus import TPUS
from launch.plan.bench_results import load_rows, step_from_row
from model.config import EncoderConfig

LARGE = EncoderConfig(
    vocab_size=30_522,
    hidden_size=1024,
    num_hidden_layers=24,
    num_attention_heads=16,
    intermediate_size=4096,
)
PARAMETERS = 335_174_458
STEP = Step(encoder=LARGE, batch=8, micro_batch=8)
V5E = costs.device_of_chip(TPUS["v5e"], parts=1)


def test_parameters_of_lambert_large():
    embeddings = (30_522 + 512 + 2 + 2) * 1024
    block = 4 * (1024 * 1024 + 1024) + 2 * 1024 * 4096 + 4096 + 1024 + 4 * 1024
    head = 1024 * 1024 + 3 * 1024 + 30_522
    assert embeddings + 24 * block + head == PARAMETERS
    assert num_parameters(LARGE) == PARAMETERS


# Kernels: four of [H, H] and two of [H, F] in each block, and one in the head.
KERNEL_PARAMETERS = 24 * (4 * 1024 * 1024 + 2 * 1024 * 4096) + 1024 * 1024


def test_memory_without_accumulation():
    found = memory(STEP)
    assert found.copies == 2 * KERNEL_PARAMETERS == 606_076_928
    assert found.weights == 4 * PARAMETERS == 1_340_697_832
    assert found.moments == 8 * PARAMETERS
    assert found.gradients == 4 * PARAMETERS
    assert found.compute_weights == 0
    assert found.batch == 8 * (3 * 512 + 3 * 76) * 4
    # bfloat16: 16 heads of 512 x 512 scores, 8 x 512 x 1024 and 512 x 4096 others.
    block = 2 * (4_194_304 + 4_194_304 + 2_097_152)
    last_block = 2 * (16 * 76 * 512 + 2 * 512 * 1024 + 7 * 76 * 1024 + 76 * 4096)
    embeddings_and_head = 6 * 512 * 1024 + 6 * 76 * 1024
    assert found.activations == 8 * (23 * block + last_block + embeddings_and_head) == 3_928_096_768
    assert found.last_block == 8 * block
    assert found.logits == 2 * 8 * 76 * 30_522
    assert found.arguments == 12 * PARAMETERS + 2 * KERNEL_PARAMETERS + found.batch
    # Activations and logits are larger than gradients here, and freed before all gradients exist.
    assert found.temporaries == found.activations + found.logits


def test_accumulation_adds_sums_of_gradients_to_the_peak():
    one, four = memory(STEP), memory(dataclasses.replace(STEP, batch=32))
    assert four.gradients == one.gradients
    assert four.compute_weights == 2 * 30_522 * 1024
    assert four.temporaries == one.temporaries + 4 * PARAMETERS + 2 * 30_522 * 1024
    float32 = dataclasses.replace(STEP, batch=32, precision="float32")
    assert memory(float32).compute_weights == memory(float32).copies == 0
    assert (
        memory(float32).temporaries == 4 * PARAMETERS + memory(float32).activations + 2 * one.logits
    )


def test_gradients_are_the_peak_where_activations_are_small():
    found = memory(dataclasses.replace(STEP, batch=1, micro_batch=1))
    assert found.temporaries == 4 * PARAMETERS + found.last_block > found.activations


def test_settings_that_save_memory():
    rematerialized = memory(dataclasses.replace(STEP, rematerialize_blocks=True))
    embeddings_and_head = 6 * 512 * 1024 + 6 * 76 * 1024
    inputs = 24 * 2 * 512 * 1024
    assert (
        rematerialized.activations == 8 * (inputs + embeddings_and_head) + rematerialized.last_block
    )
    chunked = memory(dataclasses.replace(STEP, logits_chunk_size=152))
    assert chunked.logits == 2 * 2 * 152 * 30_522 + 4 * 30_522 * 1024
    # A chunk as large as all predictions does not divide them.
    assert memory(dataclasses.replace(STEP, logits_chunk_size=608)) == memory(STEP)
    assert memory(dataclasses.replace(STEP, optimizer_shards=256)).moments == 8 * PARAMETERS // 256


def test_seconds_of_an_update():
    # 8 x 989,578,739,712 operations at 0.65 of 197 TFLOP/s; weights read twice, gradients written;
    # LAMB at 0.85 of 819 GB/s.
    products = 8 * 989_578_739_712 / (0.65 * 197e12)
    traffic = (2 * 2 + 4) * PARAMETERS / 819e9
    lamb = 44 * PARAMETERS / (0.85 * 819e9)
    assert update_seconds(STEP, V5E) == pytest.approx(products + traffic + lamb, rel=1e-12)
    adamw = dataclasses.replace(STEP, optimizer="adamw")
    saved = 10 * PARAMETERS / (0.85 * 819e9)
    assert update_seconds(STEP, V5E) - update_seconds(adamw, V5E) == pytest.approx(saved, rel=1e-9)


def test_scores_beyond_on_chip_memory_add_traffic():
    # 16 sequences have 16 x 16 x 512 x 512 scores of two bytes, the 128 MiB of a v5e.
    sixteen = dataclasses.replace(STEP, batch=16, micro_batch=16)
    by_eight = dataclasses.replace(STEP, batch=16, micro_batch=8)
    scores = 6 * 23 * 128 * 2**20 / 819e9
    one_step = (2 * 2 + 4) * PARAMETERS / 819e9
    sums = 2 * (2 * 2 + 8) * PARAMETERS / 819e9
    difference = update_seconds(sixteen, V5E) - update_seconds(by_eight, V5E)
    assert difference == pytest.approx(scores + one_step - sums, rel=1e-9)


def test_rematerialization_adds_a_forward_pass_without_the_head():
    rematerialized = dataclasses.replace(STEP, rematerialize_blocks=True)
    head = 2 * 76 * 1024 * 30_522
    assert costs.flops_of_sequence(rematerialized) == pytest.approx(989_578_739_712 * 4 / 3 - head)


@pytest.mark.parametrize("table", estimates.TABLES)
def test_formulas_are_near_every_compiled_row(table):
    """Memory and cycles of our rows and of those of tf-models; the constants are for 512 tokens."""
    rows = [row for row in estimates.compiled_rows(table) if "out_of_memory" not in row]
    assert len(rows) >= 5
    for row in rows:
        is_usual = f"S={estimates.USUAL_POSITIONS} " in row["setting"]
        for error in estimates.estimate(row).errors(row).values():
            assert abs(error) < (0.10 if is_usual else 0.16), row


def test_formulas_are_close_for_arguments_and_temporaries_of_full_size():
    for row in estimates.compiled_rows("tpu"):
        if "out_of_memory" in row:
            continue
        found = estimates.estimate(row)
        assert found.argument_bytes == pytest.approx(row["hbm_argument_bytes"], rel=0.003)
        assert found.temporary_bytes == pytest.approx(row["hbm_temp_bytes"], rel=0.06)


def test_memory_of_gpus_is_within_15_percent_of_every_compiled_row():
    for row in load_rows("gpu_check"):
        if row["implementation"] != "lambert" or row["excess_precision"] == "allowed":
            continue
        step = step_from_row(row, defaults=STEP)
        found = costs.memory_on(GPUS[row["chip"]], step).total
        compiled = row["hbm_argument_bytes"] + row["hbm_temp_bytes"]
        assert found == pytest.approx(compiled, rel=0.15), row["program"]


def test_memory_with_kernels_on_a_tpu_is_within_5_percent():
    """No constant was fitted to it: a block keeps a number for each query instead of its scores."""
    rows = [row for name in estimates.TABLES for row in load_rows(name)]
    rows = [row for row in rows if row.get("attention") == "kernel"]
    assert len(rows) == 4
    for row in rows:
        step = step_from_row(row, defaults=STEP)
        assert step.attention == "kernel"
        assert costs.memory(step).total == pytest.approx(
            row["hbm_argument_bytes"] + row["hbm_temp_bytes"], rel=0.05
        )


def test_documentation_has_the_current_errors():
    text = Path("docs/plan.md").read_text()
    for line in estimates.table(
        [row for name in estimates.TABLES for row in estimates.compiled_rows(name)]
    ):
        assert line in text


@given(
    batch=st.sampled_from([1, 2, 8, 12, 32]),
    rematerialize=st.booleans(),
    chunk=st.sampled_from([0, 100]),
    precision=st.sampled_from(["float32", "mixed_bfloat16"]),
)
def test_larger_micro_batches_take_more_memory(batch, rematerialize, chunk, precision):
    step = dataclasses.replace(
        STEP,
        batch=batch,
        rematerialize_blocks=rematerialize,
        logits_chunk_size=chunk,
        precision=precision,
    )
    sizes = [n for n in range(1, batch) if batch % n == 0]  # each accumulates
    totals = [memory(dataclasses.replace(step, micro_batch=n)).total for n in sizes]
    assert totals == sorted(totals)
