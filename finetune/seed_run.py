"""One run of fine-tuning, with one seed, in its model directory; and what it scored."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable

import numpy as np

from data import files
from data.errors import UserError
from finetune.collapse import Collapse, Collapsed, CollapseWatch
from finetune.config import FinetuneRunConfig
from finetune.seed_record import METRICS_FILE, PREDICTIONS
from finetune.source import Source
from finetune.tasks.task import INPUTS, TARGETS, Split, Task
from pretrain.checkpoints.best import Criterion
from pretrain.checkpoints.model_dir import Run, identity
from pretrain.train.bad_steps import TooManyBadSteps
from pretrain.train.metrics_log import read_metrics


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskData:
    """A task with its splits, "train" and "dev" among them."""

    task: Task
    splits: dict[str, Split]

    @classmethod
    def load(cls, task: Task, task_data_dir: str) -> TaskData:
        """Reads what is there; raises a UserError if that is not enough to train and to compare."""
        found = {name: task.load(task_data_dir, name) for name in task.splits}
        splits = {name: split for name, split in found.items() if split is not None}
        if not splits.get("dev") or not splits["dev"].is_labelled:
            raise UserError(
                f"--task_data {task_data_dir} has no labelled dev split, by which checkpoints and seeds"
                " are compared; hold out some examples, for files of your own in TaskConfig.dev_file"
            )
        return cls(task=task, splits=splits)

    @functools.cached_property
    def sha256(self) -> str:
        """Of all that training and the choice of checkpoints depend on."""
        return self._sha256_of("train", "dev")

    @functools.cached_property
    def splits_sha256(self) -> str:
        """Of all that the scores and predictions of a trained model depend on."""
        return self._sha256_of(*self.splits)

    def _sha256_of(self, *splits: str) -> str:
        digest = hashlib.sha256(json.dumps([self.task.kind, *self.task.labels]).encode())
        for split in splits:
            for name, values in sorted(self.splits[split].features.items()):
                digest.update(f"{split}/{name}".encode())
                digest.update(np.ascontiguousarray(values).data)
        return digest.hexdigest()

    @functools.cached_property
    def description(self) -> dict:
        """What the data are, for whoever has the run and not the data."""
        return {
            "task": self.task.name,
            "kind": self.task.kind,
            "labels": list(self.task.labels),
            "has_pair": bool(np.any(self.splits["train"].features["input_type_ids"])),
            "main_metric": self.task.main_metric,
            "sha256": self.sha256,
            "majority_entropy": self.task.majority_entropy(self.splits["train"]),
            "splits": {
                name: {
                    "sequences": len(split),
                    "labelled": split.is_labelled,
                    "skipped": [dataclasses.asdict(skip) for skip in split.skipped],
                    "notes": split.notes,
                }
                for name, split in self.splits.items()
            },
            "baseline": {
                name: self.task.baseline(split)
                for name, split in self.splits.items()
                if split.is_labelled and name != "train"
            },
        }

    def training_features(self) -> dict[str, np.ndarray]:
        """What the model is given to learn from."""
        features = self.splits["train"].features
        return {name: features[name] for name in (*INPUTS, *TARGETS[self.task.kind])}


class SeedRun:
    """Trains, tells collapse, evaluates the best checkpoint and writes what came out."""

    def __init__(
        self,
        config: FinetuneRunConfig,
        data: TaskData,
        source: Source,
        *,
        strategy,
        model_dir: str,
        write_report: Callable[[str], None],
        discard_checkpoints: bool = False,
    ):
        """Makes the model, and gives it the weights it starts from.

        Args:
          config: resolved and checked.
          data: of the task.
          source: the encoder.
          strategy: the devices.
          model_dir: of this seed.
          write_report: writes the page of a model directory.
          discard_checkpoints: start at step 0, whatever is there.
        """
        from launch.strategy import is_chief
        from pretrain.train.session import Session

        self._config, self._data, self.model_dir = config, data, model_dir
        self._write_report = write_report
        self._task, self._is_chief = data.task, is_chief(strategy)
        self._criterion = Criterion(metric=f"eval_{self._task.main_metric}", is_more_better=True)
        self._trainer = _build_trainer(config, data.task, strategy)
        self._start_from(source)
        self._run = _as_run(config, data, source)
        self._session = Session(
            self._run,
            model_dir=model_dir,
            trainer=self._trainer,
            is_chief=self._is_chief,
            vocab_text=source.vocab.text,
            data={**data.description, "encoder": source.description},
            discard_checkpoints=discard_checkpoints,
            criterion=self._criterion,
            write_report=write_report,
        )

    def run(self) -> dict:
        """Trains to the end, or until the run is given up, and writes metrics.json and predictions.

        Returns:
          The content of metrics.json.

        Raises:
          Preempted: all is saved; a later start goes on.
          UserError: see `Session`.
        """
        with self._session:
            if self._is_chief:
                files.remove(files.join(self.model_dir, METRICS_FILE))  # of other settings
                files.remove_tree(files.join(self.model_dir, PREDICTIONS))
            collapse = self._train()
            record = self._record(collapse)
            if self._is_chief:
                text = json.dumps(record, indent=1)
                files.write_atomically(files.join(self.model_dir, METRICS_FILE), text.encode())
                self._write_report(self.model_dir)
            return record

    def _train(self) -> Collapse | None:
        from finetune.batches import training_batches

        train, start_step = self._config.train, self._session.start_step
        rows = [row for row in read_metrics(self.model_dir) if row["step"] <= start_step]
        watch = CollapseWatch(
            self._config.finetune,
            train,
            least_loss=self._task.majority_entropy(self._data.splits["train"]),
            rows=rows,
        )
        features = self._data.training_features()
        batches = training_batches(
            features,
            seed=train.seed,
            global_batch_size=train.global_batch_size,
            start_step=start_step,
        )
        try:
            self._session.train(
                self,
                batches,
                num_sequences=len(self._data.splits["train"]),
                evaluation=self.evaluation,
                watch=watch,
            )
        except Collapsed as collapsed:
            return collapsed.collapse
        except TooManyBadSteps as error:
            return Collapse(step=self._trainer.step, reason=str(error))
        return watch.verdict()

    def _record(self, collapse: Collapse | None) -> dict:
        """Scores of the best checkpoint, or of the weights with which a run was given up."""
        record = {
            **_settings(self._run, self._data),
            "seed": self._config.train.seed,
            "step": self._trainer.step,
            "main_metric": self._task.main_metric,
            "collapse": collapse and dataclasses.asdict(collapse),
        }
        if self._trainer.step < self._config.train.train_steps:
            return {**record, "splits": {"dev": self._scores("dev", self._outputs("dev"))}}
        record["step"] = self._restore_best()
        splits = self._score_and_predict()
        if collapse and self._has_learned(splits["dev"]):
            record["collapse"] = None  # slow, or undone later: the best checkpoint is sound
        return {**record, "splits": splits}

    def _has_learned(self, scores: dict[str, float]) -> bool:
        """Whether dev scores are better than those of always giving the same answer."""
        metric, dev = self._task.main_metric, self._data.splits["dev"]
        if "loss" in scores and scores["loss"] >= self._task.majority_entropy(dev):
            return False  # a score may be higher by chance, as a correlation of next to nothing
        return scores[metric] > self._task.baseline(dev)[metric]

    def _score_and_predict(self) -> dict[str, dict[str, float]]:
        """Scores on all labelled splits but "train", by split; writes predictions for all of them."""
        splits = {}
        for name, split in self._data.splits.items():
            if name == "train":
                continue
            outputs = self._outputs(name)
            if split.is_labelled:
                splits[name] = self._scores(name, outputs)
            if self._is_chief:
                self._task.write_predictions(
                    outputs,
                    split,
                    files.join(self.model_dir, PREDICTIONS, name),
                    null_threshold=splits["dev"].get("null_threshold", 0.0),
                )
        return splits

    def _restore_best(self) -> int:
        """Restores the checkpoint that did best on dev; returns its step."""
        import tensorflow as tf

        from pretrain.checkpoints import checkpoint
        from pretrain.checkpoints.best import best_step

        self._trainer.any_worker(False)  # the chief has written down which one is the best
        step = best_step(self.model_dir)
        ref = checkpoint.choose(self.model_dir, "latest" if step is None else str(step))
        checkpoint.verify(ref)
        checkpoint.read(tf.train.Checkpoint(**self._trainer.model.checkpoint_items), ref)
        return ref.step

    def reraise_reader_errors(self):
        """See `loop.Host`: arrays in memory have none."""
        return contextlib.nullcontext()

    def check_data(self) -> None:
        """See `loop.Host`: arrays in memory stay what they are."""

    def training_row(self, window) -> dict:
        """See `loop.Host`."""
        from pretrain.train.session import training_row

        row = training_row(
            self._trainer,
            window,
            global_batch_size=self._config.train.global_batch_size,
            accuracy="accuracy",
        )
        if self._task.kind == "regression":
            del row["accuracy"]
        speed = row["examples_per_second"] * self._config.task.max_seq_length
        return {**row, "tokens_per_second": speed}

    def evaluation(self) -> tuple[dict[str, float], str]:
        """Scores on the dev split, as a row of metrics.jsonl and as a line for people."""
        scores = self._scores("dev", self._outputs("dev"))
        return {
            f"eval_{name}": value for name, value in scores.items()
        }, f"dev: {score_text(scores)}"

    def _scores(self, split: str, outputs: np.ndarray) -> dict[str, float]:
        from finetune.model import mean_loss

        found = self._data.splits[split]
        scores = self._task.metrics(outputs, found)
        if set(TARGETS[self._task.kind]) <= found.features.keys():
            scores["loss"] = mean_loss(self._task.kind, outputs, found.features)
        return scores

    def _outputs(self, split: str) -> np.ndarray:
        """Of the model, for every sequence of a split."""
        from finetune.batches import evaluation_batches

        found = self._data.splits[split]
        dataset, num_steps = evaluation_batches(
            {name: found.features[name] for name in INPUTS},
            global_batch_size=self._config.train.eval_batch_size,
        )
        iterator = iter(self._trainer.strategy.distribute_datasets_from_function(dataset))
        return self._trainer.evaluate(iterator, num_steps)[: len(found)]

    def _start_from(self, source: Source) -> None:
        from finetune.recipe import starting_weights
        from model.weights import assign

        ours = {variable.name.partition(":")[0] for variable in self._trainer.variables}
        names = starting_weights(self._config, [name for name in source.values if name in ours])
        assign(self._trainer.model, {name: source.values[name] for name in names})


def finished(
    config: FinetuneRunConfig, data: TaskData, source: Source, *, model_dir: str
) -> dict | None:
    """What `SeedRun.run` has returned at an earlier start, with the same settings; None if it has not."""
    path = files.join(model_dir, METRICS_FILE)
    if not files.exists(path):
        return None
    try:
        record = json.loads(files.read_bytes(path))
        is_same = _settings(_as_run(config, data, source), data).items() <= record.items()
    except (ValueError, AttributeError) as error:
        raise UserError(f"{path} is damaged: {error}; delete it") from error
    return record if is_same else None


def _as_run(config: FinetuneRunConfig, data: TaskData, source: Source) -> Run:
    is_random = config.finetune.initialize == "random"
    return Run(
        config=config,
        data_sha256=data.sha256,
        lower_case=source.lower_case,
        initial_sha256=None if is_random else source.sha256,
    )


def _settings(run: Run, data: TaskData) -> dict:
    """What decides the result of a run, how answers are read off its outputs included."""
    return {
        **identity(run),
        "splits_sha256": data.splits_sha256,
        "train_steps": run.config.train.train_steps,
        "finetune": dataclasses.asdict(run.config.finetune),
        "max_answer_length": run.config.task.max_answer_length,
        "n_best_size": run.config.task.n_best_size,
    }


def score_text(scores: dict[str, float]) -> str:
    """Scores for people."""
    return ", ".join(f"{name} {value:.4f}" for name, value in scores.items())


def _build_trainer(config: FinetuneRunConfig, task: Task, strategy):
    from finetune.model import Finetuner
    from pretrain.train.trainer import COMPUTE_TYPES, Trainer

    train = config.train

    def build_model() -> Finetuner:
        return Finetuner(
            config.encoder,
            kind=task.kind,
            num_outputs=task.num_outputs,
            seed=train.seed,
            dtype=COMPUTE_TYPES[train.precision],
            rematerialize_blocks=train.rematerialize_blocks,
        )

    return Trainer(build_model, train=train, optimizer=config.optimizer, strategy=strategy)
