"""Assemble a pretraining run from data, devices, trainer, checkpoints and evaluation."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from absl import logging

from data.errors import UserError
from data.manifest import Manifest
from data.read.input_pipeline import (
    choose_reader,
    evaluation_batches,
    require_on_hosts,
    training_batches,
)
from data.read.split_reader import SplitReader
from launch.accelerators.device_memory import device_memory
from launch.accelerators.peak_flops import peak_flops_per_second
from launch.strategy import build_strategy, device_kind, is_chief, remote_hosts
from model.flops import training_flops
from model.mlm import Pretrainer
from optim.collectives import Collectives
from pretrain.checkpoints.warm_start import WarmStart, start_from
from pretrain.config import RunConfig
from pretrain.provenance import describe_data, identify_run
from pretrain.recipe import check_memory, describe, resolve
from pretrain.report.pages import write_run_report
from pretrain.train.evaluation import HeldOut, evaluation_row, read_held_out
from pretrain.train.loop import Hook, fit
from pretrain.train.metrics import Workload
from pretrain.train.preemption import PreemptionNotice
from pretrain.train.recipe import check_settings, check_variables, choose_kernels
from pretrain.train.session import Session
from pretrain.train.trainer import COMPUTE_TYPES, Trainer


class RequireUnchangedData(Hook):
    """Refuse to save a checkpoint once the build has been replaced under the run."""

    def __init__(self, data_dir: str, manifest: Manifest):
        """Remember the build that the run started with."""
        self._data_dir, self._manifest = data_dir, manifest

    def before_save(self, step: int) -> None:
        """Raise a UserError if the manifest on disk is not the run's."""
        self._manifest.require_unchanged(self._data_dir)


