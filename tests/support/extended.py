"""Tests that run in a copy of the checkout to which docs/extending.md is applied.

`tests/test_extending.py` makes the copy and runs this file there with pytest; here it is not collected.
"""

import contextlib
import dataclasses
import json
import runpy
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from data import build
from data.config import BuildConfig
from data.errors import UserError
from data.manifest import Manifest
from data.read import graph
from data.sources.documents import Document, Reject, find_inputs
from data.sources.formats import FORMATS, read_part, split_file
from data.stages.masking import MaskingRule, mask_sequences
from data.storage.records import parse_specs
from data.vocab import Vocab
from launch.accelerators.gpus import gpu_chip
from launch.plan import __main__ as plan
from model.attention import IMPLEMENTATIONS, attention
from model.dropout import Dropout
from model.encoder import POSITION_ENCODINGS, Encoder
from model.layers import Initializer
from model.weights import build_tf_models
from optim import build as optim_build
from optim.build import build_optimizer
from optim.config import OptimizerConfig
from pretrain.checkpoints.checkpoint import committed
from pretrain.train.metrics_log import read_metrics
from tests.support import recipes
from tests.support.encoders import encoder_config
from tests.support.optimizers import apply_steps, assert_near, gradients, variables
from tests.support.paths import GOLDEN, ROOT
from tests.support.pretraining import TINY
from tests.support.training import fresh_trainer, iterator, run_config

ERRORS = recipes.errors()
SMALL = "a1\tThe bird is in the tree. It sings.\nno tab is in here\na2\tThe cat   looks.\n"
BUILD, PLAN, TRAIN = recipes.commands()


def arguments(command: str, **values) -> list[str]:
    """Return the arguments of a command of the page, with other paths."""
    words = shlex.split(command)
    del words[: 3 if "-m" in words else 2]
    return [str(values.get(word, word)) for word in words]


@contextlib.contextmanager
def expected_error(heading: str, forgotten: str):
    """Expect the error that the page has for a forgotten part, and mark it as seen."""
    with pytest.raises(Exception) as caught:
        yield
    kind = f"{type(caught.value).__name__}: "
    expected = ERRORS[heading].pop(forgotten)
    assert expected in kind + str(caught.value)


def run_without(tmp_path: Path, path: str, code: str) -> dict:
    """Run a file of the copy from which some code is removed; return its names."""
    text = (ROOT / path).read_text()
    assert text.count(code) == 1
    changed = tmp_path / Path(path).name
    changed.write_text(text.replace(code, ""))
    return runpy.run_path(str(changed), run_name=f"without_{changed.stem}")


# --- An optimizer ---


def test_lion_equals_float64():
    settings = dict(beta_1=0.9, beta_2=0.99, weight_decay_rate=0.05)
    config = OptimizerConfig(optimizer="lion", **settings, exclude_from_weight_decay=("bias",))
    found = variables()
    apply_steps(build_optimizer(config, 0.1), found, 5)
    expected = []
    for index, variable in enumerate(variables()):
        x = variable.numpy().astype(np.float64)
        m = np.zeros_like(x)
        decay = 0.0 if "bias" in variable.name else 0.05
        for step in range(5):
            g = gradients(step)[index].astype(np.float64)
            x = x - 0.1 * (np.sign(0.9 * m + 0.1 * g) + decay * x)
            m = 0.99 * m + 0.01 * g
        expected.append(x)
    assert_near(found, expected, relative=1e-6)


def test_errors_of_an_incomplete_optimizer(tmp_path, monkeypatch):
    with expected_error("An optimizer", "the builder"):
        run_without(tmp_path, "optim/build.py", '"lion": _lion,')

    def plain(config, schedule):
        return tf_keras.optimizers.Lion(schedule)

    monkeypatch.setitem(optim_build._OPTIMIZER_BUILDERS, "lion", plain)
    with expected_error("An optimizer", "`Gated`"):
        build_optimizer(OptimizerConfig(optimizer="lion"), 0.1)
    assert ERRORS["An optimizer"] == {}


# --- A masking scheme ---


def rule(**settings) -> MaskingRule:
    vocab = Vocab.load(GOLDEN / "vocab.txt")
    settings = {"mask_unit": "block", "max_seq_length": 16, "max_predictions": 4} | settings
    return MaskingRule.create(BuildConfig(**settings, seed=1), vocab)


def test_blocks_of_an_example_are_pinned():
    ids = Vocab.load(GOLDEN / "vocab.txt").ids
    row = [
        ids["[CLS]"],
        *range(700, 708),
        ids["[SEP]"],
        *range(710, 714),
        ids["[SEP]"],
        ids["[PAD]"],
    ]
    tokens = np.array([row] * 6, np.uint16)
    found = mask_sequences(tokens, np.arange(6), rule(masked_lm_rate=0.25))
    assert found["masked_lm_positions"].tolist() == POSITIONS
    assert found["masked_lm_weights"].all()
    np.testing.assert_array_equal(
        found["masked_lm_ids"], np.take_along_axis(tokens, found["masked_lm_positions"], axis=1)
    )


