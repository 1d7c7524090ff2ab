"""Compile StableHLO for a TPU, without one; runs in .venv-tpu, which has only jax and libtpu.

    .venv-tpu/bin/python bench/tpu/compile.py step.mlir v5e:2x2 step.hlo

Prints one line of JSON and writes the optimised HLO. The compiler is that of TPUs, from libtpu, called
through private interfaces of jax, hence the pinned versions.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from pathlib import Path

# Before jax is imported: this machine has no metadata server.
os.environ["TPU_SKIP_MDS_QUERY"] = "1"
os.environ["JAX_PLATFORMS"] = "cpu"
# A killed compiler leaves its lock file behind, which would block all later ones.
os.environ["ALLOW_MULTIPLE_LIBTPU_LOAD"] = "1"

import jax
import libtpu
import numpy as np
from jax._src.interpreters import mlir
from jax._src.lib import xla_client
from jax._src.lib.mlir import ir
from jax.experimental import topologies


def compile_for(topology: str, stablehlo: str, *, cores: str = "default", replicas: int = 1):
    """Compile a program for the first devices of a topology, each of which runs a replica."""
    devices = topologies.get_topology_desc(
        platform="tpu", topology_name=topology, chip_config_name=cores
    ).devices
    used = tuple(devices[:replicas])
    options = xla_client.CompileOptions()
    options.num_replicas, options.num_partitions = replicas, 1
    ids = np.array([[device.id] for device in used])
    options.device_assignment = xla_client.DeviceAssignment.create(ids)
    with mlir.make_ir_context():
        module = ir.Module.parse(stablehlo)
        return used[0].client.compile(module, xla_client.DeviceList(used), options)


def main() -> None:
    """Compile the program that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stablehlo", type=Path)
    parser.add_argument("topology", help="such as v5e:2x2")
    parser.add_argument("hlo", type=Path, help="file to write")
    parser.add_argument("--replicas", type=int, default=1)
    parser.add_argument("--cores", default="default", help="see CompileTarget in tpus.py")
    args = parser.parse_args()
    started = time.monotonic()
    try:
        text = args.stablehlo.read_text()
        executable = compile_for(args.topology, text, cores=args.cores, replicas=args.replicas)
    except xla_client.XlaRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        print(json.dumps({"out_of_memory": str(error).partition("\n")[0]}))
        return
    seconds = time.monotonic() - started
    memory, analysis = executable.get_compiled_memory_stats(), executable.cost_analysis()
    analysis = analysis[0] if isinstance(analysis, list) else analysis
    args.hlo.write_text(executable.hlo_modules()[0].to_string())
    row = {
        "flops": analysis["flops"],
        "bytes_accessed": analysis["bytes accessed"],
        "hbm_argument_bytes": memory.argument_size_in_bytes,
        "hbm_temp_bytes": memory.temp_size_in_bytes,
        "compile_seconds": seconds,
        "compiler_peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "versions": {"jax": jax.__version__, "libtpu": libtpu.__version__},
    }
    print(json.dumps(row))


if __name__ == "__main__":
    main()
