"""The training run, its checkpoints, and the published SavedModel."""

import importlib.util
import sys
from pathlib import Path

# `data` and `model` are common names: a data.py in the working directory would be imported instead
# of ours, and fail somewhere far away.
_ROOT = Path(__file__).resolve().parent.parent
for _name in ("data", "launch", "model", "optim"):
    _spec = importlib.util.find_spec(_name)
    if _spec is None or Path(_spec.origin or "").resolve().parent.parent != _ROOT:
        _message = (
            f"the package {_name!r} of Lambert is in {_ROOT}, but Python finds"
            f" {_spec and (_spec.origin or list(_spec.submodule_search_locations or ()))}; run from another"
            " directory, with `python -P -m`, or use the console scripts, such as lambert-pretrain"
        )
        if sys.argv[:1] == ["-m"]:  # a program of ours is about to start
            print(f"error: {_message}", file=sys.stderr)
            sys.exit(2)
        raise ImportError(_message)