# The separator at 9 is never part of a block.
POSITIONS = [
    [8, 10, 11, 12],
    [8, 10, 11, 12],
    [7, 8, 10, 11],
    [5, 6, 7, 8],
    [3, 4, 5, 6],
    [5, 6, 7, 8],
]


def test_blocks_of_both_implementations_are_equal():
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, 1500, (500, 33)).astype(np.uint16)
    for lengths in (33, 9, 1):
        tokens[:, lengths:] = 0
        expected = mask_sequences(tokens, np.arange(500), rule(max_seq_length=33))
        found = graph.mask_sequences(
            tf.constant(tokens, tf.int32), tf.range(500), rule(max_seq_length=33)
        )
        for name, values in expected.items():
            np.testing.assert_array_equal(found[name], values)


def test_errors_of_an_incomplete_scheme(tmp_path):
    heading = "A masking scheme"
    row = recipes.edit("data/stages/masking.py", "in SCHEMES").code
    with expected_error(heading, "the row in `SCHEMES`"):
        run_without(tmp_path, "data/stages/masking.py", row)
    with expected_error(heading, "the name in `MASK_UNITS`"):
        run_without(tmp_path, "data/config.py", '"block",')["BuildConfig"](mask_unit="block")
    with expected_error(heading, "that there are no n-grams"):
        rule(max_ngram=3)
    choose = recipes.edit("data/read/graph.py", "above choose_function").code
    with expected_error(heading, "the function in `data/read/graph.py`"):
        run_without(tmp_path, "data/read/graph.py", choose)
    with pytest.MonkeyPatch.context() as patch, expected_error(heading, "`graph_function`"):
        patch.delitem(graph._CHOOSE, "block")
        graph.choose_function(rule())
    assert ERRORS[heading] == {}


# --- An attention form ---


def test_chunks_equal_the_formula_with_dropout_and_gradients():
    q, k, v, weights = tf.unstack(tf.random.stateless_normal([4, 2, 2, 300, 8], seed=[1, 2]))
    bias = tf.where(tf.range(300) < 280, 0.0, -1e9)[None, None, None]
    dropout = Dropout(seed=5, step=tf.constant(6), example_B=tf.range(2))
    rows = tf.range(300)[None]
    mask = dropout.attention_probs_mask(1, 0.4, rows_BR=rows, columns=300, heads=2)

    def formula(q, k, v):
        scores = tf.matmul(q, k, transpose_b=True) * 8**-0.5 + bias
        kept = tf.cast(mask.keep(), tf.float32) / mask.keep_probability
        return tf.matmul(tf.nn.softmax(scores) * kept, v)

    results = []
    for compute in (lambda q, k, v: attention(q, k, v, bias, mask), formula):
        with tf.GradientTape() as tape:
            tape.watch((q, k, v))
            y = compute(q, k, v)
            loss = tf.reduce_sum(y * weights)
        results.append([y, *tape.gradient(loss, (q, k, v))])
    for found, expected in zip(*results, strict=True):
        np.testing.assert_allclose(found, expected, atol=2e-6)
        assert np.abs(expected).max() > 0.1


def test_error_of_an_attention_without_row(monkeypatch):
    monkeypatch.delitem(IMPLEMENTATIONS, "chunks")
    x = tf.zeros([1, 1, 2, 4])
    with expected_error("An attention form", "the row in `IMPLEMENTATIONS`"):
        attention(x, x, x, tf.zeros([1, 1, 1, 2]), None)
    assert ERRORS["An attention form"] == {}


# --- A corpus format ---


def items_of(path: Path) -> list:
    (file,) = find_inputs("tsv", str(path))
    (part,) = split_file(file)
    return list(read_part(part, max_document_bytes=60))


