"""The whole line with all its files in a bucket."""

import json
import re

import numpy as np
import pytest

from data import files
from data.build import main as build
from data.manifest import Manifest
from finetune import predict
from pretrain import fill_mask
from pretrain.embed import __main__ as embed
from pretrain.export import __main__ as export
from pretrain.export.load import local_copy
from tests.gcs.conftest import BUCKET, BUILD, gin, json_of
from tests.support.paths import GOLDEN

pytestmark = pytest.mark.gcs
LINES = ["The Phoenix and the bird of loudest lay.", "", "On the sole Arabian tree."]


def test_client_has_the_token_of_the_metadata_server(data, storage):
    assert storage.tokens == ["Bearer token-of-tests"]


def test_build_equals_one_on_a_disk(data, tmp_path):
    inputs = [f"--books={GOLDEN}/books/*.txt", f"--wiki={GOLDEN}/*.bz2"]
    build([*gin(BUILD), *inputs, f"--vocab_file={GOLDEN}/vocab.txt", f"--output_dir={tmp_path}/d"])
    local, remote = Manifest.load(tmp_path / "d"), Manifest.load(data)
    assert list(remote.shards) == list(local.shards)
    assert not files.find(f"{data}/**/.tmp-*")[0]


def test_run_resumes_after_a_kill_and_staged_once(trained, data):
    model_dir, (killed, resumed) = trained
    count = len(Manifest.load(data).files)
    assert re.search(rf"{count} files with [\d,]+ bytes, {count} of them copied now", killed)
    assert re.search(rf"{count} files with [\d,]+ bytes, 0 of them copied now", resumed)
    step = int(re.search(r"resuming at step (\d+)", resumed)[1])
    assert 10 <= step < 40
    rows = [
        json.loads(line) for line in files.read_bytes(f"{model_dir}/metrics.jsonl").splitlines()
    ]
    steps = [row["step"] for row in rows if "loss" in row]
    assert steps == sorted(set(steps))
    assert steps[-1] == 40


def test_exports_are_complete(exported, capsys, trained):
    for folder in exported:
        with local_copy("--model_dir", folder) as copy:  # compares all sums
            assert copy
        assert json_of(f"{folder}/export.json")["step"] == 40
        assert not files.exists(f"{folder}/export.unfinished")
    export.main([f"--model_dir={trained[0]}", f"--output_dir={exported[0]}"])
    assert f"{BUCKET}/export already holds step 40" in capsys.readouterr().out


def test_fill_mask(exported, capsys):
    fill_mask.main([f"--export={exported[0]}", "the [MASK] of the king", "--top_k=2"])
    assert capsys.readouterr().out.count("%") == 2


def test_embed_from_and_to_the_bucket(exported, tmp_path):
    files.write_atomically(f"{BUCKET}/lines.txt", "\n".join(LINES).encode())
    targets = [
        f"--saved_model_dir={BUCKET}/vectors",
        f"--sentence_transformers_dir={BUCKET}/st",
        f"--output={BUCKET}/vectors.npy",
    ]
    embed.main(
        [f"--model_dir={exported[0]}", f"--input={BUCKET}/lines.txt", "--normalize", *targets]
    )
    (tmp_path / "f.npy").write_bytes(files.read_bytes(f"{BUCKET}/vectors.npy"))
    expected = np.load(tmp_path / "f.npy")
    np.testing.assert_allclose(np.linalg.norm(expected, axis=1), 1, rtol=0, atol=1e-6)
    embed.main(
        [f"--export={BUCKET}/st", f"--input={BUCKET}/lines.txt", f"--output={tmp_path}/g.npy"]
    )
    np.testing.assert_array_equal(np.load(tmp_path / "g.npy"), expected)
    assert files.exists(f"{BUCKET}/vectors/saved_model.pb")


def test_finetune_and_predict(finetuned, tmp_path):
    model_dir, hf_dir = finetuned
    assert json_of(f"{model_dir}/export/export.json")["kind"] == "classification"
    assert json_of(f"{hf_dir}/config.json")["architectures"] == ["BertForSequenceClassification"]
    flags = [f"--model_dir={model_dir}", f"--input={BUCKET}/task/dev.jsonl"]
    predict.main([*flags, f"--output={BUCKET}/answers.jsonl"])
    predict.main([*flags, f"--output={tmp_path}/answers.jsonl"])
    answers = files.read_bytes(f"{BUCKET}/answers.jsonl")
    assert answers == (tmp_path / "answers.jsonl").read_bytes()
    assert len(answers.splitlines()) == 24
