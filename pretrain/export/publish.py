"""Export a checkpoint as SavedModels, in Hugging Face's format and as a tf-models checkpoint."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data import files, schema
from data.errors import UserError
from data.files import join, sha256_of
from data.vocab import Vocab
from model import huggingface
from model.names import POOLER
from pretrain.checkpoints.catalog import CheckpointRef, choose, verify
from pretrain.checkpoints.model_dir import Run, load_run
from pretrain.checkpoints.warm_start import WarmStart
from pretrain.config import RunConfig
from pretrain.export.atomic_directory import RECORD_FILE, atomic_directory, is_unfinished
from pretrain.export.card import huggingface_card, saved_model_card, tf_models_card
from pretrain.export.huggingface_files import write_huggingface
from pretrain.export.preprocessor import export_preprocessor
from pretrain.train.recipe import check_table_size

if TYPE_CHECKING:
    from official.nlp.modeling.models import BertPretrainerV2

POOLERS = ("initial", "identity", "imported")


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Job:
    """A checkpoint to export, and with which pooler."""

    run: Run
    model_dir: str
    checkpoint: CheckpointRef
    pooler: str

    @property
    def step(self) -> int:
        """Step of the checkpoint."""
        return self.checkpoint.step

    @property
    def record(self) -> str:
        """Content of export.json, which identifies an export.

        The index file of a checkpoint contains the checksums of its weights.
        """
        origin = {
            "step": self.step,
            "checkpoint_sha256": sha256_of(f"{self.checkpoint.prefix}.index"),
            "pooler": self.pooler,
            "lower_case": self.run.lower_case,
            "encoder": dataclasses.asdict(self.run.config.encoder),
        }
        return json.dumps(origin, indent=1)


def export(
    model_dir: str,
    output_dir: str,
    *,
    checkpoint: str = "latest",
    hf_dir: str | None = None,
    tf_models_dir: str | None = None,
    pooler: str | None = None,
) -> int:
    """Export a checkpoint; each directory is written atomically.

    A directory that already holds this export is left as it is.

    Args:
      model_dir: model directory of the run.
      output_dir: directory for the SavedModels.
      checkpoint: "latest", "best" on held-out text, or a step.
      hf_dir: directory for Hugging Face's format.
      tf_models_dir: directory for a tf-models checkpoint.
      pooler: pooler weights, which MLM training leaves alone: "initial" is drawn from the seed of the
        run, "identity" makes pooled_output tanh of the output at [CLS], "imported" is that of the
        weights the run started from. None means imported if available, else initial.

    Returns:
      Step of the checkpoint.

    Raises:
      UserError: the checkpoint is missing or does not match the run, or a directory is not empty.
    """
    job = _job(model_dir, checkpoint, pooler)
    optional = {"--hf_dir": hf_dir, "--tf_models_dir": tf_models_dir}
    targets = {"--output_dir": output_dir} | {flag: path for flag, path in optional.items() if path}
    _check_disjoint(targets)
    missing = [flag for flag, target in targets.items() if not _is_done(flag, target, job)]
    if missing:
        vocab_file = join(model_dir, schema.VOCAB_FILE)
        vocab = Vocab.load(vocab_file)
        check_table_size(job.run.config.encoder.vocab_size, len(vocab), f"the run of {model_dir}")
        write = {
            "--output_dir": _write_saved_models,
            "--hf_dir": _write_huggingface,
            "--tf_models_dir": _write_tf_models,
        }
        pretrainer = _tf_models_pretrainer(job)
        for flag in missing:
            with atomic_directory(targets[flag], job.record) as directory:
                write[flag](directory, job, pretrainer, vocab)
    return job.step


def _job(model_dir: str, checkpoint: str, pooler: str | None) -> _Job:
    run, ref = load_run(model_dir, RunConfig), choose(model_dir, checkpoint)
    warm_start = WarmStart.load(model_dir)
    has_imported = warm_start is not None and bool(warm_start.values("pooler"))
    if pooler == "imported" and not has_imported:
        raise UserError(f"--pooler imported: {model_dir} has no imported weights with a pooler")
    pooler = pooler or ("imported" if has_imported else "initial")
    return _Job(run=run, model_dir=model_dir, checkpoint=ref, pooler=pooler)


def _check_disjoint(targets: Mapping[str, str]) -> None:
    """Raise a UserError if a directory equals or contains an earlier one: it would not be empty."""
    for (flag, target), (later_flag, later) in itertools.combinations(targets.items(), 2):
        path = Path(target).resolve()
        if Path(later).resolve() in (path, *path.parents):
            raise UserError(f"{later_flag} {later} contains {flag} {target}; choose another one")


def _is_done(flag: str, target: str, job: _Job) -> bool:
    """Return whether a directory holds this export; raise a UserError if it holds anything else."""
    if is_unfinished(target) or not files.list_dir(target):
        return False
    record = files.join(target, RECORD_FILE)
    if files.exists(record) and files.read_bytes(record) == job.record.encode():
        print(f"export: {target} already holds step {job.step:,} of {job.model_dir}")
        return True
    raise UserError(f"{target} is not empty; choose another {flag} or delete it")


def _tf_models_pretrainer(job: _Job) -> BertPretrainerV2:
    """Return tf-models' model with the weights of the checkpoint."""
    import tensorflow as tf
    import tf_keras

    from model.mlm import Pretrainer
    from model.weights import assign, build_tf_models, values_of
    from pretrain.checkpoints.checkpoint import read

    # Published encoders compute and return float32, whatever the precision of the training.
    tf_keras.mixed_precision.set_global_policy("float32")
    config, seed = job.run.config.encoder, job.run.config.train.seed
    trained = Pretrainer(config, seed=seed)
    verify(job.checkpoint)
    read(tf.train.Checkpoint(**trained.checkpoint_items), job.checkpoint)
    pretrainer = build_tf_models(config, seed=seed)
    pooler = pooler_values(
        job.pooler, model_dir=job.model_dir, hidden_size=job.run.config.encoder.hidden_size
    )
    assign(pretrainer, values_of(trained, config) | pooler)
    return pretrainer


