"""The console scripts, such as `lambert-pretrain`: the same programs as `python -m pretrain.run`.

Unlike `python -m`, they do not search the working directory for modules, so a folder `data/` or `model/`
there does no harm. setup.cfg lists them; all are `main`, which goes by the name it is called by.
"""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

PROGRAMS = {
    "lambert-vocab": "data.vocab",
    "lambert-build": "data.build",
    "lambert-view": "data.view",
    "lambert-pretrain": "pretrain.run",
    "lambert-import": "pretrain.import_weights",
    "lambert-export": "pretrain.export",
    "lambert-fill-mask": "pretrain.fill_mask",
    "lambert-embed": "pretrain.embed",
    "lambert-finetune": "finetune.run",
    "lambert-predict": "finetune.predict",
    "lambert-plan": "launch.plan",
}


def main() -> None:
    """Run the program that belongs to the name of this script, with its arguments."""
    # For processes that the program starts with `python -m`.
    os.environ["PYTHONSAFEPATH"] = "1"
    runpy.run_module(PROGRAMS[Path(sys.argv[0]).name], run_name="__main__", alter_sys=True)
