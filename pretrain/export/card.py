"""Model card (README.md) of an export: architecture, use, training, data, evaluation, limits."""

from __future__ import annotations

from pathlib import Path

from model.config import EncoderConfig
from pretrain.checkpoints.model_dir import Run, read_data, read_environment
from pretrain.checkpoints.warm_start import WarmStart
from pretrain.train.metrics_log import PLATEAU_NOTE, is_on_plateau, read_metrics

# Packages whose versions affect the numbers of a run.
_PACKAGES = ("lambert-pretrain", "tensorflow", "tensorflow-text", "tf-models-official", "tf_keras")
_POOLERS = {
    "initial": "as initialised from the seed of the run: random, so fine-tune before using it",
    "identity": "the identity: `pooled_output` is tanh of the last block's output at [CLS]",
    "imported": "the imported one, unchanged while the encoder was trained further",
}

_SAVED_MODEL_USE = """```python
import tensorflow as tf
import tensorflow_hub as hub
import tensorflow_text  # registers the preprocessor's ops
import tf_keras  # tensorflow_hub knows this Keras, not Keras 3

preprocessor = hub.KerasLayer("preprocessor")
encoder = hub.KerasLayer("encoder", trainable=True)
text_input = tf_keras.layers.Input(shape=(), dtype=tf.string)
outputs = encoder(preprocessor(text_input))
pooled_output = outputs["pooled_output"]      # [batch_size, {hidden_size}]
sequence_output = outputs["sequence_output"]  # [batch_size, seq_length, {hidden_size}]

mlm = hub.KerasLayer(hub.load("encoder").mlm, trainable=True)  # adds masked_lm_positions -> mlm_logits
```

Signatures for servers: `serving_default` and `mlm`. `sha256sum --check SHA256SUMS` compares the files."""

_HUGGINGFACE_USE = """```python
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(".")
masked_lm = AutoModelForMaskedLM.from_pretrained(".")
encoder = AutoModel.from_pretrained("encoder")  # the same encoder with the pooler, without the head
```"""

_TF_MODELS_USE = """The weights of tf-models' `BertPretrainerV2`, saved as
`tf.train.Checkpoint(**pretrainer.checkpoint_items)`. Fine-tuning with tf-models takes this directory as
`task.init_checkpoint`. {activation}"""
_TF_MODELS_EXPORT = """Its own export:

    python -m official.nlp.tools.export_tfhub --export_type=model_with_mlm --export_path=hub \\
        --bert_config_file=bert_config.json --model_checkpoint_path=ckpt-{step} \\
        --vocab_file=vocab.txt --do_lower_case={lower_case}"""
_TF_MODELS_EXACT_GELU = """Its configurations have no name for the exact gelu,
the activation of this model: build the encoder with `inner_activation=tf_keras.activations.gelu`."""


def saved_model_card(run: Run, model_dir: str, *, step: int, pooler: str) -> str:
    """Return README.md for the SavedModels."""
    use = _SAVED_MODEL_USE.format(hidden_size=run.config.encoder.hidden_size)
    return _card(run, model_dir, step=step, pooler=pooler, use=use)


def huggingface_card(run: Run, model_dir: str, *, step: int, pooler: str) -> str:
    """Return README.md for Hugging Face's format, with the metadata header."""
    header = "---\nlibrary_name: transformers\npipeline_tag: fill-mask\ntags:\n- bert\n---\n\n"
    return header + _card(run, model_dir, step=step, pooler=pooler, use=_HUGGINGFACE_USE)


def tf_models_card(run: Run, model_dir: str, *, step: int, pooler: str) -> str:
    """Return README.md for a tf-models checkpoint."""
    activation = _TF_MODELS_EXACT_GELU
    if run.config.encoder.hidden_activation == "gelu_tanh":
        activation = _TF_MODELS_EXPORT.format(step=step, lower_case=run.lower_case)
    use = _TF_MODELS_USE.format(activation=activation)
    return _card(run, model_dir, step=step, pooler=pooler, use=use)


def _card(run: Run, model_dir: str, *, step: int, pooler: str, use: str) -> str:
    case = "uncased" if run.lower_case else "cased"
    sections = {
        "Use": use,
        "Training": _training(run, step),
        "Start": _warm_start(model_dir),
        "Data": _data(run, model_dir),
        "Evaluation": _evaluation(model_dir, step),
        "Limits": _limits(run, pooler),
        "Environment": _environment(model_dir),
    }
    title = f"# {case.capitalize()} BERT encoder, {_size(run.config.encoder)}\n"
    return "\n".join(
        [title, *(f"## {name}\n\n{text}\n" for name, text in sections.items() if text)]
    )