def pooler_values(pooler: str, *, model_dir: str, hidden_size: int) -> dict[str, np.ndarray]:
    """Return the pooler weights to assign; none for "initial", which the model has from its seed.

    Args:
      pooler: one of POOLERS.
      model_dir: model directory with the imported weights.
      hidden_size: width of the encoder.
    """
    if pooler == "imported":
        warm_start = WarmStart.load(model_dir)
        assert warm_start is not None, "`_job` raises a UserError"
        return warm_start.values("pooler")
    if pooler == "identity":
        kernel, bias = np.eye(hidden_size, dtype=np.float32), np.zeros(hidden_size, np.float32)
        return {f"{POOLER}kernel": kernel, f"{POOLER}bias": bias}
    return {}


def _write_saved_models(
    target: Path, job: _Job, pretrainer: BertPretrainerV2, vocab: Vocab
) -> None:
    from pretrain.export.saved_model import save_encoder  # TensorFlow

    config, lower_case = job.run.config.encoder, job.run.lower_case
    encoder, vocab_file = target / "encoder", join(job.model_dir, schema.VOCAB_FILE)
    save_encoder(encoder, pretrainer, config, vocab_file=vocab_file, lower_case=lower_case)
    export_preprocessor(
        target / "preprocessor",
        vocab_file=vocab_file,
        lower_case=lower_case,
        seq_length=min(128, config.max_position_embeddings),
    )
    card = saved_model_card(job.run, job.model_dir, step=job.step, pooler=job.pooler)
    (target / "README.md").write_text(card, encoding="utf-8")


def _write_huggingface(target: Path, job: _Job, pretrainer: BertPretrainerV2, vocab: Vocab) -> None:
    """Write the MLM at the root, and `encoder/` for AutoModel, which expects a pooler and no head."""
    from model.weights import values_of  # TensorFlow

    config = job.run.config.encoder
    values = values_of(pretrainer, config)
    for folder, architecture in ((target, "BertForMaskedLM"), (target / "encoder", "BertModel")):
        write_huggingface(
            folder,
            huggingface.to_tensors(values, config, architecture=architecture),
            config,
            architecture=architecture,
            vocab=vocab,
            lower_case=job.run.lower_case,
        )
    card = huggingface_card(job.run, job.model_dir, step=job.step, pooler=job.pooler)
    (target / "README.md").write_text(card, encoding="utf-8")


def _write_tf_models(target: Path, job: _Job, pretrainer: BertPretrainerV2, vocab: Vocab) -> None:
    """Write the objects that tf-models restores, as its trainer saves them."""
    import tensorflow as tf

    checkpoint = tf.train.Checkpoint(**pretrainer.checkpoint_items)
    checkpoint.save_counter.assign(job.step - 1)  # `save` increments it and appends it to the name
    checkpoint.save(str(target / "ckpt"))
    (target / schema.VOCAB_FILE).write_text(vocab.text, encoding="utf-8")
    if (content := huggingface.bert_config_to_json(job.run.config.encoder)) is not None:
        text = json.dumps(content, indent=1) + "\n"
        (target / "bert_config.json").write_text(text, encoding="utf-8")
    card = tf_models_card(job.run, job.model_dir, step=job.step, pooler=job.pooler)
    (target / "README.md").write_text(card, encoding="utf-8")