def test_documents_of_a_file(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_bytes(SMALL.encode() + b"a3\t" + 60 * b"x" + b"\nb\xff\ty\n")
    found = items_of(path)
    assert [item for item in found if isinstance(item, Document)] == [
        Document(
            id="tsv/a.tsv#a1", paragraphs=("The bird is in the tree. It sings.",), num_bytes=38
        ),
        Document(id="tsv/a.tsv#a2", paragraphs=("The cat looks.",), num_bytes=20),
    ]
    rejects = [item for item in found if isinstance(item, Reject)]
    assert [(item.offset, item.num_bytes) for item in rejects] == [
        ("byte 38", 18),
        ("byte 76", 64),
        ("byte 140", 5),
    ]
    assert rejects[1].reason == "larger than max_document_bytes=60"
    assert sum(item.num_bytes for item in found) == path.stat().st_size


def test_errors_of_an_incomplete_format(tmp_path, monkeypatch):
    heading, path = "A corpus format", tmp_path / "a.tsv"
    path.write_text(SMALL)
    with expected_error(heading, "`check_head`, `split` and `read`"):
        run_without(
            tmp_path,
            "data/sources/formats.py",
            "check_head=accept_any_head,\n        split=whole_file,\n        read=read_tsv,",
        )

    def change(before: str, after: str) -> None:
        text = recipes.edit("data/sources/tsv.py", "new file").code
        assert text.count(before) == 1
        names = {"__name__": "changed"}
        exec(text.replace(before, after), names)  # noqa: S102  our own page
        monkeypatch.setitem(
            FORMATS, "tsv", dataclasses.replace(FORMATS["tsv"], read=names["read_tsv"])
        )

    def build_small(name: str) -> None:
        config = BuildConfig(copies=0, num_shards=1, eval_fraction=0.0, max_reject_fraction=1.0)
        build.build(
            config=dataclasses.replace(config, max_unknown_fraction=1.0),
            vocab=Vocab.load(GOLDEN / "vocab.txt"),
            inputs=find_inputs("tsv", str(path)),
            output_dir=str(tmp_path / name),
        )

    change('f"tsv/{name}#{key}"', "key")
    with expected_error(heading, "the kind at the start of an id"):
        items_of(path)
    change("counter=counter", "")
    with expected_error(heading, "`counter`"):
        build_small("counter")
    change("reason=str(error), num_bytes=size", "reason=str(error), num_bytes=0")
    with expected_error(heading, "the bytes of the rejected line"):
        build_small("bytes")
    assert ERRORS[heading] == {}


# --- An accelerator ---


def test_the_chip_is_known_to_plans_and_metrics(capsys):
    plan.main(arguments(PLAN))
    printed = capsys.readouterr().out
    assert "l40sx8" in printed
    assert gpu_chip("l40s").memory_bytes == 48 * 10**9


def test_error_of_an_incomplete_chip(tmp_path):
    (line,) = [
        line
        for line in recipes.edit("launch/accelerators/gpus.py", "in GPUS").code.splitlines()
        if "step_time" in line
    ]
    with expected_error("An accelerator", "`step_time`"):
        run_without(tmp_path, "launch/accelerators/gpus.py", line)
    assert ERRORS["An accelerator"] == {}


# --- A position encoding ---


def sinusoidal(**changes):
    return dataclasses.replace(encoder_config(**changes), position_encoding="sinusoidal")


def test_sinusoids_equal_float64():
    x = np.random.default_rng(0).normal(size=(2, 40, 32))
    encoder = Encoder(sinusoidal(), Initializer(0, 0.1), tf.float32)
    found = POSITION_ENCODINGS["sinusoidal"].add(encoder, tf.constant(x, tf.float32))
    expected = x * np.sqrt(32)
    for position in range(40):
        for pair in range(16):
            angle = position / 10_000 ** (2 * pair / 32)
            expected[:, position, 2 * pair] += np.sin(angle)
            expected[:, position, 2 * pair + 1] += np.cos(angle)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert not [v.name for v in encoder.trainable_variables if "position" in v.name]


def test_outputs_depend_on_the_order_of_the_input():
    encoder = Encoder(sinusoidal(), Initializer(0, 0.1), tf.float32)
    ids = np.arange(2, 22)[None]
    swapped = ids[:, [0, 2, 1, *range(3, 20)]]
    ones = np.ones_like(ids)
    outputs = []
    for word_ids in (ids, swapped):
        features = {"input_word_ids": word_ids, "input_mask": ones, "input_type_ids": 0 * ones}
        features = {name: tf.constant(value, tf.int32) for name, value in features.items()}
        outputs.append(encoder(features)["sequence_output"].numpy()[0, 5])
    assert np.abs(outputs[0] - outputs[1]).max() > 1e-3


def test_errors_of_an_incomplete_encoding(monkeypatch):
    heading, name = "A position encoding", "sinusoidal"
    wrong = dataclasses.replace(POSITION_ENCODINGS[name], has_table=True)
    settings = run_config(layers=1)
    encoder = dataclasses.replace(settings.encoder, position_encoding=name)
    trainer_config = dataclasses.replace(settings, encoder=encoder)
    with monkeypatch.context() as patch, expected_error(heading, "`has_table=False`"):
        patch.setitem(POSITION_ENCODINGS, name, wrong)
        trainer = fresh_trainer(trainer_config)
        trainer.train(iterator(trainer.strategy, 1), 1)
    text = recipes.PAGE.read_text()
    with pytest.raises(UserError) as caught:
        build_tf_models(sinusoidal(), seed=0)
    assert str(caught.value).partition(": ")[2] in text.replace("\n", " ")
    monkeypatch.delitem(POSITION_ENCODINGS, name)
    with expected_error(heading, "the row"):
        Encoder(sinusoidal(), Initializer(0, 0.1), tf.float32)
    assert ERRORS[heading] == {}


# --- All of it together: the commands of the page ---


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory, paragraphs) -> Path:
    """The build of the page, from paragraphs of the golden books and one line without a tab."""
    folder = tmp_path_factory.mktemp("build")
    (folder / "notes").mkdir()
    rows = [f"{number}\t{text}\n" for number, text in enumerate(paragraphs[:120])]
    (folder / "notes/golden.tsv").write_text("".join([*rows, "no tab\n"]))
    small = ["copies = 2", "num_shards = 1", "max_seq_length = 64", "max_predictions = 10"]
    small += ["eval_fraction = 0.25", "seed = 7"]
    values = {
        "notes/*.tsv": folder / "notes/*.tsv",
        "vocab.txt": GOLDEN / "vocab.txt",
        "D": folder / "D",
    }
    params = [word for line in small for word in ("--gin_param", f"BuildConfig.{line}")]
    build.main([*arguments(BUILD, **values), *params])
    return folder / "D"


