"""Training with an optimizer that is divided among 2 and 8 replicas; four are in tests/optim."""

import dataclasses
import json

import pytest

from data.errors import UserError
from launch.strategy import Workers
from pretrain.experiment import build_trainer
from tests.support.slices import drive
from tests.support.training import run_config, strategy_of

# A process cannot have collectives over groups of different sizes.
PROGRAM = """
import dataclasses, json, sys
from unittest import mock
import numpy as np
import tensorflow as tf

folder, replicas = sys.argv[1], int(sys.argv[2])
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * replicas
)
from model.compute_weights import compute_weights
from pretrain.experiment import build_trainer
from tests.support.training import iterator, run_config, train

def checkpoint_of(trainer, name):
    checkpoint = tf.train.Checkpoint(**trainer.checkpoint_items)
    options = tf.train.CheckpointOptions(enable_async=name != "again")
    path = checkpoint.write(f"{folder}/{name}", options)
    checkpoint.sync()
    reader = tf.train.load_checkpoint(path)
    values = {n: reader.get_tensor(n) for n in reader.get_variable_to_shape_map()}
    del values["_CHECKPOINTABLE_OBJECT_GRAPH"]
    return {n: v for n, v in values.items() if not n.startswith("save_counter")}

def difference(left, right):
    assert left.keys() == right.keys()
    return max(float(np.abs(left[n] - right[n]).max()) for n in left)

strategy = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(replicas)])
config = run_config(layers=1, dropout=0.2)
trainers, saved = {}, {}
for shard in (False, True):
    optimizer = dataclasses.replace(config.optimizer, shard=shard)
    trainer = build_trainer(dataclasses.replace(config, optimizer=optimizer), strategy)
    losses = [metrics.loss for metrics in train(trainer, 3).metrics]
    trainers[shard], saved[shard] = trainer, checkpoint_of(trainer, f"shard-{shard}")
    print(json.dumps(losses))
print(difference(*saved.values()))
# A divided optimizer takes the state of a whole one, and the other way round.
for shard in (False, True):
    trainer = trainers[shard]
    tf.train.Checkpoint(**trainer.checkpoint_items).read(
        f"{folder}/shard-{not shard}"
    ).expect_partial().assert_existing_objects_matched()
    print(difference(checkpoint_of(trainer, "again"), saved[not shard]))
# In bfloat16, the replicas exchange copies of weights within a loop. This changes no bit.
sharded = dataclasses.replace(
    run_config(layers=1, dropout=0.2, precision="mixed_bfloat16"),
    optimizer=dataclasses.replace(config.optimizer, shard=True),
)
trainers = [build_trainer(sharded, strategy)]
with mock.patch("pretrain.train.trainer.compute_weights", return_value=[]):
    trainers.append(build_trainer(sharded, strategy))
assert trainers[0].optimizer.divided_weights and not trainers[1].optimizer.divided_weights
trainers[1]._copies_to_cast = compute_weights(trainers[1].model)
states = []
for number, trainer in enumerate(trainers):
    for first in (0, 3):
        trainer.train(iterator(strategy, 3, first=first), 3)
    states.append(checkpoint_of(trainer, f"exchange-{number}"))
print(difference(*states))
"""


@pytest.mark.slow
@pytest.mark.parametrize("replicas", [2, 8])
def test_training_and_checkpoints_do_not_depend_on_the_division(tmp_path, replicas):
    done = drive(PROGRAM, str(tmp_path), str(replicas), timeout=1200)
    assert done.returncode == 0, done.stderr
    whole, divided, error, *exchanged, change = map(json.loads, done.stdout.splitlines()[-6:])
    assert divided == pytest.approx(whole, rel=1e-6)
    assert 0 < error < 1e-6
    assert exchanged == [0, 0]
    assert change == 0


def test_several_workers_are_refused(monkeypatch):
    monkeypatch.setattr(Workers, "are_several", True)
    config = run_config()
    sharded = dataclasses.replace(config.optimizer, shard=True)
    with pytest.raises(UserError, match=r"OptimizerConfig\.shard=True needs a single process"):
        build_trainer(dataclasses.replace(config, optimizer=sharded), strategy_of(1))
