"""Publish a checkpoint as SavedModels, in Hugging Face's format and as a checkpoint of tf-models."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data import schema
from data.errors import UserError
from data.files import join, require_local, sha256_of
from data.vocab import Vocab
from model.names import POOLER
from pretrain.checkpoints.model_dir import Run, load_run
from pretrain.checkpoints.warm_start import WarmStart
from pretrain.config import RunConfig
from pretrain.export.atomic_directory import RECORD_FILE, atomic_directory
from pretrain.train.recipe import check_table_size

if TYPE_CHECKING:
    from pretrain.checkpoints.checkpoint import CheckpointRef

POOLERS = ("initial", "identity", "imported")


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Job:
    """A checkpoint to export, and how."""

    run: Run
    model_dir: str
    checkpoint: CheckpointRef
    pooler: str

    @property
    def step(self) -> int:
        """Of the checkpoint."""
        return self.checkpoint.step

    @property
    def record(self) -> str:
        """What an export is made from; the index of a checkpoint has the checksums of its weights."""
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
    """Exports a checkpoint; each directory appears whole or not at all.

    Args:
      model_dir: of a run.
      output_dir: for the SavedModels.
      checkpoint: "latest", "best" on held-out text, or the number of a step.
      hf_dir: for Hugging Face's format.
      tf_models_dir: for a checkpoint of tf-models.
      pooler: what a masked language model does not train: "initial" is as drawn from the seed of the
        run, "identity" makes pooled_output tanh of the output at [CLS], "imported" is that of the
        weights the run started from. None takes the imported one if there is one, else the initial.

    Returns:
      The step of the checkpoint.

    Raises:
      UserError: the checkpoint is not there or does not fit, or a directory is in use.
    """
    job = _job(model_dir, checkpoint, pooler)
    others = {"--hf_dir": hf_dir, "--tf_models_dir": tf_models_dir}
    targets = {"--output_dir": output_dir} | {flag: path for flag, path in others.items() if path}
    _check_apart(targets)
    wanted = [flag for flag, target in targets.items() if not _is_done(flag, target, job)]
    if wanted:
        vocab_file = join(model_dir, schema.VOCAB_FILE)
        vocab = Vocab.load(vocab_file)
        check_table_size(job.run.config.encoder.vocab_size, len(vocab), f"the run of {model_dir}")
        write = {
            "--output_dir": _write_saved_models,
            "--hf_dir": _write_huggingface,
            "--tf_models_dir": _write_tf_models,
        }
        pretrainer = _model(job)
        for flag in wanted:
            with atomic_directory(Path(targets[flag]), job.record) as whole:
                write[flag](whole, job, pretrainer, vocab)
    return job.step


def _job(model_dir: str, checkpoint: str, pooler: str | None) -> _Job:
    from pretrain.checkpoints.checkpoint import choose

    run, ref = load_run(model_dir, RunConfig), choose(model_dir, checkpoint)
    warm_start = WarmStart.load(model_dir)
    has_imported = warm_start is not None and bool(warm_start.values("pooler"))
    if pooler == "imported" and not has_imported:
        raise UserError(f"--pooler imported: {model_dir} has no imported weights with a pooler")
    pooler = pooler or ("imported" if has_imported else "initial")
    return _Job(run=run, model_dir=model_dir, checkpoint=ref, pooler=pooler)


def _check_apart(targets: Mapping[str, str]) -> None:
    """Raises a UserError if a directory is an earlier one or holds it: it would not be empty."""
    for (flag, target), (later_flag, later) in itertools.combinations(targets.items(), 2):
        place = Path(target).resolve()
        if Path(later).resolve() in (place, *place.parents):
            raise UserError(f"{later_flag} {later} holds {flag} {target}; choose another one")


def _is_done(flag: str, target: str, job: _Job) -> bool:
    """Whether a directory holds this export already; raises a UserError if it holds anything else."""
    require_local(flag, target)
    if not Path(target).exists() or not any(Path(target).iterdir()):
        return False
    record = Path(target, RECORD_FILE)
    if record.is_file() and record.read_bytes() == job.record.encode():
        print(f"export: {target} holds step {job.step:,} of {job.model_dir} already")
        return True
    raise UserError(f"{target} is not empty; choose another {flag} or delete it")


def _model(job: _Job):
    """tf-models' model with the weights of the checkpoint."""
    import tensorflow as tf
    import tf_keras

    from model.mlm import Pretrainer
    from model.weights import assign, build_tf_models, values_of
    from pretrain.checkpoints.checkpoint import read, verify

    # Published encoders compute and answer in float32, whatever they were trained in.
    tf_keras.mixed_precision.set_global_policy("float32")
    config, seed = job.run.config.encoder, job.run.config.train.seed
    trained = Pretrainer(config, seed=seed)
    verify(job.checkpoint)
    read(tf.train.Checkpoint(**trained.checkpoint_items), job.checkpoint)
    pretrainer = build_tf_models(config, seed=seed)
    assign(pretrainer, values_of(trained, config) | pooler_values(job))
    return pretrainer


