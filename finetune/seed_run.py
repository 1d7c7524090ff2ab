"""One fine-tuning run, with one seed, in its model directory, and its scores."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from data import files
from data.checked_json import read_json
from data.errors import UserError
from finetune.batches import evaluation_batches, training_batches
from finetune.collapse import Collapse, Collapsed, CollapseDetector
from finetune.config import FinetuneRunConfig
from finetune.model import Finetuner, mean_loss
from finetune.pretrained import PretrainedEncoder
from finetune.recipe import choose_kernels, starting_weights
from finetune.seed_files import METRICS_FILE, PREDICTIONS, check_seed
from finetune.tasks.task import INPUTS, TARGETS, Split, Task
from launch.strategy import device_kind, is_chief
from model.weights import assign
from pretrain.checkpoints import catalog, checkpoint
from pretrain.checkpoints.best import Criterion, best_step
from pretrain.checkpoints.model_dir import Run, identity
from pretrain.train.bad_steps import Diverged
from pretrain.train.loop import fit
from pretrain.train.metrics import Workload
from pretrain.train.metrics_log import read_metrics
from pretrain.train.preemption import PreemptionNotice
from pretrain.train.session import Session
from pretrain.train.trainer import COMPUTE_TYPES, Trainer


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskData:
    """A task with its splits, "train" and "dev" among them."""

    task: Task
    splits: dict[str, Split]

    @classmethod
    def load(cls, task: Task, task_data_dir: str) -> TaskData:
        """Read the splits; raise a UserError unless there is a labelled dev split."""
        loaded = {name: task.load(task_data_dir, name) for name in task.splits}
        splits = {name: split for name, split in loaded.items() if split is not None}
        if not splits.get("dev") or not splits["dev"].is_labelled:
            raise UserError(
                f"--task_data {task_data_dir} has no labelled dev split, by which checkpoints and seeds"
                " are compared; for files of your own name one in TaskConfig.dev_file, or set"
                " TaskConfig.dev_fraction to hold out some rows of the training file"
            )
        return cls(task=task, splits=splits)

    @functools.cached_property
    def sha256(self) -> str:
        """Hash of everything that training and the choice of checkpoints depend on."""
        return self._sha256_of("train", "dev")

    @functools.cached_property
    def splits_sha256(self) -> str:
        """Hash of everything that the scores and predictions of a trained model depend on."""
        return self._sha256_of(*self.splits)

    def _sha256_of(self, *splits: str) -> str:
        digest = hashlib.sha256(json.dumps([self.task.kind, *self.task.labels]).encode())
        for split in splits:
            for name, values in sorted(self.splits[split].features.items()):
                digest.update(f"{split}/{name}".encode())
                digest.update(np.ascontiguousarray(values).data)
        return digest.hexdigest()

    @functools.cached_property
    def has_pairs(self) -> bool:
        """Whether there are sequences of two segments."""
        return bool(np.any(self.splits["train"].features["input_type_ids"]))

    @functools.cached_property
    def description(self) -> dict[str, Any]:
        """Summary of the data for data.json, for readers of the run who lack the data."""
        return {
            "task": self.task.name,
            "kind": self.task.kind,
            "labels": list(self.task.labels),
            "has_pair": self.has_pairs,
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
        """Return inputs and targets of the training split."""
        features = self.splits["train"].features
        return {name: features[name] for name in (*INPUTS, *TARGETS[self.task.kind])}


class SeedRun:
    """Train, detect collapse, evaluate the best checkpoint, and write scores and predictions."""

    def __init__(
        self,
        config: FinetuneRunConfig,
        data: TaskData,
        pretrained: PretrainedEncoder,
        *,
        strategy: tf.distribute.Strategy,
        model_dir: str,
        write_report: Callable[[str], None],
        discard_checkpoints: bool = False,
    ):
        """Build the model and load the weights that it starts from.

        Args:
          config: settings, resolved and checked.
          data: task and splits.
          pretrained: encoder that fine-tuning starts from.
          strategy: the devices.
          model_dir: model directory of this seed.
          write_report: writes the report page of a model directory.
          discard_checkpoints: whether to remove existing checkpoints and start at step 0.
        """
        self._config, self._data, self.model_dir = config, data, model_dir
        self._write_report = write_report
        self._task, self._is_chief = data.task, is_chief(strategy)
        self._trainer = _build_trainer(config, data.task, strategy)
        self._load_weights(pretrained)
        self._run = _as_run(config, data, pretrained)
        self._session = Session(
            self._run,
            model_dir=model_dir,
            trainer=self._trainer,
            is_chief=self._is_chief,
            vocab_text=pretrained.vocab.text,
            data={**data.description, "encoder": pretrained.description},
            discard_checkpoints=discard_checkpoints,
            criterion=Criterion(metric=f"eval_{self._task.main_metric}", is_more_better=True),
            write_report=write_report,
        )

    def run(self) -> dict[str, Any]:
        """Train to the end or until the run has collapsed; write metrics.json and predictions.

        Returns:
          The content of metrics.json.

        Raises:
          Preempted: everything is saved; the same command resumes.
          UserError: see `Session` and `fit`.
        """
        with self._session:
            if self._is_chief:
                files.remove(files.join(self.model_dir, METRICS_FILE))  # from other settings
                files.remove_tree(files.join(self.model_dir, PREDICTIONS))
            collapse = self._train()
            record = self._record(collapse)
            if self._is_chief:
                text = json.dumps(record, indent=1)
                files.write_atomically(files.join(self.model_dir, METRICS_FILE), text.encode())
                self._write_report(self.model_dir)
            return record

    def _train(self) -> Collapse | None:
        session, settings = self._session, self._config.train
        train_split, start_step = self._data.splits["train"], session.start_step
        detector = CollapseDetector(
            self._config.finetune,
            settings,
            warmup_steps=self._config.optimizer.warmup_steps,
            constant_loss=self._task.majority_entropy(train_split),
            rows=[row for row in read_metrics(self.model_dir) if row["step"] <= start_step],
        )
        if session.is_trained and not session.misses_evaluation:
            return detector.check()
        batches = training_batches(
            self._data.training_features(),
            seed=settings.seed,
            global_batch_size=settings.global_batch_size,
            start_step=start_step,
        )
        workload = Workload(
            examples=settings.global_batch_size,
            tokens_per_example=self._config.task.max_seq_length,
            accuracy=None if self._task.kind == "regression" else "accuracy",
        )
        try:
            with session.recorder() as recorder, PreemptionNotice() as stop:
                fit(
                    self._trainer,
                    batches,
                    settings=settings,
                    start_step=start_step,
                    accumulator=session.accumulator,
                    workload=workload,
                    checkpoints=session.checkpoints,
                    bad_steps=session.bad_step_log(num_sequences=len(train_split)),
                    stop=stop,
                    evaluate=self._evaluate,
                    evaluate_first=session.misses_evaluation,
                    hooks=[*recorder, detector],
                )
        except Collapsed as collapsed:
            return collapsed.collapse
        except Diverged as error:
            return Collapse(step=self._trainer.step, reason=str(error))
        return detector.check()

    def _record(self, collapse: Collapse | None) -> dict[str, Any]:
        """Return metrics.json: scores of the best checkpoint, or of the last weights if collapsed."""
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
            # It learned late, or diverged late: the best checkpoint is good.
            record["collapse"] = None
        return {**record, "splits": splits}

    def _has_learned(self, scores: dict[str, float]) -> bool:
        """Return whether dev scores are better than those of always giving the same answer."""
        metric, dev = self._task.main_metric, self._data.splits["dev"]
        if "loss" in scores and scores["loss"] >= self._task.majority_entropy(dev):
            return False  # a score may be higher by chance, such as a correlation near 0
        return scores[metric] > self._task.baseline(dev)[metric]

    def _score_and_predict(self) -> dict[str, dict[str, float]]:
        """Write predictions for all splits but "train"; return the scores of the labelled ones."""
        scores = {}
        for name, split in self._data.splits.items():
            if name == "train":
                continue
            outputs = self._outputs(name)
            if split.is_labelled:
                scores[name] = self._scores(name, outputs)
            if self._is_chief:
                self._task.write_predictions(
                    outputs,
                    split,
                    files.join(self.model_dir, PREDICTIONS, name),
                    null_threshold=scores["dev"].get("null_threshold", 0.0),
                )
        return scores

    def _restore_best(self) -> int:
        """Restore the checkpoint that did best on dev, and return its step."""
        self._trainer.workers.any(False)  # wait until the chief has recorded which one is the best
        step = best_step(self.model_dir)
        ref = catalog.choose(self.model_dir, "latest" if step is None else str(step))
        catalog.verify(ref)
        checkpoint.read(tf.train.Checkpoint(**self._trainer.model.checkpoint_items), ref)
        return ref.step

    def _evaluate(self) -> tuple[dict[str, float], str]:
        """Return scores on the dev split, as a row of metrics.jsonl and as a line of text."""
        scores = self._scores("dev", self._outputs("dev"))
        row = {f"eval_{name}": value for name, value in scores.items()}
        return row, f"dev: {score_text(scores)}"

    def _scores(self, split: str, outputs: np.ndarray) -> dict[str, float]:
        data = self._data.splits[split]
        scores = self._task.metrics(outputs, data)
        if set(TARGETS[self._task.kind]) <= data.features.keys():
            scores["loss"] = mean_loss(self._task.kind, outputs, data.features)
        return scores

    def _outputs(self, split: str) -> np.ndarray:
        """Return the outputs of the model for every sequence of a split."""
        data = self._data.splits[split]
        dataset, num_steps = evaluation_batches(
            {name: data.features[name] for name in INPUTS},
            global_batch_size=self._config.train.eval_batch_size,
        )
        iterator = iter(self._trainer.strategy.distribute_datasets_from_function(dataset))
        return self._trainer.evaluate(iterator, num_steps)[: len(data)]

    def _load_weights(self, pretrained: PretrainedEncoder) -> None:
        ours = {variable.name.partition(":")[0] for variable in self._trainer.variables}
        names = starting_weights(self._config, [name for name in pretrained.values if name in ours])
        assign(self._trainer.model, {name: pretrained.values[name] for name in names})


def read_finished(
    config: FinetuneRunConfig, data: TaskData, pretrained: PretrainedEncoder, *, model_dir: str
) -> dict[str, Any] | None:
    """Return what `SeedRun.run` returned earlier with the same settings; None if it did not finish."""
    path = files.join(model_dir, METRICS_FILE)
    if not files.exists(path):
        return None
    record = read_json(path, remedy="delete it")
    settings = _settings(_as_run(config, data, pretrained), data)
    is_same = all(
        name in record and record.fields[name] == value for name, value in settings.items()
    )
    return check_seed(record) if is_same else None


def _as_run(config: FinetuneRunConfig, data: TaskData, pretrained: PretrainedEncoder) -> Run:
    is_random = config.finetune.initialize == "random"
    return Run(
        config=config,
        data_sha256=data.sha256,
        lower_case=pretrained.lower_case,
        initial_sha256=None if is_random else pretrained.sha256,
    )


def _settings(run: Run, data: TaskData) -> dict[str, Any]:
    """Return what decides the result of a run, including how answers are decoded."""
    return {
        **identity(run),
        "splits_sha256": data.splits_sha256,
        "train_steps": run.config.train.train_steps,
        "finetune": dataclasses.asdict(run.config.finetune),
        "max_answer_length": run.config.task.max_answer_length,
        "n_best_size": run.config.task.n_best_size,
    }


def score_text(scores: dict[str, float]) -> str:
    """Return scores as text."""
    return ", ".join(f"{name} {value:.4f}" for name, value in scores.items())


def _build_trainer(
    config: FinetuneRunConfig, task: Task, strategy: tf.distribute.Strategy
) -> Trainer:
    train = config.train

    def build_model() -> Finetuner:
        return Finetuner(
            config.encoder,
            kind=task.kind,
            num_outputs=task.num_outputs,
            seed=train.seed,
            dtype=COMPUTE_TYPES[train.precision],
            rematerialize_blocks=train.rematerialize_blocks,
            kernels=choose_kernels(config, device=device_kind(strategy)),
        )

    return Trainer(build_model, train=train, optimizer=config.optimizer, strategy=strategy)
