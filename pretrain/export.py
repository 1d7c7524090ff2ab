"""Publishes a trained encoder.

    python -m pretrain.export --model_dir M --output_dir E

E/encoder is a SavedModel with the interface of the published Lambert and BERT encoders and a
trainable `.mlm`; E/preprocessor turns text into its inputs; E/README.md says what it is.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path

from data import schema
from data.errors import UserError, run_main
from data.files import require_local, sha256_of
from model.config import EncoderConfig
from pretrain.model_dir import Run, load_run
from pretrain.progress import read_metrics

_ORIGIN_FILE = "export.json"


def export(model_dir: str, output_dir: str) -> int:
    """Exports the newest checkpoint; the output directory appears whole or not at all.

    Returns:
      The step of the checkpoint.

    Raises:
      UserError: there is no checkpoint, it does not fit, or output_dir is in use.
    """
    from pretrain.checkpoint import committed

    require_local("--output_dir", output_dir)
    run = load_run(model_dir)
    saved = committed(model_dir)
    if not saved:
        raise UserError(f"{model_dir} has no finished checkpoint; train first")
    target, step = Path(output_dir), saved[-1].step
    if target.exists() and any(target.iterdir()):
        if _origin_of(target) == _origin(saved[-1]):
            print(f"export: {output_dir} holds step {step:,} of {model_dir} already")
            return step
        raise UserError(f"{output_dir} is not empty; choose another --output_dir or delete it")

    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".tmp-export-") as scratch:
        whole = Path(scratch, "export")
        _write_all(whole, run, model_dir, saved[-1])
        (whole / _ORIGIN_FILE).write_text(json.dumps(_origin(saved[-1]), indent=1))
        if target.exists():
            target.rmdir()
        whole.rename(target)
    return step


def _origin(saved) -> dict:
    """What an export is made from; the index of a checkpoint has the checksums of its weights."""
    return {"step": saved.step, "checkpoint_sha256": sha256_of(f"{saved.prefix}.index")}


def _origin_of(target: Path) -> dict | None:
    record = target / _ORIGIN_FILE
    return json.loads(record.read_text()) if record.is_file() else None


def _write_all(target: Path, run: Run, model_dir: str, saved) -> None:
    import tensorflow as tf
    import tf_keras

    from model.mlm import Pretrainer
    from model.preprocess import export_preprocessor
    from model.weights import build_tf_models, to_tf_models
    from pretrain.checkpoint import read, verify

    # Published encoders compute and answer in float32, whatever they were trained in.
    tf_keras.mixed_precision.set_global_policy("float32")
    vocab_file = Path(model_dir, schema.VOCAB_FILE)
    seed = run.config.train.seed
    trained = Pretrainer(run.config.encoder, seed=seed)
    verify(saved)
    read(tf.train.Checkpoint(**trained.checkpoint_items), saved)
    pretrainer = build_tf_models(run.config.encoder, seed=seed)
    to_tf_models(trained, pretrainer)

    core = encoder_with_mlm(pretrainer)
    core.vocab_file = tf.saved_model.Asset(str(vocab_file))
    core.do_lower_case = tf.Variable(run.lower_case, trainable=False)
    core.save(str(target / "encoder"), include_optimizer=False, save_format="tf")
    export_preprocessor(
        target / "preprocessor",
        vocab_file=vocab_file,
        lower_case=run.lower_case,
        seq_length=min(128, run.config.encoder.max_position_embeddings),
    )
    (target / "README.md").write_text(model_card(run, model_dir, saved.step), encoding="utf-8")


def encoder_with_mlm(pretrainer):
    """The model to save: the encoder at the root, the whole pretrainer as `.mlm`.

    As in tf-models' export: `default` is another name of `pooled_output`, and the head's variables
    belong to `.mlm` only, so the root's trainable variables are the encoder's.
    """
    import tf_keras

    def renamed(inputs: dict) -> dict:
        return {
            name: tf_keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=name)
            for name, tensor in inputs.items()
        }

    encoder = pretrainer.encoder_network
    encoder_inputs = renamed(encoder.inputs)
    outputs = encoder(encoder_inputs)
    outputs["default"] = outputs["pooled_output"]
    core = tf_keras.Model(encoder_inputs, outputs, name="core_model")

    mlm_inputs = renamed(pretrainer.inputs)
    mlm = tf_keras.Model(mlm_inputs, pretrainer(mlm_inputs), name="mlm_model")
    core._auto_track_sub_layers = False  # before attaching: keeps the head out of the root
    core.mlm = mlm
    return core


def model_card(run: Run, model_dir: str, step: int) -> str:
    """README.md of an export."""
    encoder, train, optimizer = run.config.encoder, run.config.train, run.config.optimizer
    evaluations = [row for row in read_metrics(model_dir) if "eval_mlm_accuracy" in row]
    evaluation = "It was not evaluated on held-out text."
    if evaluations:
        last = evaluations[-1]
        evaluation = (
            f"On held-out text, after {last['step']:,} steps: MLM loss {last['eval_loss']:.3f},"
            f" accuracy {last['eval_mlm_accuracy']:.2%}, {last['eval_hidden_accuracy']:.2%} where the"
            " piece is hidden (always guessing the most frequent piece:"
            f" {last['eval_baseline_accuracy']:.2%})."
        )
    case = "uncased" if run.lower_case else "cased"
    return f"""# {case.capitalize()} BERT encoder, {_size(encoder)}

Pretrained by Lambert: masked language model only, {optimizer.label}, FULL-SENTENCES sequences.

```python
import tensorflow as tf
import tensorflow_hub as hub
import tensorflow_text  # registers the preprocessor's ops
import tf_keras

preprocessor = hub.KerasLayer("preprocessor")
encoder = hub.KerasLayer("encoder", trainable=True)
text_input = tf_keras.layers.Input(shape=(), dtype=tf.string)
outputs = encoder(preprocessor(text_input))
pooled_output = outputs["pooled_output"]      # [batch_size, {encoder.hidden_size}]
sequence_output = outputs["sequence_output"]  # [batch_size, seq_length, {encoder.hidden_size}]

mlm = hub.KerasLayer(hub.load("encoder").mlm, trainable=True)  # adds masked_lm_positions -> mlm_logits
```

- Vocabulary: {encoder.vocab_size:,} pieces, {case}.
- Training: {step:,} of {train.train_steps:,} steps of {train.global_batch_size:,} sequences; peak
  learning rate {optimizer.peak_learning_rate:g}, beta_2 {optimizer.beta_2:g}, weight decay
  {optimizer.weight_decay_rate:g}.
- Data: manifest sha256 {run.data_sha256}.
- {evaluation}
- The pooler (`pooled_output`) is not trained by a masked language model: it is as initialised, and needs
  fine-tuning.
"""


def _size(encoder: EncoderConfig) -> str:
    layers, hidden = encoder.num_hidden_layers, encoder.hidden_size
    return f"L={layers} H={hidden} A={encoder.num_attention_heads}"


def main(argv: Sequence[str]) -> None:
    """Parses the command line and exports."""
    # Keras warns that the saved models are not compiled; nobody asked for it.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    parser = argparse.ArgumentParser(
        prog="python -m pretrain.export",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--model_dir", required=True)
    parser.add_argument("--output_dir", required=True)
    args = parser.parse_args(argv)
    step = export(args.model_dir, args.output_dir)
    print(f"export: step {step:,} in {args.output_dir} (encoder/, preprocessor/, README.md)")


if __name__ == "__main__":
    run_main(main)
