"""Compile an exported program for a GPU, without one; runs in .venv-gpu-check, which has no TensorFlow.

    .venv-gpu-check/bin/python -m bench.gpu.compile NAME.mlir.gz description.txt NAME.hlo

Prints one line of JSON and writes the optimised HLO. The compiler is that of jax's CUDA plugin, called
through private interfaces of jax, hence the pinned versions.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import resource
import time
from pathlib import Path
from typing import Any

os.environ["JAX_PLATFORMS"] = "cpu"  # before jax is imported: there is no driver

import jax
import numpy as np
from jax._src.interpreters import mlir
from jax._src.lib import xla_client
from jax._src.lib.mlir import ir
from jax.experimental import topologies

from bench.gpu import stablehlo


def compile_for(description: str, text: str) -> Any:
    """Compile StableHLO for one GPU that bench/gpu/descriptions.py describes; return the executable."""
    topology = topologies.get_topology_desc(
        platform="cuda", target_config=description, topology="1x1x1"
    )
    device = topology.devices[0]
    options = xla_client.CompileOptions()
    options.num_replicas = options.num_partitions = 1
    options.device_assignment = xla_client.DeviceAssignment.create(np.array([[device.id]]))
    with mlir.make_ir_context():
        module = ir.Module.parse(text)
        return device.client.compile(module, xla_client.DeviceList((device,)), options)


def main() -> None:
    """Compile the program that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", type=Path)
    parser.add_argument("description", type=Path)
    parser.add_argument("hlo", type=Path, help="file to write")
    args = parser.parse_args()
    text = stablehlo.portable(gzip.decompress(args.program.read_bytes()).decode())
    started = time.monotonic()
    executable = compile_for(args.description.read_text(), text)
    seconds = time.monotonic() - started
    memory = executable.get_compiled_memory_stats()
    args.hlo.write_text(executable.hlo_modules()[0].to_string())
    row = {
        "hbm_argument_bytes": memory.argument_size_in_bytes,
        "hbm_temp_bytes": memory.temp_size_in_bytes,
        "hbm_peak_bytes": memory.peak_memory_in_bytes,
        "compile_seconds": seconds,
        "compiler_peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "versions": {"jax": jax.__version__},
    }
    print(json.dumps(row))


if __name__ == "__main__":
    main()
