"""The training run, its checkpoints, and the published SavedModel."""

import importlib.util
from pathlib import Path

# `data` and `model` are common names: a data.py in the working directory would be imported instead
# of ours, and fail somewhere far away.
_ROOT = Path(__file__).resolve().parent.parent
for _name in ("data", "launch", "model", "optim"):
    _spec = importlib.util.find_spec(_name)
    if _spec is None or Path(_spec.origin or "").resolve().parent.parent != _ROOT:
        raise ImportError(
            f"the package {_name!r} of Lambert is in {_ROOT}, but Python finds"
            f" {_spec and _spec.origin}; run from another directory, or with `python -P -m`"
        )