def pooler_values(job: _Job) -> dict[str, np.ndarray]:
    """The pooler that is to be published; nothing leaves the initial one."""
    if job.pooler == "imported":
        return WarmStart.load(job.model_dir).values("pooler")
    if job.pooler == "identity":
        size = job.run.config.encoder.hidden_size
        kernel, bias = np.eye(size, dtype=np.float32), np.zeros(size, np.float32)
        return {f"{POOLER}kernel": kernel, f"{POOLER}bias": bias}
    return {}


def _write_saved_models(target: Path, job: _Job, pretrainer, vocab: Vocab) -> None:
    from model.preprocess import export_preprocessor
    from pretrain.export.card import saved_model_card
    from pretrain.export.saved_model import save_encoder

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


def _write_huggingface(target: Path, job: _Job, pretrainer, vocab: Vocab) -> None:
    """The masked language model at the root; `encoder/` for AutoModel, which wants a pooler and no head."""
    from safetensors import numpy as safetensors

    from model import huggingface
    from model.weights import values_of
    from pretrain.export.card import huggingface_card

    config = job.run.config.encoder
    values = values_of(pretrainer, config)
    tokenizer = huggingface.tokenizer_files(
        vocab.pieces, lower_case=job.run.lower_case, max_length=config.max_position_embeddings
    )
    for folder, architecture in ((target, "BertForMaskedLM"), (target / "encoder", "BertModel")):
        folder.mkdir(exist_ok=True)
        content = huggingface.config_to_json(
            config, pad_token_id=vocab.ids[schema.PAD], architecture=architecture
        )
        texts = {"config.json": json.dumps(content, indent=1) + "\n", **tokenizer}
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
        tensors = huggingface.to_tensors(values, config, architecture=architecture)
        # As bytes: `save_file` would make a file that nobody else may read.
        content = safetensors.save(tensors, metadata={"format": "pt"})
        (folder / "model.safetensors").write_bytes(content)
    card = huggingface_card(job.run, job.model_dir, step=job.step, pooler=job.pooler)
    (target / "README.md").write_text(card, encoding="utf-8")


def _write_tf_models(target: Path, job: _Job, pretrainer, vocab: Vocab) -> None:
    """The objects that tf-models restores, as its own trainer saves them."""
    import tensorflow as tf

    from model import huggingface
    from pretrain.export.card import tf_models_card

    checkpoint = tf.train.Checkpoint(**pretrainer.checkpoint_items)
    checkpoint.save_counter.assign(job.step - 1)  # which `save` counts on and puts into the name
    checkpoint.save(str(target / "ckpt"))
    (target / schema.VOCAB_FILE).write_text(vocab.text, encoding="utf-8")
    if (content := huggingface.bert_config_to_json(job.run.config.encoder)) is not None:
        text = json.dumps(content, indent=1) + "\n"
        (target / "bert_config.json").write_text(text, encoding="utf-8")
    card = tf_models_card(job.run, job.model_dir, step=job.step, pooler=job.pooler)
    (target / "README.md").write_text(card, encoding="utf-8")
