"""Wires a run: data, strategy, trainer, checkpoints, evaluation."""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from pathlib import Path

import numpy as np

from data import schema
from data.errors import UserError
from data.manifest import Manifest
from data.vocab import Vocab
from pretrain.config import RunConfig

# Embedding tables may have a few rows more than pieces, to be a multiple of this.
_VOCAB_MULTIPLE = 128


def resolve(config: RunConfig, manifest: Manifest) -> RunConfig:
    """Fills in what the data decides, and checks the configuration against the data.

    Raises:
      UserError: naming the settings and the data that contradict each other.
    """
    encoder, build = config.encoder, manifest.config
    if encoder.vocab_size == 0:
        encoder = dataclasses.replace(encoder, vocab_size=manifest.vocab_pieces)
    padded = -(-manifest.vocab_pieces // _VOCAB_MULTIPLE) * _VOCAB_MULTIPLE
    if not manifest.vocab_pieces <= encoder.vocab_size <= padded:
        raise UserError(
            f"EncoderConfig.vocab_size={encoder.vocab_size} does not fit the vocabulary of the data,"
            f" {manifest.vocab_pieces} pieces; set it to 0 to take the data's (or to at most"
            f" {padded}, padded for the hardware)"
        )
    if encoder.max_position_embeddings < build.max_seq_length:
        raise UserError(
            f"EncoderConfig.max_position_embeddings={encoder.max_position_embeddings} is smaller"
            f" than the sequences of the data, {build.max_seq_length} tokens"
        )
    manifest.require_masks(config.input.masks)
    return dataclasses.replace(config, encoder=encoder)


def check(config: RunConfig, *, replicas: int = 1) -> None:
    """Raises a UserError unless there are steps after the warm-up and the batches divide evenly."""
    train = config.train
    if config.optimizer.warmup_steps >= train.train_steps:
        raise UserError(
            f"OptimizerConfig.warmup_steps={config.optimizer.warmup_steps} leaves nothing of"
            f" TrainConfig.train_steps={train.train_steps}; it must be smaller"
        )
    for name in ("global_batch_size", "eval_batch_size"):
        size = getattr(train, name)
        if size % replicas:
            raise UserError(
                f"TrainConfig.{name}={size} is not a multiple of {replicas} replicas; try"
                f" {size // replicas * replicas or replicas}"
            )
    share = train.global_batch_size // replicas
    if 0 < train.micro_batch_size < share and share % train.micro_batch_size:
        divisors = [
            d for d in range(1, share + 1) if share % d == 0 and d <= train.micro_batch_size
        ]
        raise UserError(
            f"TrainConfig.micro_batch_size={train.micro_batch_size} does not divide the"
            f" {share} sequences of a replica (TrainConfig.global_batch_size="
            f"{train.global_batch_size} over {replicas} replicas); try {divisors[-1]}"
        )


def describe(config: RunConfig, manifest: Manifest | None, data_dir: str) -> str:
    """The resolved configuration, and what it amounts to, for people."""
    lines = []
    for part in dataclasses.fields(config):
        instance = getattr(config, part.name)
        lines.append(type(instance).__name__)
        lines += [f"  {name} = {value!r}" for name, value in dataclasses.asdict(instance).items()]
    sequences = config.train.train_steps * config.train.global_batch_size
    optimizer = config.optimizer
    lines += [
        "Run",
        f"  {config.train.train_steps:,} updates of {config.train.global_batch_size:,} sequences:"
        f" {sequences:,} sequences",
        f"  learning rate {optimizer.peak_learning_rate:g} reached at update"
        f" {max(optimizer.warmup_steps, 1):,}, then down to {optimizer.end_learning_rate:g}",
    ]
    if manifest:
        unique = manifest.num_sequences("train")
        passes = sequences / unique
        copies = manifest.config.copies
        distinct = copies if copies else math.ceil(passes)
        lines += [
            f"Data {data_dir} (manifest {manifest.sha256[:8]})",
            f"  {unique:,} training sequences of {manifest.config.max_seq_length} tokens:"
            f" {passes:.1f} passes, each of {distinct} masked copies seen"
            f" {passes / distinct:.1f} times",
            f"  {manifest.num_sequences('eval'):,} held-out sequences",
        ]
    return "\n".join(lines)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Baseline:
    """What always guessing one piece scores on the held-out predictions."""

    piece: str
    accuracy: float


def most_frequent_baseline(reader, vocab: Vocab) -> Baseline:
    """The best constant guess: the most frequent label among the held-out predictions."""
    import tensorflow as tf

    counts = np.zeros(len(vocab), np.int64)
    for start in range(0, reader.num_sequences, 256):
        index = tf.range(start, min(start + 256, reader.num_sequences), dtype=tf.int64)
        features = reader.read(index, tf.zeros_like(index))
        labels = features["masked_lm_ids"].numpy()[features["masked_lm_weights"].numpy() > 0]
        counts += np.bincount(labels, minlength=len(vocab))
    best = int(counts.argmax())
    return Baseline(piece=vocab.pieces[best], accuracy=counts[best] / counts.sum())


class Experiment:
    """A run in its model directory."""

    def __init__(self, config: RunConfig, *, data_dir: str, model_dir: str, record: bool):
        """Checks everything that can be checked before the model is built.

        Args:
          config: as bound by gin.
          data_dir: a build.
          model_dir: new, or of the same run.
          record: write the settings into the model directory; not for a look at a finished run.

        Raises:
          UserError: with the setting or file that is wrong and the way out.
        """
        from data.input_pipeline import SplitReader
        from launch.strategy import build_strategy, is_chief
        from pretrain.checkpoint import Checkpoints
        from pretrain.model_dir import check_model_dir, record_run
        from pretrain.trainer import Trainer

        self._manifest = Manifest.load(data_dir)
        self._config = resolve(config, self._manifest)
        self._strategy = build_strategy(config.cluster)
        check(self._config, replicas=self._strategy.num_replicas_in_sync)
        masks = self._config.input.masks
        self._train_reader = SplitReader(data_dir, self._manifest, "train", masks)
        self._eval_reader = None
        if self._manifest.num_sequences("eval"):
            self._eval_reader = SplitReader(data_dir, self._manifest, "eval", masks)
        self._vocab = Vocab.load(Path(data_dir, schema.VOCAB_FILE))
        self._trainer = Trainer(self._config, self._strategy)
        self._is_chief = is_chief(self._strategy)
        check_model_dir(model_dir, self._config, self._manifest)
        if record and self._is_chief:
            record_run(model_dir, self._config, data_dir, self._manifest)
        self._model_dir = model_dir
        self._checkpoints = Checkpoints(
            model_dir,
            model=self._trainer.model,
            optimizer=self._trainer.optimizer,
            keep=self._config.train.keep_checkpoints,
            is_chief=self._is_chief,
        )
        self._start_step = self._checkpoints.restore_latest() or 0
        self._trainer.start_at(self._start_step)

    def train(self, *, evaluate: bool) -> bool:
        """Trains from the newest checkpoint, or from the start, to train_steps.

        Args:
          evaluate: on held-out text at every eval_interval and at the end, if there is any.

        Returns:
          Whether there was anything left to train.
        """
        from data.input_pipeline import training_batches
        from pretrain.progress import Progress, SilentProgress

        train = self._config.train
        if self._start_step >= train.train_steps:
            print(f"pretraining: {self._model_dir} is trained already ({self._start_step:,} steps)")
            return False
        if self._start_step:
            print(f"pretraining: going on from step {self._start_step:,}")
        batches = training_batches(
            self._train_reader,
            self._config.input,
            seed=train.seed,
            global_batch_size=train.global_batch_size,
            start_step=self._start_step,
        )
        iterator = iter(self._strategy.distribute_datasets_from_function(batches))
        progress = SilentProgress()
        if self._is_chief:
            progress = Progress(
                self._model_dir, start_step=self._start_step, train_steps=train.train_steps
            )
        evaluate = evaluate and self._eval_reader is not None
        try:
            step = self._start_step
            window = _Window()
            while step < train.train_steps:
                num_steps = self._steps_until_next_event(step)
                metrics = self._trainer.train(iterator, num_steps)
                self._refuse_non_finite(metrics, step, step + num_steps)
                window.add(metrics, num_steps)
                step += num_steps
                at_end = step == train.train_steps
                if at_end or step % train.log_interval == 0:
                    progress.training_row(step, self._training_row(window))
                    window = _Window()
                if at_end or _is_due(step, train.checkpoint_interval):
                    self._checkpoints.save(step)
                if evaluate and (at_end or _is_due(step, train.eval_interval)):
                    progress.evaluation_row(step, *self.evaluation())
                window.restart_clock()
        finally:
            progress.close()
        return True

    def evaluation(self) -> tuple[dict[str, float], str]:
        """Metrics on the held-out split, as a row and as a line for people.

        Raises:
          UserError: the data has no held-out split.
        """
        from data.input_pipeline import evaluation_batches

        if self._eval_reader is None:
            raise UserError(
                "the data has no held-out split (BuildConfig.eval_fraction=0): nothing to evaluate on"
            )
        dataset, num_steps = evaluation_batches(
            self._eval_reader,
            self._config.input,
            global_batch_size=self._config.train.eval_batch_size,
        )
        iterator = iter(self._strategy.distribute_datasets_from_function(dataset))
        metrics = self._trainer.evaluate(iterator, num_steps)
        baseline = self._baseline
        row = {
            "eval_loss": metrics.loss,
            "eval_perplexity": math.exp(min(metrics.loss, 700)),
            "eval_mlm_accuracy": metrics.mlm_accuracy,
            "eval_baseline_accuracy": baseline.accuracy,
        }
        line = (
            f"held-out: loss {metrics.loss:.3f}, MLM accuracy {metrics.mlm_accuracy:.2%}"
            f" on {metrics.predictions:,} predictions"
            f" (always guessing {baseline.piece!r}: {baseline.accuracy:.2%})"
        )
        return row, line

    @property
    def step(self) -> int:
        """Updates made so far."""
        return self._trainer.step

    @property
    def has_eval_split(self) -> bool:
        """Whether the data has held-out text."""
        return self._eval_reader is not None

    @functools.cached_property
    def _baseline(self) -> Baseline:
        return most_frequent_baseline(self._eval_reader, self._vocab)

    def _refuse_non_finite(self, metrics, start: int, stop: int) -> None:
        for name in ("loss", "grad_norm"):
            value = getattr(metrics, name)
            if not math.isfinite(value):
                raise UserError(
                    f"{name} is {value} in steps {start + 1:,} to {stop:,}; the newest checkpoint in"
                    f" {self._model_dir} is from before. Lower OptimizerConfig.peak_learning_rate or"
                    " raise OptimizerConfig.warmup_steps"
                )

    def _steps_until_next_event(self, step: int) -> int:
        train = self._config.train
        intervals = (train.log_interval, train.eval_interval, train.checkpoint_interval)
        distances = [interval - step % interval for interval in intervals if interval]
        return min(*distances, train.steps_per_loop, train.train_steps - step)

    def _training_row(self, window: _Window) -> dict[str, float]:
        ratios = np.array(self._trainer.trust_ratios())
        return {
            **window.means(),
            "learning_rate": self._trainer.learning_rate,
            "trust_ratio_min": float(ratios.min()),
            "trust_ratio_median": float(np.median(ratios)),
            "trust_ratio_max": float(ratios.max()),
            "examples_per_second": window.steps
            * self._config.train.global_batch_size
            / window.seconds,
            "input_wait_fraction": window.input_wait_seconds / window.seconds,
        }


class _Window:
    """Means over the steps between two rows; the clock leaves out evaluation and saving."""

    def __init__(self):
        self.steps, self.seconds, self.input_wait_seconds = 0, 0.0, 0.0
        self._sums = {"loss": 0.0, "mlm_accuracy": 0.0, "grad_norm": 0.0}
        self.restart_clock()

    def restart_clock(self) -> None:
        self._started = time.monotonic()

    def add(self, metrics, num_steps: int) -> None:
        self.steps += num_steps
        self.seconds += time.monotonic() - self._started
        self.input_wait_seconds += metrics.input_wait_seconds
        for name in self._sums:
            self._sums[name] += getattr(metrics, name) * num_steps
        self.restart_clock()

    def means(self) -> dict[str, float]:
        return {name: float(total / self.steps) for name, total in self._sums.items()}


def _is_due(step: int, interval: int) -> bool:
    return interval > 0 and step % interval == 0
