"""Checks of imports that must fail."""

from pathlib import Path

import pytest

from data.errors import UserError
from pretrain import import_weights


def assert_import_fails(source: Path, message: str, *flags: str):
    """Import a source; expect a one-line UserError that matches, and no model directory."""
    model_dir = source.parent / "model"
    with pytest.raises(UserError, match=message) as caught:
        import_weights.main(["--from", str(source), "--model_dir", str(model_dir), *flags])
    assert "\n" not in str(caught.value)
    assert not model_dir.exists()