def _size(encoder: EncoderConfig) -> str:
    layers, hidden = encoder.num_hidden_layers, encoder.hidden_size
    return f"L={layers} H={hidden} A={encoder.num_attention_heads}"


def _training(run: Run, step: int) -> str:
    train, optimizer = run.config.train, run.config.optimizer
    return (
        "Pretrained by Lambert: masked language model only, FULL-SENTENCES sequences.\n\n"
        f"- {step:,} of {train.train_steps:,} steps of {train.global_batch_size:,} sequences,"
        f" {train.precision}, seed {train.seed}.\n"
        f"- {optimizer.label}; peak learning rate {optimizer.peak_learning_rate:g} after"
        f" {optimizer.warmup_steps:,} steps of warm-up, {optimizer.schedule} decay, beta_2"
        f" {optimizer.beta_2:g}, weight decay {optimizer.weight_decay_rate:g}.\n"
        f"- Vocabulary: {run.config.encoder.vocab_size:,} rows,"
        f" {'uncased' if run.lower_case else 'cased'}; feed-forward"
        f" {run.config.encoder.intermediate_size}, {run.config.encoder.hidden_activation}, dropout"
        f" {run.config.encoder.hidden_dropout_prob:g}."
    )


def _warm_start(model_dir: str) -> str:
    warm_start = WarmStart.load(model_dir)
    if warm_start is None:
        return ""
    origin = warm_start.origin
    return (
        f"Training started from imported weights: {origin['kind']}, `{Path(origin['path']).name}`,"
        f" sha256 {origin['sha256']}."
    )


def _data(run: Run, model_dir: str) -> str:
    lines = [f"- Manifest sha256 {run.data_sha256}."]
    if (data := read_data(model_dir)) is not None:
        sources = ", ".join(
            f"{source} ({counts['documents']:,} documents, {counts['bytes']:,} bytes of text)"
            for source, counts in data["sources"].items()
        )
        train, held_out, build = data["splits"]["train"], data["splits"]["eval"], data["build"]
        copies = (
            f"{build['copies']:,} masked copies" if build["copies"] else "masked anew in each pass"
        )
        lines += [
            f"- Sources: {sources}.",
            f"- {train['documents']:,} documents, {train['tokens']:,} tokens in {train['sequences']:,}"
            f" training sequences of {build['max_seq_length']}; {held_out['sequences']:,} held out;"
            f" {copies}, {build['masked_lm_rate']:.0%} of the tokens.",
        ]
    return "\n".join(lines)


def _evaluation(model_dir: str, step: int) -> str:
    """Describe the last evaluation up to the exported step."""
    rows = [row for row in read_metrics(model_dir) if row["step"] <= step]
    rows = [row for row in rows if row.get("eval_loss") is not None]
    if not rows:
        return "Not evaluated on held-out text."
    last = rows[-1]
    return (
        f"On held-out text, after {last['step']:,} steps: MLM loss {last['eval_loss']:.3f},"
        f" accuracy {last['eval_mlm_accuracy']:.2%}, {last['eval_hidden_accuracy']:.2%} where the"
        " token is hidden (always guessing the most frequent token:"
        f" {last['eval_baseline_accuracy']:.2%})."
        + (f" The encoder is {PLATEAU_NOTE}." if is_on_plateau(last) else "")
    )


def _limits(run: Run, pooler: str) -> str:
    return (
        f"- At most {run.config.encoder.max_position_embeddings} tokens; longer inputs are an error.\n"
        "- Masked language modelling does not train the pooler (`pooled_output`). Here it is"
        f" {_POOLERS[pooler]}.\n"
        "- The model reproduces biases of its training text."
    )


def _environment(model_dir: str) -> str:
    if (environment := read_environment(model_dir)) is None:
        return ""
    packages = environment["packages"]
    versions = ", ".join(f"{name} {packages[name]}" for name in _PACKAGES if name in packages)
    commit = environment["git_commit"] or "unknown"
    return f"Python {environment['python']}, {versions}; commit {commit}."
