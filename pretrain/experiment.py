"""Wires a run: data, strategy, trainer, checkpoints, evaluation."""

from __future__ import annotations

import contextlib
import functools
import math
import time

import numpy as np

from data.errors import UserError
from data.manifest import Manifest
from model.flops import training_flops
from pretrain.config import RunConfig
from pretrain.recipe import check, check_variables, describe, resolve


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
        from launch.peaks import peak_flops_per_second
        from launch.strategy import build_strategy, is_chief
        from pretrain.checkpoint import Checkpoints
        from pretrain.initial import Initial, start_from
        from pretrain.model_dir import check_model_dir, record_run
        from pretrain.trainer import Trainer

        self._manifest = Manifest.load(data_dir)
        initial = Initial.load(model_dir)
        if initial is not None:
            initial.check_data(self._manifest)
        self._config = resolve(config, self._manifest)
        if initial is not None:
            initial.check_encoder(self._config.encoder)
        self._strategy = build_strategy(config.cluster)
        self._peak = peak_flops_per_second(self._strategy)
        check(self._config, replicas=self._strategy.num_replicas_in_sync)
        masks = self._config.input.masks
        self._train_reader = SplitReader(data_dir, self._manifest, "train", masks)
        self._eval_reader = None
        if self._manifest.num_sequences("eval"):
            self._eval_reader = SplitReader(data_dir, self._manifest, "eval", masks)
        self._trainer = Trainer(self._config, self._strategy)
        check_variables(self._config.optimizer, [v.name for v in self._trainer.variables])
        self._is_chief = is_chief(self._strategy)
        check_model_dir(model_dir, self._config, self._manifest)
        if record and self._is_chief:
            record_run(model_dir, self._config, data_dir, self._manifest)
        self._data_dir, self._model_dir = data_dir, model_dir
        self._checkpoints = Checkpoints(
            model_dir,
            model=self._trainer.model,
            optimizer=self._trainer.optimizer,
            keep=self._config.train.keep_checkpoints,
            is_chief=self._is_chief,
        )
        self._start_step = self._checkpoints.restore_latest() or 0
        if initial is not None and not self._start_step:
            started = start_from(initial, self._trainer.model)
            if self._is_chief:
                print(started, flush=True)
        self._trainer.require_same_step()

    def print_recipe(self) -> None:
        """Says what the run amounts to; on the chief only."""
        if self._is_chief:
            recipe = describe(
                self._config,
                self._manifest,
                trained=[variable.name for variable in self._trainer.variables],
                replicas=self._strategy.num_replicas_in_sync,
            )
            print(recipe, flush=True)

    def train(self, *, evaluate: bool) -> bool:
        """Trains from the newest checkpoint, or from the start, to train_steps.

        Args:
          evaluate: on held-out text at every eval_interval and at the end, if there is any.

        Returns:
          Whether there was anything left to train.
        """
        from data.input_pipeline import training_batches

        train = self._config.train
        evaluate = evaluate and self._eval_reader is not None
        if self._start_step >= train.train_steps:
            print(f"pretraining: {self._model_dir} is trained already ({self._start_step:,} steps)")
            if evaluate and not self._evaluated(self._start_step):
                with contextlib.closing(self._progress()) as progress:
                    progress.evaluation_row(self._start_step, *self.evaluation())
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
        with contextlib.closing(self._progress()) as progress:
            step = self._start_step
            if evaluate and step and self._is_evaluation_due(step) and not self._evaluated(step):
                # The run was stopped between saving and evaluating.
                progress.evaluation_row(step, *self.evaluation())
            window = _Window()
            while step < train.train_steps:
                num_steps = self._steps_until_next_event(step)
                with self._train_reader.own_errors():
                    metrics = self._trainer.train(iterator, num_steps)
                self._refuse_non_finite(metrics, step, step + num_steps)
                window.add(metrics, num_steps)
                step += num_steps
                at_end = step == train.train_steps
                if at_end or step % train.log_interval == 0:
                    progress.training_row(step, self._training_row(window))
                    window = _Window()
                evaluates = evaluate and self._is_evaluation_due(step)
                # What is evaluated is saved: it may be the best.
                if at_end or evaluates or _is_due(step, train.checkpoint_interval):
                    self._checkpoints.save(step)
                if evaluates:
                    progress.evaluation_row(step, *self.evaluation())
                window.restart_clock()
        return True

    def evaluation(self) -> tuple[dict[str, float], str]:
        """Metrics on the held-out split, as a row and as lines for people.

        Raises:
          UserError: the data has no held-out split.
        """
        from data.input_pipeline import evaluation_batches
        from pretrain.evaluation import evaluation_row

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
        with self._eval_reader.own_errors():
            sums = self._trainer.evaluate(iterator, num_steps)
        return evaluation_row(sums, self._held_out)

    @property
    def step(self) -> int:
        """Updates made so far."""
        return self._trainer.step

    @property
    def has_eval_split(self) -> bool:
        """Whether the data has held-out text."""
        return self._eval_reader is not None

    @functools.cached_property
    def _held_out(self):
        from pretrain.evaluation import read_held_out

        return read_held_out(self._data_dir, self._manifest, self._eval_reader)

    def _progress(self):
        from pretrain.progress import Progress, SilentProgress

        if not self._is_chief:
            return SilentProgress()
        return Progress(
            self._model_dir,
            start_step=self._start_step,
            train_steps=self._config.train.train_steps,
            wandb=self._wandb(),
        )

    def _wandb(self):
        from pretrain.progress import WandB

        project = self._config.train.wandb_project
        return WandB(project, self._model_dir, self._config) if project else None

    def _is_evaluation_due(self, step: int) -> bool:
        train = self._config.train
        return step == train.train_steps or _is_due(step, train.eval_interval)

    def _evaluated(self, step: int) -> bool:
        from pretrain.progress import read_metrics

        rows = read_metrics(self._model_dir)
        return any(row["step"] == step and "eval_loss" in row for row in rows)

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

    def _training_row(self, window: _Window) -> dict:
        ratios = self._trainer.trust_ratios()
        return {
            **window.means(),
            "learning_rate": self._trainer.learning_rate,
            **_spread("trust_ratio", list(ratios.values())),
            **self._speed(window.steps * self._config.train.global_batch_size / window.seconds),
            "input_wait_fraction": window.input_wait_seconds / window.seconds,
            **({"trust_ratios": ratios} if ratios else {}),
        }

    def _speed(self, examples_per_second: float) -> dict[str, float]:
        """In sequences, in positions, and as a share of what the devices could do, if known."""
        build = self._manifest.config
        flops = training_flops(
            self._config.encoder,
            seq_length=build.max_seq_length,
            max_predictions=build.max_predictions,
        )
        speed = {
            "examples_per_second": examples_per_second,
            "tokens_per_second": examples_per_second * build.max_seq_length,
        }
        if self._peak:
            speed["peak_share"] = examples_per_second * flops / self._peak
        return speed


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


def _spread(name: str, values: list[float]) -> dict[str, float]:
    if not values:
        return {}
    functions = {"min": np.min, "median": np.median, "max": np.max}
    return {f"{name}_{key}": float(function(values)) for key, function in functions.items()}


def _is_due(step: int, interval: int) -> bool:
    return interval > 0 and step % interval == 0
