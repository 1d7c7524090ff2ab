"""Inputs of exported models."""

import pytest

from finetune.config import KINDS
from finetune.export.publish import inputs_of


def test_every_kind_has_inputs():
    assert {kind: inputs_of(kind, has_pair=False) for kind in KINDS} == {
        "classification": ["text"],
        "regression": ["text"],
        "tokens": ["text"],
        "spans": ["question", "context"],
    }
    assert inputs_of("classification", has_pair=True) == ["text", "pair"]


def test_unknown_kind_has_no_inputs():
    with pytest.raises(ValueError, match="'ranking'"):
        inputs_of("ranking", has_pair=False)
