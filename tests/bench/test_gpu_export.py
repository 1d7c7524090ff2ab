"""Programs for GPU machines: the table, the text, first values of weights, and a whole export."""

import gzip
import json

import numpy as np
import pytest
import tensorflow as tf

from bench.gpu import export, numbers, stablehlo
from bench.gpu.programs import CHECKS, FORMS, IMPLEMENTATIONS, PROGRAMS, Program
from bench.step import work
from pretrain.train.config import TrainConfig


def test_every_program_has_a_name_of_its_own_and_valid_settings():
    assert len(PROGRAMS) == len(set(PROGRAMS))
    for program in PROGRAMS.values():
        assert program.implementation in IMPLEMENTATIONS
        assert program.sizes["heads"] * 64 == program.hidden
        TrainConfig(global_batch_size=program.batch, **FORMS[program.form])
    assert all(program.reference_steps for program in CHECKS)


@pytest.mark.parametrize(
    ("program", "name", "predictions"),
    [
        (Program(implementation="lambert", layers=24, batch=32), "lambert-L24-B32", 76),
        (
            Program(implementation="lambert", layers=24, batch=8, positions=2048),
            "lambert-L24-B8-S2048",
            304,
        ),
        (
            Program(
                implementation="lambert",
                layers=2,
                batch=2,
                hidden=128,
                precision="float32",
                form="rematerialized",
            ),
            "lambert-L2-B2-H128-float32-rematerialized",
            76,
        ),
    ],
    ids=["large", "long", "small"],
)
def test_names_and_sizes(program, name, predictions):
    assert (program.name, program.sizes["predictions"]) == (name, predictions)


TEXT = """\
module @step attributes {mhlo.input_output_alias = [\
{alias = {kind = "may_alias", parameter_index = array<i64>, parameter_number = 2 : i64}, \
output_index = array<i64: 1>}, \
{alias = {kind = "may_alias", parameter_index = array<i64>, parameter_number = 3 : i64}, \
output_index = array<i64>}]} {
  func.func private @add(%arg0: tensor<f32>, %arg1: tensor<f32>) -> tensor<f32> {
  func.func @main(%arg0: tensor<2x4xi32>, %arg1: tensor<4x3xbf16> loc("a(b)"), %arg2: tensor<i64>) {
    %1 = stablehlo.dot_general %a, %b, precision = [DEFAULT, DEFAULT] : tensor<4x3xf32> loc(#loc3)
    %2 = mhlo.copy %1 : tensor<4x3xf32> loc(fused["x", callsite("f"("g.py":1:2) at "h"("i.py":3:4))])
    %3 = stablehlo.custom_call @__kernel(%2) {backend_config = "m loc(#loc1)\\22\\0A loc(unknown)"} loc(#loc)
    %4 = "mhlo.topk"(%3) : tensor<4x3xf32>
#loc3 = loc("d")
"""


def test_text_without_locations():
    text = stablehlo.without_locations(TEXT)
    assert text.count("loc") == 3
    assert 'backend_config = "m loc(#loc1)\\22\\0A loc(unknown)"}\n' in text
    assert (
        "%1 = stablehlo.dot_general %a, %b, precision = [DEFAULT, DEFAULT] : tensor<4x3xf32>\n"
        in text
    )
    assert len(text.splitlines()) == len(TEXT.splitlines()) - 1


def test_portable_text():
    text = stablehlo.portable(stablehlo.without_locations(TEXT))
    assert "%2 = stablehlo.reshape %1 : (tensor<4x3xf32>) -> tensor<4x3xf32>\n" in text
    assert stablehlo.foreign_operations(text) == {"@__kernel": 1, "mhlo.topk": 1}
    assert "precision = [HIGHEST, HIGHEST]" in stablehlo.with_full_precision(text)


def test_arguments_and_aliases():
    assert stablehlo.argument_types(TEXT) == ["2x4xi32", "4x3xbf16", "i64"]
    assert stablehlo.aliases(TEXT) == {2: 1, 3: 0}
    with pytest.raises(ValueError, match="no main function"):
        stablehlo.argument_types("module @empty {}")


def test_hashed_weights_are_fixed():
    values = numbers.hashed(7, 100_000)
    assert values.dtype == np.float32
    assert [int(value * 2**28) for value in values[:3]] == [-6240581, -1743703, -5237721]
    assert abs(values.mean()) < 2e-4
    assert abs(values.std() - 3**-0.5 / 32) < 1e-4
    assert not np.array_equal(values, numbers.hashed(8, 100_000))


