"""Estimates of compiled programs, and the StableHLO of our training step."""

import json
import sys

import pytest
import tensorflow as tf

from bench.tpu import __main__ as main
from bench.tpu import hlo, kernels, lower, slices
from model.kernels import texts
from tests.support.paths import GOLDEN

TEXT = (GOLDEN / "tpu_step.hlo").read_text()


def test_cost_multiplies_loops_by_their_trip_counts():
    cost = hlo.cost(TEXT)
    assert cost.cycles == 4 * (100 + 1) + 10000 + 7
    assert cost.kernels == 4 * 2 + 1 + 1
    assert cost.copied_bytes == 4 * (8 * 4 * 2) + 128 * 1024 * 4


def test_kernels_are_listed_in_execution_order():
    kernels = hlo.kernels(TEXT)
    assert [(k.name, k.cycles, k.runs) for k in kernels] == [
        ("fusion.2", 1, 4),
        ("fusion.1", 100, 4),
        ("fusion.4", 10000, 1),
        ("fusion.3", 7, 1),
    ]
    assert kernels[1].shape == "bf16[8,4]"
    assert (kernels[3].shape, kernels[3].operation) == ("(f32[], f32[4])", "LAMB/norm/Sum")


def test_exchanges_are_counted_with_the_bytes_of_their_results():
    lines = """
  %all-reduce.1 = (f32[1024]{0:T(1024)S(1)}, /*index=1*/bf16[8,4]{1,0}) all-reduce(%a, %b), channel_id=1
  %all-gather-start = (f32[2,8]{1,0}, f32[32,8]{1,0}) all-gather-start(%c), dimensions={0}
  %all-gather-done = f32[32,8]{1,0} all-gather-done(%all-gather-start)
"""
    once = TEXT.replace("  ROOT %fusion.3 = ", f"{lines}  ROOT %fusion.3 = ")
    expected = {
        "all-reduce": {"count": 1, "bytes": 4 * 1024 + 2 * 8 * 4},
        "all-gather": {"count": 1, "bytes": 4 * 32 * 8},
    }
    assert hlo.exchanges(once) == expected
    in_loop = TEXT.replace("  ROOT %fusion.2 = ", f"{lines}  ROOT %fusion.2 = ")
    assert hlo.exchanges(in_loop)["all-reduce"] == {"count": 4, "bytes": 4 * (4 * 1024 + 64)}


def test_unknown_trip_count_is_an_error():
    with pytest.raises(hlo.UnknownTripCountError, match=r"compare\.1"):
        hlo.cost(TEXT.replace("constant(4)", "get-tuple-element(%state), index=1"))


def test_text_without_an_entry_is_an_error():
    with pytest.raises(ValueError, match="no ENTRY"):
        hlo.cost("%fused (p: f32[]) -> f32[] {\n}")


def test_calls_of_our_kernels_are_found_in_both_texts():
    """The body of a kernel, which TensorFlow and the compiler leave alone, connects them."""
    sizes = texts.Sizes(batch=8, positions=512, heads=16)
    x, key = texts.Array((8, 512, 1024), "bfloat16"), texts.Array((8,), "int32")
    call = texts.stablehlo("tpu", "forward", sizes, arguments=[key, x], results=[x, x])
    (kernel,) = kernels.kernels(call + call)
    assert kernel.rounds == 8 * 8
    assert kernel.flops == 2 * (2 * 8 * 512 * 512 * 1024)
    assert kernels.kernels(kernel.module) == [kernel]
    line = (
        '  %kernel.1 = (bf16[8,4]) custom-call(%p), custom_call_target="tpu_custom_call",'
        f' backend_config={{"custom_call_config":{{"body":"{kernel.body}"}}}}'
    )
    loop = TEXT.replace("  ROOT %fusion.2 = ", f"{line}\n  ROOT %fusion.2 = ")
    assert hlo.custom_calls(loop) == {kernel.body: 4}


def row(case: main.Case, cycles: float) -> dict:
    return {
        "implementation": case.implementation,
        "chip": case.chip,
        "batch_per_core": case.batch,
        "micro_batch_size": case.micro_batch,
        "attention": case.attention,
        "setting": "",
        "estimated_cycles": cycles * case.batch,
        "estimated_cycles_per_sequence": cycles,
        "estimated_share_of_peak": 0.5,
        "flops": 8e12,
        "hbm_argument_bytes": 4e9,
        "hbm_temp_bytes": 3e9,
        "asynchronously_copied_bytes": 1e9,
        "compile_seconds": 60.0,
    }


