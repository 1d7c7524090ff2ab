"""Count the bundles of a kernel for a TPU; runs in .venv-tpu.

    .venv-tpu/bin/python bench/tpu/bundles.py kernel.mlir v5e:2x2

Prints one line of JSON. The compiler writes the program after each of its passes, which is too much for
a whole step: the input is a program that consists of one call.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import tempfile
from pathlib import Path

_TOTAL = re.compile(r"total scheduled bundles:\s+(\d+)")


def main() -> None:
    """Compile the program that the command line names, and count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stablehlo", type=Path)
    parser.add_argument("topology", help="such as v5e:2x2")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        # Before libtpu is loaded.
        flags = f"--xla_jf_dump_to={folder} --xla_jf_dump_llo_text=true"
        os.environ["LIBTPU_INIT_ARGS"] = flags
        from compile import compile_for

        compile_for(args.topology, args.stablehlo.read_text())
        counts = [
            int(_TOTAL.search(path.read_text())[1])
            for path in Path(folder).glob("*schedule-analysis_final_bundles.txt")
        ]
    # The others are of copies between layouts, which XLA adds around the call.
    print(json.dumps({"bundles": max(counts)}))


if __name__ == "__main__":
    main()