def test_errors_of_digests():
    expected = numbers.digest(np.arange(1.0, 101.0))
    found = numbers.digest(np.arange(1.0, 101.0) * 1.001)
    assert numbers.digest_error(found, expected) == pytest.approx(1e-3)
    changed = np.arange(1.0, 101.0)
    changed[99] = 0
    assert numbers.digest_error(numbers.digest(changed), expected) == 1
    changed[99] = np.nan
    assert numbers.digest_error(numbers.digest(changed), expected) == np.inf
    assert numbers.digest_error(np.zeros(17), np.zeros(17)) == 0


def test_relative_errors():
    assert numbers.relative_error([1.0, 0.0], [1.0, 0.0]) == 0
    assert numbers.relative_error([1.5, 0.0], [1.0, 0.0]) == 0.5
    assert numbers.relative_error([1.0, np.nan], [1.0, 0.0]) == np.inf
    assert numbers.relative_error([1.0], [1.0, 2.0]) == np.inf


SMALL = Program(
    implementation="lambert", layers=1, batch=2, hidden=64, positions=32, reference_steps=1
)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("programs")
    export.export(SMALL, folder)
    return folder


def test_export_describes_arguments_and_results(exported):
    description = json.loads((exported / f"{SMALL.name}.json").read_text())
    with gzip.open(exported / f"{SMALL.name}.mlir.gz", "rt") as file:
        text = file.read()
    types = stablehlo.argument_types(text)
    names = {"int32": "i32", "int64": "i64", "float32": "f32", "bfloat16": "bf16"}
    described = [*description["inputs"], *description["variables"]]
    assert types == ["x".join([*map(str, d["shape"]), names[d["dtype"]]]) for d in described]
    assert [i["name"] for i in description["inputs"]] == list(work.batch(SMALL.sizes))
    kinds = {v["name"]: v["kind"] for v in description["variables"]}
    assert kinds["encoder/word_embeddings/embeddings"] == "hashed"
    assert {"zeros", "ones", "copy"} <= set(kinds.values())
    written = {i for i, v in enumerate(description["variables"]) if v["kind"] == "copy"}
    assert written <= {argument - 6 for argument in stablehlo.aliases(text)}
    assert stablehlo.foreign_operations(stablehlo.portable(text)) == {}
    assert "loc(" not in text


def test_export_records_the_steps_of_tensorflow(exported):
    description = json.loads((exported / f"{SMALL.name}.json").read_text())
    record = np.load(exported / f"{SMALL.name}.npz")
    loss, _, weight, norm, *_ = record["output_0_0"]
    assert weight == 2 * SMALL.sizes["predictions"]
    assert loss / weight == pytest.approx(np.log(30522), rel=0.02)
    assert norm > 0
    for index, variable in enumerate(description["variables"]):
        if variable["kind"] == "hashed":
            start = numbers.digest(numbers.hashed(index, int(np.prod(variable["shape"]))))
            moved = numbers.digest_error(record[f"variable_{index}"], start)
            assert 1e-4 < moved < 1, variable["name"]
    np.testing.assert_array_equal(
        record["input_0_masked_lm_ids"], work.batch(SMALL.sizes, seed=0)["masked_lm_ids"]
    )


def test_a_current_program_is_kept(exported, monkeypatch):
    assert export.is_current(SMALL, exported)
    monkeypatch.setitem(FORMS, "", {"rematerialize_blocks": True})
    assert not export.is_current(SMALL, exported)
    monkeypatch.undo()
    (exported / f"{SMALL.name}.npz").rename(exported / "away")
    assert not export.is_current(SMALL, exported)
    (exported / "away").rename(exported / f"{SMALL.name}.npz")


def test_a_captured_tensor_is_an_error():
    stranger = tf.range(3)
    step = tf.function(lambda x: x + stranger).get_concrete_function(tf.TensorSpec([3], tf.int32))
    with pytest.raises(ValueError, match="no variables"):
        export.captured_variables(step)


def test_a_bfloat16_variable_that_is_no_copy_is_an_error():
    with pytest.raises(ValueError, match="alone:0 is bfloat16, and no copy"):
        export.recipes([tf.Variable(tf.ones([2, 2], tf.bfloat16) * 3, name="alone")])


def test_an_unknown_program_is_one_line(capsys):
    with pytest.raises(SystemExit, match="2"):
        export.main(["--output_dir", "D", "lambert-L24-B33"])
    assert "lambert-L24-B33: not in bench/gpu/programs.py" in capsys.readouterr().err