class Experiment:
    """A pretraining run. As a context it uses its model directory: locked, newest checkpoint restored."""

    def __init__(
        self,
        config: RunConfig,
        *,
        data_dir: str,
        model_dir: str,
        record: bool,
        discard_checkpoints: bool = False,
        hooks: Sequence[Hook] = (),
    ):
        """Check everything that can be checked before the model directory is touched.

        Args:
          config: settings, as bound by gin.
          data_dir: build directory.
          model_dir: a new directory, or the directory of the same run.
          record: whether the run may write into the model directory; False to evaluate only.
          discard_checkpoints: whether to remove existing checkpoints and start at step 0.
          hooks: further code to run between updates, see `pretrain.train.loop.Hook`.

        Raises:
          UserError: a setting or a file is wrong; the message names it and the remedy.
        """
        self._manifest = Manifest.load(data_dir)
        self._warm_start = WarmStart.load(model_dir)
        if self._warm_start is not None:
            self._warm_start.check_data(self._manifest)
        self._config = resolve(config, self._manifest)
        if self._warm_start is not None:
            self._warm_start.check_encoder(self._config.encoder)
        self._strategy = build_strategy(config.cluster)
        self._is_chief = is_chief(self._strategy)
        replicas = self._strategy.num_replicas_in_sync
        check_settings(self._config.train, self._config.optimizer, replicas=replicas)
        length = self._manifest.config.max_seq_length
        kernels = choose_kernels(
            self._config.train,
            self._config.encoder,
            device=device_kind(self._strategy),
            seq_length=length,
        )
        if (memory := device_memory(self._strategy)) is not None:
            check_memory(self._config, seq_length=length, replicas=replicas, memory=memory)
        hosts = remote_hosts(self._strategy)
        self._input = choose_reader(self._config.input, hosts)
        require_on_hosts(data_dir, self._manifest, hosts)
        masks = self._config.input.masks
        self._train_reader = SplitReader(data_dir, self._manifest, "train", masks)
        self._eval_reader = None
        if self._manifest.num_sequences("eval"):
            self._eval_reader = SplitReader(data_dir, self._manifest, "eval", masks)
        self._trainer = build_trainer(self._config, self._strategy, kernels=kernels)
        check_variables(self._config.optimizer, [v.name for v in self._trainer.variables])
        self._data_dir, self._model_dir = data_dir, model_dir
        self._hooks = [RequireUnchangedData(data_dir, self._manifest), *hooks]
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
        """Enter the session (see `Session`), and load imported weights if the run is new."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._session)
            if self._warm_start is not None and not self._session.start_step:
                self._log(start_from(self._warm_start, self._trainer.model))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: Any) -> None:
        """Release the model directory; raise what `Session.__exit__` raises."""
        self._stack.__exit__(*exception)

    def print_recipe(self) -> None:
        """Print what the settings amount to."""
        recipe = describe(
            self._config,
            self._manifest,
            trained=[variable.name for variable in self._trainer.variables],
            replicas=self._strategy.num_replicas_in_sync,
        )
        if self._is_chief:
            print(recipe, flush=True)

    def train(self, *, evaluate: bool) -> bool:
        """Train to train_steps, from the newest checkpoint or from the start.

        Args:
          evaluate: evaluate the held-out split, if there is one, at every eval_interval and at the
            end.

        Returns:
          Whether there was anything to do.

        Raises:
          Preempted: the machine is about to be taken away; everything is saved.
          UserError: too many bad steps, a save failed, or the data is damaged or was replaced.
        """
        session, settings = self._session, self._config.train
        start_step, evaluates = session.start_step, evaluate and self.has_eval_split
        if session.is_trained:
            print(f"pretraining: {self._model_dir} is already trained ({start_step:,} steps)")
        elif start_step:
            logging.info(f"pretraining: resuming at step {start_step:,}")
        if session.is_trained and not (evaluates and session.misses_evaluation):
            return False
        batches = training_batches(
            self._train_reader,
            self._input,
            seed=settings.seed,
            global_batch_size=settings.global_batch_size,
            start_step=start_step,
        )
        with session.recorder() as recorder, PreemptionNotice() as stop:
            fit(
                self._trainer,
                batches,
                settings=settings,
                start_step=start_step,
                accumulator=session.accumulator,
                workload=self._workload(),
                checkpoints=session.checkpoints,
                bad_steps=session.bad_step_log(num_sequences=self._train_reader.num_sequences),
                stop=stop,
                evaluate=self.evaluate if evaluates else None,
                evaluate_first=session.misses_evaluation,
                reraise_reader_errors=self._train_reader.reraise_reader_errors,
                hooks=[*recorder, *self._hooks],
            )
        return not session.is_trained

    def evaluate(self) -> tuple[dict[str, float], str]:
        """Return metrics on the held-out split, as a row of metrics.jsonl and as lines of text.

        Raises:
          UserError: the data has no held-out split, or is damaged.
        """
        if self._eval_reader is None:
            raise UserError(
                "the data has no held-out split (BuildConfig.eval_fraction=0): nothing to evaluate on"
            )
        dataset, num_steps = evaluation_batches(
            self._eval_reader,
            self._input,
            global_batch_size=self._config.train.eval_batch_size,
        )
        iterator = iter(self._strategy.distribute_datasets_from_function(dataset))
        with self._eval_reader.reraise_reader_errors():
            sums = self._trainer.evaluate(iterator, num_steps)
        return evaluation_row(sums, self._held_out)

    @property
    def step(self) -> int:
        """Number of updates so far."""
        return self._trainer.step

    @property
    def is_multi_worker(self) -> bool:
        """Whether other processes take part."""
        return self._trainer.workers.are_several

    @property
    def has_eval_split(self) -> bool:
        """Whether the data has a held-out split."""
        return self._eval_reader is not None

    @functools.cached_property
    def _held_out(self) -> HeldOut:
        assert self._eval_reader is not None, "`evaluate` raises a UserError"
        return read_held_out(self._data_dir, self._manifest, self._eval_reader)

    def _workload(self) -> Workload:
        build = self._manifest.config
        return Workload(
            examples=self._config.train.global_batch_size,
            tokens_per_example=build.max_seq_length,
            flops_per_example=training_flops(
                self._config.encoder,
                seq_length=build.max_seq_length,
                max_predictions=build.max_predictions,
            ),
            peak_flops_per_second=peak_flops_per_second(self._strategy),
        )

    def _log(self, text: str) -> None:
        if self._is_chief:
            logging.info(text)


def build_trainer(
    config: RunConfig,
    strategy: tf.distribute.Strategy,
    *,
    kernels: str | None = None,
    collectives: Collectives | None = None,
) -> Trainer:
    """Return the trainer of a checked configuration whose vocab_size is known.

    Args:
      config: settings.
      strategy: the devices.
      kernels: what `choose_kernels` returns.
      collectives: connects the replicas; None takes those of the strategy.
    """
    train = config.train

    def build_model() -> Pretrainer:
        return Pretrainer(
            config.encoder,
            seed=train.seed,
            dtype=COMPUTE_TYPES[train.precision],
            rematerialize_blocks=train.rematerialize_blocks,
            logits_chunk_size=train.logits_chunk_size,
            kernels=kernels,
        )

    return Trainer(
        build_model,
        train=train,
        optimizer=config.optimizer,
        strategy=strategy,
        collectives=collectives,
    )