def test_the_build_has_the_format_and_the_scheme(data_dir):
    manifest = Manifest.load(data_dir)
    assert manifest.config.mask_unit == "block"
    accounts = manifest.accounts["tsv"]
    assert accounts["documents_read"] == 120
    assert accounts["bytes_rejected"] == len("no tab\n")
    assert accounts["bytes_input"] == (data_dir.parent / "notes/golden.tsv").stat().st_size
    (shard,) = manifest.split("train")
    records = tf.data.TFRecordDataset(str(data_dir / shard.masked[1].path))
    features = tf.io.parse_example(list(records), parse_specs(64, 10))
    positions = features["masked_lm_positions"].numpy()
    used = features["masked_lm_weights"].numpy() > 0
    assert positions[0].tolist() == list(range(31, 41))
    pieces = manifest.load_vocab(data_dir).pieces
    labels = [pieces[id_] for id_ in features["masked_lm_ids"][0].numpy()]
    assert labels == ["s", "proud", "live", "##ry", "so", "gaz", "##ed", "on", "now", ","]
    assert shard.masked[1].sha256 == MASKED_SHA256
    # Consecutive, except where special tokens are between.
    word_ids = features["input_word_ids"].numpy()
    special = MaskingRule.create(manifest.config, manifest.load_vocab(data_dir)).is_special
    for row, places in enumerate(positions):
        block = places[used[row]]
        between = np.setdiff1d(np.arange(block[0], block[-1]), block)
        assert special[word_ids[row, between]].all()


MASKED_SHA256 = "54bbab600df6be53ab0979671c658e6ec21bfd5b3658707290d67d47cd5496c2"


def run_page(monkeypatch, *words: str) -> None:
    """Run `my_run.py` of the page."""
    monkeypatch.setattr(sys, "argv", ["my_run.py", *words])
    runpy.run_path(str(ROOT / "my_run.py"), run_name="__main__")


def test_training_with_the_optimizer_the_encoding_and_the_hook(data_dir, tmp_path, monkeypatch):
    model_dir = tmp_path / "M"
    params = [param for param in TINY if "OptimizerConfig" not in param]
    params += ["OptimizerConfig.peak_learning_rate = 0.01", "OptimizerConfig.warmup_steps = 1"]
    words = arguments(TRAIN, D=data_dir, M=model_dir)
    assert words[2] == "5.5"
    # Any loss is below 100: the hook ends the run after its first evaluation, at step 4.
    with pytest.raises(UserError, match=r"step 4: held-out loss \d\.\d+ reached the target"):
        run_page(monkeypatch, *words[:2], "100", *words[3:], *params)
    assert [ref.step for ref in committed(model_dir)] == [2, 4]
    run_page(monkeypatch, *words[:2], "0", *words[3:], *params)
    rows = read_metrics(model_dir)
    assert [row["step"] for row in rows] == [2, 4, 4, 6, 6]
    losses = [row["loss"] for row in rows if "loss" in row]
    assert losses[-1] < losses[0] - 0.05
    assert "trust_ratios" not in rows[0]
    config = json.loads((model_dir / "run.json").read_text())["config"]
    assert config["optimizer"]["optimizer"] == "lion"
    assert config["encoder"]["position_encoding"] == "sinusoidal"
