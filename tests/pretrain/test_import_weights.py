"""The import command, and runs that start from imported weights."""

import json
import re
import shutil
from pathlib import Path

import pytest

from data.errors import UserError
from pretrain import import_weights as command
from pretrain import run
from pretrain.checkpoints.catalog import committed
from tests.support.published import ENCODER, TINY


@pytest.fixture
def model_dir(published, tmp_path) -> Path:
    """A model directory with imported weights in Hugging Face's format."""
    command.main(["--from", str(published.hf_dir), "--model_dir", str(tmp_path / "m")])
    return tmp_path / "m"


def test_import_prints_a_summary_and_is_idempotent(published, tmp_path, capsys):
    argv = ["--from", str(published.hf_dir / "encoder"), "--model_dir", str(tmp_path / "m")]
    for _ in range(2):  # the second time there is nothing to do
        command.main(argv)
        output = capsys.readouterr().out
        assert "without an MLM head (a new one is used), with its pooler" in output
        assert "L=2 H=16 A=2, gelu, 1,500 pieces, uncased, sequences up to 64" in output
    assert [path.name for path in (tmp_path / "m").iterdir()] == ["initial"]
    with pytest.raises(UserError, match=r"m/initial has other weights \(.*/hf/encoder/model"):
        command.main(["--from", str(published.hf_dir), "--model_dir", str(tmp_path / "m")])


def flags(data_dir, model_dir, *params) -> list[str]:
    settings = [flag for param in (*TINY, *params) for flag in ("--gin_param", param)]
    return [*settings, "--data_dir", str(data_dir), "--model_dir", str(model_dir)]


def held_out(capsys) -> str:
    return re.search("held-out: (.*)", capsys.readouterr().out)[1]


def test_run_starts_from_imported_weights(published, model_dir, small_build, capsys):
    """Its held-out loss before the first step equals that of the exported model."""
    run.main([*flags(small_build, published.model_dir, *ENCODER), "--mode", "eval"])
    expected = held_out(capsys)
    run.main([*flags(small_build, model_dir), "--mode", "eval"])  # EncoderConfig from the weights
    assert held_out(capsys) == expected
    run.main(flags(small_build, model_dir, "TrainConfig.train_steps = 3"))
    output = capsys.readouterr().err
    assert f"pretraining: starting from the weights of {published.hf_dir}" in output
    assert committed(model_dir)[-1].step == 3
    run.main([*flags(small_build, model_dir), "--mode", "eval"])  # now from its own checkpoint
    printed = capsys.readouterr()
    assert "after 3 steps, held-out" in printed.out
    assert "from the weights of" not in printed.err
    (model_dir / "initial").rename(model_dir / "elsewhere")
    with pytest.raises(UserError, match=r"started from other weights than those in initial/"):
        run.main(flags(small_build, model_dir, *ENCODER))


class TestRunErrors:
    def fails(self, argv, message):
        with pytest.raises(UserError, match=message):
            run.main(argv)

    def test_architecture_differs_from_the_imported_weights(self, model_dir, small_build):
        argv = flags(small_build, model_dir, "EncoderConfig.num_attention_heads = 4")
        self.fails(argv, r"num_attention_heads=4, but the weights in .*m/initial have 2")
        self.fails([*argv, "--dry_run"], "num_attention_heads=4, but the weights in")
        argv = flags(small_build, model_dir, "EncoderConfig.hidden_activation = 'gelu_tanh'")
        self.fails(argv, r"hidden_activation='gelu_tanh', but the weights in .* have 'gelu'")

    def test_vocabulary_of_the_data_differs(self, published, small_build, tmp_path):
        source = shutil.copytree(published.hf_dir, tmp_path / "hf")
        pieces = (source / "vocab.txt").read_text().splitlines()
        pieces[-1] = "another piece"
        (source / "vocab.txt").write_text("\n".join(pieces))
        command.main(["--from", str(source), "--model_dir", str(tmp_path / "m")])
        message = (
            r"another vocabulary \(1500 pieces, sha256 \w+\) than the weights in .* \(1500 pieces"
        )
        self.fails(flags(small_build, tmp_path / "m"), message)

    def test_lower_case_of_the_data_differs(self, model_dir, small_build):
        path = model_dir / "initial/source.json"
        path.write_text(path.read_text().replace('"lower_case": true', '"lower_case": false'))
        message = r"BuildConfig.lower_case=True, .* weights in .*m/initial need False"
        self.fails(flags(small_build, model_dir), message)

    def test_weights_changed_after_the_import(self, model_dir, small_build):
        path = model_dir / "initial/weights.safetensors"
        path.write_bytes(path.read_bytes()[:-1] + b"\1")
        self.fails(
            flags(small_build, model_dir), "weights.safetensors has changed since the import"
        )

    def test_damaged_record(self, model_dir, small_build):
        path = model_dir / "initial/source.json"
        record = json.loads(path.read_text())
        for content in (
            *("{}", "[]", "[" * 100_000),
            json.dumps({**record, "lower_case": 1}),
            json.dumps({**record, "origin": None}),
            json.dumps({**record, "encoder": {**record["encoder"], "hidden_size": 10**9}}),
        ):
            path.write_text(content)
            self.fails(
                flags(small_build, model_dir), r"source\.json cannot be read \(.*; delete .*initial"
            )
