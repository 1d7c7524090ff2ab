"""Wires a run: data, strategy, trainer, checkpoints, evaluation."""

from __future__ import annotations

import contextlib
import functools

import tensorflow as tf

from data.errors import UserError
from data.manifest import Manifest
from data.read.input_pipeline import evaluation_batches, require_on_hosts, training_batches
from data.read.split_reader import SplitReader
from launch.accelerators.peak_flops import peak_flops_per_second
from launch.strategy import build_strategy, is_chief, remote_hosts
from model.flops import training_flops
from model.mlm import Pretrainer
from pretrain.checkpoints.warm_start import WarmStart, start_from
from pretrain.config import RunConfig
from pretrain.provenance import describe_data, identify_run
from pretrain.recipe import describe, resolve
from pretrain.report.pages import write_run_report
from pretrain.train.evaluation import evaluation_row, read_held_out
from pretrain.train.metrics import Window
from pretrain.train.recipe import check_settings, check_variables
from pretrain.train.session import Session, training_row
from pretrain.train.trainer import COMPUTE_TYPES, Trainer


class Experiment:
    """A run in its model directory: a context, in which the directory is in use."""

    def __init__(
        self,
        config: RunConfig,
        *,
        data_dir: str,
        model_dir: str,
        record: bool,
        discard_checkpoints: bool = False,
    ):
        """Checks everything that can be checked before the model directory is looked at.

        Args:
          config: as bound by gin.
          data_dir: a build.
          model_dir: new, or of the same run.
          record: the run may write into the model directory; not for a look at a finished run.
          discard_checkpoints: start at step 0, whatever is there.

        Raises:
          UserError: with the setting or file that is wrong and the way out.
        """
        self._manifest = Manifest.load(data_dir)
        self._warm_start = WarmStart.load(model_dir)
        if self._warm_start is not None:
            self._warm_start.check_data(self._manifest)
        self._config = resolve(config, self._manifest)
        if self._warm_start is not None:
            self._warm_start.check_encoder(self._config.encoder)
        self._strategy = build_strategy(config.cluster)
        self._peak = peak_flops_per_second(self._strategy)
        replicas = self._strategy.num_replicas_in_sync
        check_settings(self._config.train, self._config.optimizer, replicas=replicas)
        require_on_hosts(data_dir, self._manifest, remote_hosts(self._strategy))
        masks = self._config.input.masks
        self._train_reader = SplitReader(data_dir, self._manifest, "train", masks)
        self._eval_reader = None
        if self._manifest.num_sequences("eval"):
            self._eval_reader = SplitReader(data_dir, self._manifest, "eval", masks)
        self._trainer = build_trainer(self._config, self._strategy)
        check_variables(self._config.optimizer, [v.name for v in self._trainer.variables])
        self._is_chief = is_chief(self._strategy)
        self._data_dir, self._model_dir = data_dir, model_dir
        self._session = Session(
            identify_run(model_dir, self._config, self._manifest),
            model_dir=model_dir,
            trainer=self._trainer,
            is_chief=self._is_chief,
            vocab_text=self._manifest.load_vocab(data_dir).text,
            data=describe_data(self._manifest),
            write_report=write_run_report,
            record=record,
            discard_checkpoints=discard_checkpoints,
        )

    def __enter__(self) -> Experiment:
        """Restores the newest checkpoint; raises what `Session` raises."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._session)
            if self._warm_start is not None and not self._session.start_step:
                self._say(start_from(self._warm_start, self._trainer.model))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception) -> None:
        """Lets go of the model directory."""
        self._stack.close()

    def print_recipe(self) -> None:
        """Says what the run amounts to."""
        recipe = describe(
            self._config,
            self._manifest,
            trained=[variable.name for variable in self._trainer.variables],
            replicas=self._strategy.num_replicas_in_sync,
        )
        self._say(recipe)

    def train(self, *, evaluate: bool) -> bool:
        """Trains from the newest checkpoint, or from the start, to train_steps.

        Args:
          evaluate: on held-out text at every eval_interval and at the end, if there is any.

        Returns:
          Whether there was anything left to train.

        Raises:
          Preempted: the machine is needed for something else; all is saved.
          UserError: too many bad steps, a save that failed, or data that are damaged or were
            exchanged.
        """
        train, start_step = self._config.train, self._session.start_step
        if start_step >= train.train_steps:
            print(f"pretraining: {self._model_dir} is trained already ({start_step:,} steps)")
        elif start_step:
            print(f"pretraining: going on from step {start_step:,}")
        batches = training_batches(
            self._train_reader,
            self._config.input,
            seed=train.seed,
            global_batch_size=train.global_batch_size,
            start_step=start_step,
        )
        return self._session.train(
            self,
            batches,
            num_sequences=self._train_reader.num_sequences,
            evaluation=self.evaluation if evaluate and self._eval_reader is not None else None,
        )

    def reraise_reader_errors(self):
        """See `loop.Host`."""
        return self._train_reader.reraise_reader_errors()

    def check_data(self) -> None:
        """See `loop.Host`."""
        self._manifest.require_unchanged(self._data_dir)

    def training_row(self, window: Window) -> dict:
        """See `loop.Host`."""
        batch_size = self._config.train.global_batch_size
        row = training_row(self._trainer, window, global_batch_size=batch_size)
        return {**row, **self._speed(row["examples_per_second"])}

    def evaluation(self) -> tuple[dict[str, float], str]:
        """Metrics on the held-out split, as a row and as lines for people.

        Raises:
          UserError: the data has no held-out split.
        """
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
        with self._eval_reader.reraise_reader_errors():
            sums = self._trainer.evaluate(iterator, num_steps)
        return evaluation_row(sums, self._held_out)

    @property
    def step(self) -> int:
        """Updates made so far."""
        return self._trainer.step

    @property
    def is_multi_worker(self) -> bool:
        """Whether other processes take part."""
        return self._trainer.is_multi_worker

    @property
    def has_eval_split(self) -> bool:
        """Whether the data has held-out text."""
        return self._eval_reader is not None

    @functools.cached_property
    def _held_out(self):
        return read_held_out(self._data_dir, self._manifest, self._eval_reader)

    def _say(self, text: str) -> None:
        if self._is_chief:
            print(text, flush=True)

    def _speed(self, examples_per_second: float) -> dict[str, float]:
        """In positions, and as a share of what the devices could do, if that is known."""
        build = self._manifest.config
        flops = training_flops(
            self._config.encoder,
            seq_length=build.max_seq_length,
            max_predictions=build.max_predictions,
        )
        speed = {"tokens_per_second": examples_per_second * build.max_seq_length}
        if self._peak:
            speed["peak_share"] = examples_per_second * flops / self._peak
        return speed


def build_trainer(config: RunConfig, strategy: tf.distribute.Strategy) -> Trainer:
    """For a checked configuration of pretraining whose vocab_size is known."""
    train = config.train

    def build_model() -> Pretrainer:
        return Pretrainer(
            config.encoder,
            seed=train.seed,
            dtype=COMPUTE_TYPES[train.precision],
            rematerialize_blocks=train.rematerialize_blocks,
            logits_chunk_size=train.logits_chunk_size,
        )

    return Trainer(build_model, train=train, optimizer=config.optimizer, strategy=strategy)
