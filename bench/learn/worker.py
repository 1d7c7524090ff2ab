"""Program that pretrains one implementation on a build and evaluates it at intervals.

bench/learn/__main__.py starts it. Every evaluation is a line of JSON on standard output. The same code
evaluates all implementations on the same held-out masks: weights of tf-models are copied into our
model.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

from bench.learn.compare import LAMBERT, NO_QUERY_GRADIENTS, TF_MODELS
from data.manifest import Manifest
from data.read.input_pipeline import evaluation_batches, training_batches
from data.read.split_reader import SplitReader
from optim.build import build_schedule
from pretrain.config import RunConfig
from pretrain.experiment import build_trainer
from pretrain.gin_files import load_run_config
from pretrain.recipe import resolve
from pretrain.train.evaluation import metrics_of
from pretrain.train.trainer import Trainer


class Lambert:
    """Lambert: the trainer and the input pipeline of `pretrain.run`."""

    def __init__(self, config: RunConfig, directory: str, manifest: Manifest, trainer: Trainer):
        reader = SplitReader(directory, manifest, "train", "materialised")
        dataset = training_batches(
            reader,
            config.input,
            seed=config.train.seed,
            global_batch_size=config.train.global_batch_size,
            start_step=0,
        )
        self._trainer = trainer
        self._batches = iter(trainer.strategy.distribute_datasets_from_function(dataset))

    def train(self, steps: int) -> None:
        """Update the trainer's model."""
        self._trainer.train(self._batches, steps)


class LambertWithoutQueryGradients(Lambert):
    """A trainer with a fault that the comparison must find: queries are not trained by attention."""

    def __init__(self, config: RunConfig, directory: str, manifest: Manifest, trainer: Trainer):
        super().__init__(config, directory, manifest, trainer)
        for block in trainer.model.encoder.blocks:
            block.query.project = _without_gradient(block.query.project)


def _without_gradient(project: Callable[[tf.Tensor], tf.Tensor]) -> Callable:
    """Return the projection with the same outputs and gradients of 0."""

    def projected(x: tf.Tensor) -> tf.Tensor:
        y = project(x)
        # The product keeps y connected to the variables; its gradient is 0.
        return tf.stop_gradient(y) + tf.zeros([], y.dtype) * y

    return projected


class TFModels:
    """tf-models: its model, `MaskedLMTask.train_step`, LAMB, and input pipeline on our TFRecords.

    It starts from the weights of the trainer's model.
    """

    def __init__(self, config: RunConfig, directory: str, manifest: Manifest, trainer: Trainer):
        from official.modeling.optimization.lamb import LAMB
        from official.nlp.configs import bert
        from official.nlp.data.pretrain_dataloader import BertPretrainDataConfig
        from official.nlp.tasks.masked_lm import MaskedLMConfig, MaskedLMTask

        from model.weights import build_tf_models, to_tf_models

        optimizer = config.optimizer
        data = BertPretrainDataConfig(
            input_path=os.path.join(directory, "masked", "train", "*", "*.tfrecord"),
            global_batch_size=config.train.global_batch_size,
            is_training=True,
            seq_length=manifest.config.max_seq_length,
            max_predictions_per_seq=manifest.config.max_predictions,
            use_next_sentence_label=False,
            use_v2_feature_names=True,
            shuffle_buffer_size=1000,
            seed=config.train.seed,
        )
        task = MaskedLMTask(
            MaskedLMConfig(model=bert.PretrainerConfig(cls_heads=[]), train_data=data)
        )
        self._trainer = trainer
        self._model = build_tf_models(config.encoder, seed=config.train.seed)
        to_tf_models(trainer.model, self._model)
        lamb = LAMB(
            build_schedule(optimizer, config.train.train_steps),
            beta_1=optimizer.beta_1,
            beta_2=optimizer.beta_2,
            epsilon=optimizer.epsilon,
            weight_decay_rate=optimizer.weight_decay_rate,
            exclude_from_weight_decay=list(optimizer.exclude_from_weight_decay),
            exclude_from_layer_adaptation=list(optimizer.exclude_from_layer_adaptation),
            global_clipnorm=optimizer.clip_norm,
        )
        metrics = task.build_metrics()
        batches = iter(task.build_inputs(data, tf.distribute.InputContext()))

        @tf.function
        def steps(count: tf.Tensor) -> None:
            for _ in tf.range(count):
                task.train_step(next(batches), self._model, lamb, metrics)

        self._steps = steps

    def train(self, steps: int) -> None:
        """Update the model, and copy its weights into the trainer's model."""
        from model.weights import from_tf_models

        self._steps(tf.constant(steps))
        from_tf_models(self._model, self._trainer.model)


IMPLEMENTATIONS = {
    LAMBERT: Lambert,
    TF_MODELS: TFModels,
    NO_QUERY_GRADIENTS: LambertWithoutQueryGradients,
}


def evaluation(config: RunConfig, directory: str, manifest: Manifest, trainer: Trainer) -> Callable:
    """Return a function that evaluates the trainer's model on the whole held-out split."""
    reader = SplitReader(directory, manifest, "eval", "materialised")
    dataset, num_steps = evaluation_batches(
        reader, config.input, global_batch_size=config.train.eval_batch_size
    )

    def evaluate() -> dict[str, Any]:
        batches = iter(trainer.strategy.distribute_datasets_from_function(dataset))
        sums = trainer.evaluate(batches, num_steps)
        return dataclasses.asdict(metrics_of(sums[: reader.num_sequences]))

    return evaluate


def curve(
    implementation: str, data_dir: str, config: RunConfig, evaluate_every: int
) -> Iterator[dict[str, Any]]:
    """Train, and yield the evaluations.

    Args:
      implementation: key of IMPLEMENTATIONS.
      data_dir: build directory.
      config: settings of the run.
      evaluate_every: number of updates between evaluations.
    """
    manifest = Manifest.load(data_dir)
    config = resolve(config, manifest)
    trainer = build_trainer(config, tf.distribute.get_strategy())
    learner = IMPLEMENTATIONS[implementation](config, data_dir, manifest, trainer)
    evaluate = evaluation(config, data_dir, manifest, trainer)
    cpu_seconds, train_steps = 0.0, config.train.train_steps
    for step in range(0, train_steps, evaluate_every):
        count = min(evaluate_every, train_steps - step)
        started = time.process_time()
        learner.train(count)
        cpu_seconds += time.process_time() - started
        yield {"step": step + count, "cpu_seconds": cpu_seconds, **evaluate()}


def main(argv: Sequence[str] | None = None) -> None:
    """Train, and print each evaluation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--implementation", choices=IMPLEMENTATIONS, required=True)
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--gin_file", action="append", default=[])
    parser.add_argument("--gin_param", action="append", default=[])
    parser.add_argument("--evaluate_every", type=int, required=True)
    args = parser.parse_args(argv)
    config = load_run_config(args.gin_file, args.gin_param, kind=RunConfig)
    for row in curve(args.implementation, args.data_dir, config, args.evaluate_every):
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