def test_table_shows_whether_targets_are_reached():
    first, second, third = main.TARGETS
    rows = [row(main.BASE, 100e6), row(first, 86e6), row(second, 72.1e6)]
    text = main.table([*rows, {**row(third, 61e6), "kernel_bundles": 12.5e6}])
    assert (
        "lambert-v5e-8: 0.860 of tf-models-v5e-8's cycles a sequence (target 0.86: reached)" in text
    )
    assert "lambert-v5e-32-by-8: 0.721 of tf-models-v5e-8's cycles" in text
    assert "(target 0.72: MISSED)" in text
    assert "lambert-v5e-32-by-8-kernel: 0.610 of tf-models-v5e-8's cycles" in text
    assert "(12.5 M of the cycles are bundles of kernels)" in text


SIZES = {"hidden": 128, "heads": 2, "layers": 2, "positions": 128, "predictions": 20, "vocab": 256}
SETTING = {**SIZES, "chip": "v5e", "batch_per_core": 4, "micro_batch_size": 0, "attention": "xla"}
SETTING |= {"rematerialize_blocks": False, "logits_chunk_size": 0}


@pytest.mark.parametrize("micro_batch", [0, 2])
def test_update_has_static_shapes_and_no_float64(tmp_path, monkeypatch, micro_batch):
    """A TPU needs both, while `jit_compile` on a CPU accepts programs without them."""
    output = tmp_path / "step.mlir"
    setting = json.dumps({**SETTING, "micro_batch_size": micro_batch})
    flags = ["--setting", setting, "--output", str(output)]
    monkeypatch.setattr(sys, "argv", ["lower", "--implementation", "lambert", *flags])
    lower.main()
    text = output.read_text()
    assert "stablehlo.dot_general" in text
    assert ("stablehlo.while" in text) == bool(micro_batch)


@pytest.mark.parametrize("shard", [False, True])
def test_update_of_many_replicas_has_their_exchanges(shard):
    setting = {**SETTING, "replicas": 16, "shard": shard}
    text = lower.stablehlo(lower.lambert(setting), lower.input_specs(setting))
    group = "[[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]]"
    assert text.count('"stablehlo.all_reduce"') > 20  # gradients, sums
    assert ('"stablehlo.all_gather"' in text) == shard
    assert text.count(f"replica_groups = dense<{group}>") == text.count("replica_groups")
    assert ("stablehlo.replica_id" in text) == shard
    # Each of 16 replicas has 8 of 128 x 128 moments, as a tile. Kernels are exchanged in bfloat16.
    assert ("tensor<1x8x128xf32>" in text) == shard
    assert ("tensor<1x8x128xbf16>" in text) == shard


@pytest.mark.parametrize(("name", "gathers"), [("divide_weights", 0), ("join_weights", 13)])
def test_kernels_are_divided_before_a_loop_and_joined_after_it(name, gathers):
    trainer = lower.build({**SETTING, "replicas": 16, "shard": True})
    assert len(trainer.optimizer.divided_weights) == 13  # six in each layer, one in the head

    def step(_):
        trainer.strategy.run(getattr(trainer.optimizer, name))
        return tf.zeros(())

    text = lower.stablehlo(step, {})
    assert text.count('"stablehlo.all_gather"') == gathers
    assert text.count("stablehlo.replica_id") == 13 - gathers


@pytest.mark.tpu_compile
def test_small_update_of_a_slice_sends_what_the_plan_says(tmp_path, capsys):
    results = tmp_path / "slices.json"
    arguments = ["--topologies", "v5e:4x4", "--sizes", json.dumps(SIZES)]
    slices.main([*arguments, "--results", str(results)])
    whole, sharded = json.loads(results.read_text())
    assert whole["exchanges"].keys() == {"all-reduce"}
    assert whole["sent_bytes"] == pytest.approx(whole["planned_sent_bytes"], rel=0.01)
    assert sharded["sent_bytes"] > 1.2 * whole["sent_bytes"]
    assert sharded["hbm_argument_bytes"] < 0.7 * whole["hbm_argument_bytes"]
    assert "v5e:4x4 sharded: " in capsys.readouterr().out


@pytest.mark.tpu_compile
def test_small_steps_compile_for_all_chips(tmp_path, capsys):
    results = tmp_path / "tpu.json"
    sizes = {**SIZES, "positions": 512}  # the shortest for which there are kernels
    main.main(["--sizes", json.dumps(sizes), "--results", str(results), "--kernels", "3"])
    rows = json.loads(results.read_text())
    assert [main._case(row) for row in rows] == main.CASES
    for row in rows:
        assert 0 < row["estimated_share_of_peak"] < 1
        assert row["hbm_argument_bytes"] > 12 * 463_232  # weights and two moments, float32
    text = capsys.readouterr().out
    assert "costliest kernels of lambert-v5e-32-by-8" in text
    assert "of tf-models-v5e-8's cycles a sequence" in text
