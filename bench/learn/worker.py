"""Program that pretrains one implementation on a build and evaluates it at intervals.

bench/learn/__main__.py starts it. Every evaluation is a line of JSON on standard output. The same code
evaluates both implementations on the same held-out masks: weights of tf-models are copied into our
model.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

from data.config import InputConfig
from data.manifest import Manifest
from data.read.input_pipeline import evaluation_batches, training_batches
from data.read.split_reader import SplitReader
from launch.config import ClusterConfig
from model.config import EncoderConfig
from optim.build import build_schedule
from optim.config import OptimizerConfig
from pretrain.checkpoints.warm_start import WarmStart, start_from
from pretrain.config import RunConfig
from pretrain.experiment import build_trainer
from pretrain.train.config import TrainConfig
from pretrain.train.evaluation import metrics_of
from pretrain.train.trainer import Trainer


def run_config(settings: dict, manifest: Manifest, start: WarmStart | None) -> RunConfig:
    """Return the settings of a run in float32.

    Args:
      settings: see bench/learn/__main__.py.
      manifest: manifest of the build.
      start: imported weights, which determine the architecture; None for random weights, with
        BERT's proportions and dropout.
    """
    encoder = EncoderConfig(
        vocab_size=manifest.vocab_pieces,
        hidden_size=settings["hidden"],
        num_hidden_layers=settings["layers"],
        num_attention_heads=settings["heads"],
        intermediate_size=4 * settings["hidden"],
        max_position_embeddings=manifest.config.max_seq_length,
    )
    return RunConfig(
        train=TrainConfig(
            train_steps=settings["steps"],
            global_batch_size=settings["batch"],
            eval_batch_size=64,
            precision="float32",
            seed=settings["seed"],
        ),
        input=InputConfig(),
        encoder=start.encoder if start else encoder,
        optimizer=OptimizerConfig(
            peak_learning_rate=settings["learning_rate"], warmup_steps=settings["warmup"]
        ),
        cluster=ClusterConfig(),
    )


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
        def steps(count):
            for _ in tf.range(count):
                task.train_step(next(batches), self._model, lamb, metrics)

        self._steps = steps

    def train(self, steps: int) -> None:
        """Update the model, and copy its weights into the trainer's model."""
        from model.weights import from_tf_models

        self._steps(tf.constant(steps))
        from_tf_models(self._model, self._trainer.model)


IMPLEMENTATIONS = {"lambert": Lambert, "tf-models": TFModels}


def evaluation(config: RunConfig, directory: str, manifest: Manifest, trainer: Trainer) -> Callable:
    """Return a function that evaluates the trainer's model on the whole held-out split."""
    reader = SplitReader(directory, manifest, "eval", "materialised")
    dataset, num_steps = evaluation_batches(
        reader, config.input, global_batch_size=config.train.eval_batch_size
    )

    def evaluate() -> dict:
        batches = iter(trainer.strategy.distribute_datasets_from_function(dataset))
        sums = trainer.evaluate(batches, num_steps)
        return dataclasses.asdict(metrics_of(sums[: reader.num_sequences]))

    return evaluate


def main() -> None:
    """Train, and print each evaluation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--implementation", choices=IMPLEMENTATIONS, required=True)
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--settings", type=json.loads, required=True)
    args = parser.parse_args()
    manifest = Manifest.load(args.data_dir)
    start = WarmStart.load(args.settings["start"]) if args.settings["start"] else None
    config = run_config(args.settings, manifest, start)
    trainer = build_trainer(config, tf.distribute.get_strategy())
    if start:
        start_from(start, trainer.model)
    learner = IMPLEMENTATIONS[args.implementation](config, args.data_dir, manifest, trainer)
    evaluate = evaluation(config, args.data_dir, manifest, trainer)
    seconds, steps, every = 0.0, config.train.train_steps, args.settings["evaluate_every"]
    for step in range(0, steps, every):
        count = min(every, steps - step)
        started = time.perf_counter()
        learner.train(count)
        seconds += time.perf_counter() - started
        print(json.dumps({"step": step + count, "seconds": seconds, **evaluate()}), flush=True)


if __name__ == "__main__":
    main()
