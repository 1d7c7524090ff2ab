"""Order of examples and the integer hashes it is made of."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from data.hashing import derive_key, document_hash, mix64
from data.read.order import permute, sequence_at


def test_mix64_equals_the_published_generator():
    # The first outputs of splitmix64 seeded with 1234567 (Vigna's splitmix64.c).
    gamma = 0x9E3779B97F4A7C15
    states = [(1234567 + i * gamma) % 2**64 for i in range(3)]
    assert mix64(np.array(states, np.uint64)).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]


def test_derive_key_depends_on_order_and_broadcasts():
    assert derive_key(1, 2) != derive_key(2, 1)
    keys = derive_key(5, np.array([0, 1, 2]))
    assert keys.tolist() == [int(derive_key(5, i)) for i in range(3)]


def test_document_hash_is_pinned():
    # Another hash would move every document to another shard.
    assert document_hash("wiki/12") == 7429009671914604659


@settings(deadline=None)
@given(st.integers(1, 3000), st.integers(0, 2**63 - 1))
def test_permute_is_a_permutation(size, key):
    values = permute(np.arange(size), size=size, key=np.uint64(key))
    assert sorted(values.tolist()) == list(range(size))


def test_every_epoch_has_every_sequence_once_in_another_order():
    index, epoch = sequence_at(np.arange(3000), num_sequences=1000, seed=1)
    assert epoch.tolist() == [0] * 1000 + [1] * 1000 + [2] * 1000
    orders = index.reshape(3, 1000)
    for order in orders:
        assert sorted(order.tolist()) == list(range(1000))
    assert not np.array_equal(orders[0], orders[1])
    # About 1 position in 1,000 agrees by chance.
    assert (orders[0] == orders[1]).sum() < 10
    assert (orders[0] == np.arange(1000)).sum() < 10


def test_adjacent_sequences_are_scattered():
    """Sequences that are adjacent in a shard are a third of an epoch apart on average."""
    index, _ = sequence_at(np.arange(10000), num_sequences=10000, seed=3)
    position = np.argsort(index)
    assert abs(np.abs(np.diff(position)).mean() / 10000 - 1 / 3) < 0.02
