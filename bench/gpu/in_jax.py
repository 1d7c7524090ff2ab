"""Measure a program of bench.gpu.export with jax's client: an XLA program, without TensorFlow.

    python3 -m bench.gpu.in_jax PROGRAMS/lambert-L24-B32 --profile
    python3 -m bench.gpu.in_jax PROGRAMS/lambert-L2-B2-H128-float32 --check

Prints one line of JSON. Needs jax and numpy; uses private interfaces of jax, tried with 0.11.2.
"""

from __future__ import annotations

import argparse
import collections
import gzip
import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.gpu import numbers, process, stablehlo
from bench.step import work

_PROFILED_STEPS = 3
# Largest errors that rounding explains, relative: outputs, and the median and the worst of the digests of
# variables. Float32 is that of the highest precision. docs/performance.md has what was found.
TOLERANCES = {
    "float32": {"outputs": 1e-5, "median_variable": 1e-5, "worst_variable": 1e-3},
    "mixed_bfloat16": {"outputs": 2e-3, "median_variable": 2e-2, "worst_variable": 1.0},
}
# The softmax does not see the bias of the keys, so its gradient is 0 but for rounding.
_WITHOUT_GRADIENT = "key/bias"


class Program:
    """An exported program, compiled for a device, with its variables once they are made."""

    def __init__(self, path: Path, *, full_precision: bool):
        """Read the files of a program.

        Args:
          path: path of the files, without suffix.
          full_precision: compute float32 products in float32, where GPUs default to tf32.
        """
        self.description = json.loads(_with_suffix(path, ".json").read_text())
        with gzip.open(_with_suffix(path, ".mlir.gz"), "rt") as file:
            text = stablehlo.portable(file.read())
        self._text = stablehlo.with_full_precision(text) if full_precision else text
        self._aliases = stablehlo.aliases(self._text)
        self._num_inputs = len(self.description["inputs"])
        expected = self._num_inputs + len(self.description["variables"])
        if len(stablehlo.argument_types(self._text)) != expected:
            raise ValueError(f"{path} takes other arguments than the {expected} that it describes")

    def compile(self) -> dict[str, Any]:
        """Compile for the first device; return the fields of a row about it."""
        import jax
        from jax._src import compiler
        from jax._src.interpreters import mlir
        from jax._src.lib import xla_client
        from jax._src.lib.mlir import ir

        jax.config.update("jax_enable_x64", True)  # the step counter is int64
        self._device = device = jax.devices()[0]
        row = {
            "device": device.device_kind,
            "platform": device.platform,
            "start_seconds": process.elapsed(),
            "versions": {"jax": jax.__version__, "numpy": np.__version__},
        }
        if foreign := stablehlo.foreign_operations(self._text):
            row["foreign_operations"] = foreign
        started = time.monotonic()
        options = compiler.get_compile_options(
            num_replicas=1, num_partitions=1, device_assignment=np.array([[device.id]])
        )
        with mlir.make_ir_context():
            module = ir.Module.parse(self._text)
            devices = xla_client.DeviceList((device,))
            client = device.client
            self._executable = compiler.backend_compile_and_load(
                client, module, devices, options, []
            )
        row["compile_seconds"] = round(time.monotonic() - started, 1)
        return {**row, **process.optional(self._memory)}

    def _memory(self) -> dict[str, int]:
        memory = self._executable.get_compiled_memory_stats()
        return {
            "argument_bytes": memory.argument_size_in_bytes,
            "temp_bytes": memory.temp_size_in_bytes,
        }

    @property
    def hlo(self) -> str:
        """Optimized program, which the names of kernels in profiles refer to."""
        return self._executable.hlo_modules()[0].to_string()

    def prepare(self) -> None:
        """Compile what makes the first values; others may use the device meanwhile."""
        import jax

        def hashed(salt: Any, size: int) -> Any:
            return numbers.hashed(salt, size, jax.numpy)

        sizes = {_size(v) for v in self.description["variables"] if v["kind"] == "hashed"}
        salt = jax.ShapeDtypeStruct((), np.int64)
        make = jax.jit(hashed, static_argnums=1)
        self._hashed = {size: make.lower(salt, size).compile() for size in sizes}

    def make_variables(self) -> None:
        """Set all variables to their first values, on the device."""
        jnp = _jax().numpy
        values: list[Any] = []
        for index, variable in enumerate(self.description["variables"]):
            shape, dtype, kind = tuple(variable["shape"]), variable["dtype"], variable["kind"]
            if kind == "hashed":
                salt = np.int64(index)
                values.append(self._hashed[_size(variable)](salt).reshape(shape))
            elif kind == "literal":
                values.append(jnp.asarray(np.array(variable["value"], dtype).reshape(shape)))
            else:
                values.append(None if kind == "copy" else getattr(jnp, kind)(shape, dtype))
        for index, variable in enumerate(self.description["variables"]):
            if variable["kind"] == "copy":
                values[index] = values[variable["of"]].astype(variable["dtype"])
        self.variables = values

    def put(self, features: Mapping[str, np.ndarray]) -> list[Any]:
        """Return features as inputs on the device."""
        names = [each["name"] for each in self.description["inputs"]]
        return [_jax().device_put(features[name], self._device) for name in names]

    def step(self, inputs: list[Any]) -> list[Any]:
        """Start a step and return its outputs; results replace the variables that they update."""
        results = self._executable.execute_sharded([*inputs, *self.variables])
        results = [arrays[0] for arrays in results.disassemble_into_single_device_arrays()]
        for argument, result in self._aliases.items():
            self.variables[argument - self._num_inputs] = results[result]
        return results

    def wait(self, outputs: list[Any]) -> None:
        """Return when outputs are computed."""
        _jax().block_until_ready(outputs)

    @property
    def peak_bytes(self) -> int | None:
        """Largest memory that was in use on the device; None if the client does not say."""
        return (self._device.memory_stats() or {}).get("peak_bytes_in_use")


def _jax() -> Any:
    import jax

    return jax


def _size(variable: Mapping[str, Any]) -> int:
    return int(np.prod(variable["shape"]))


def _with_suffix(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def timed(program: Program, args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield the fields of a row about the speed of a compiled program."""
    program.prepare()
    process.wait_for_turn(args)
    sizes = program.description["sizes"]
    program.make_variables()
    inputs = program.put(work.batch(sizes))
    # Programs with the same masks agree in them, up to rounding.
    first = [np.asarray(program.step(inputs)[0]).ravel()[:4].tolist() for _ in range(3)]
    outputs: list[Any] = []

    def step() -> None:
        outputs[:] = program.step(inputs)

    row = process.time_steps(step, lambda: program.wait(outputs), args.steps)
    yield {
        **row,
        "sequences_per_second": sizes["batch"] / row["seconds"],
        "model_tflop_per_second": work.model_flops(sizes) / row["seconds"] / 1e12,
        "first_outputs": first,
        "peak_bytes": program.peak_bytes,
    }
    if args.profile:
        yield process.optional(lambda: profiled(program, inputs))


def profiled(program: Program, inputs: list[Any]) -> dict[str, Any]:
    """Return the fields of a row about the kernels of a step, as the device's profiler reports them."""
    jax = _jax()
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            for _ in range(_PROFILED_STEPS):
                outputs = program.step(inputs)
            program.wait(outputs)
        (file,) = Path(folder).rglob("*.xplane.pb")
        planes = list(jax.profiler.ProfileData.from_file(str(file)).planes)
    seconds: collections.Counter[str] = collections.Counter()
    launches: collections.Counter[str] = collections.Counter()
    for plane in planes:
        for line in plane.lines if "GPU" in plane.name else ():
            for event in line.events if line.name.startswith("Stream") else ():
                seconds[event.name] += event.duration_ns / 1e9 / _PROFILED_STEPS
                launches[event.name] += 1 / _PROFILED_STEPS
    return process.kernels_of(seconds, launches)


def checked(program: Program, record: Mapping[str, np.ndarray], precision: str) -> dict[str, Any]:
    """Return the fields of a row about the differences to TensorFlow's numbers.

    Args:
      program: a compiled program.
      record: inputs, outputs and variables, see `export.reference`.
      precision: key of TOLERANCES.
    """
    program.prepare()
    program.make_variables()
    errors: list[float] = []
    for step in range(program.description["reference_steps"]):
        prefix = f"input_{step}_"
        features = {n.removeprefix(prefix): record[n] for n in record if n.startswith(prefix)}
        outputs = program.step(program.put(features))
        for index, output in enumerate(outputs[: len(program.description["outputs"])]):
            found = np.asarray(output.astype("float32"))
            if (name := f"output_{step}_{index}") in record:
                errors.append(numbers.relative_error(found, record[name]))
            else:
                expected = record[f"digest_{step}_{index}"]
                errors.append(numbers.digest_error(numbers.digest(found), expected))
    by_name: dict[str, float] = {}
    for index, variable in enumerate(program.description["variables"]):
        if _WITHOUT_GRADIENT not in variable["name"]:
            found = numbers.digest(np.asarray(program.variables[index].astype("float32")))
            name = f"{index} {variable['name']}"
            by_name[name] = numbers.digest_error(found, record[f"variable_{index}"])
    return verdict(errors, by_name, precision)


def verdict(outputs: list[float], variables: Mapping[str, float], precision: str) -> dict[str, Any]:
    """Return the fields of a row that say whether rounding explains the errors.

    Args:
      outputs: relative errors of the outputs of all steps.
      variables: relative errors of the variables by name.
      precision: key of TOLERANCES.
    """
    worst = max(variables, key=variables.__getitem__)
    found = {
        "outputs": max(outputs),
        "median_variable": float(np.median(list(variables.values()))),
        "worst_variable": variables[worst],
    }
    tolerance = TOLERANCES[precision]
    return {
        # A JSON number cannot be infinite.
        "errors": {name: min(value, 1e30) for name, value in found.items()},
        "tolerances": tolerance,
        "worst_variable": worst,
        "passed": all(value <= tolerance[name] for name, value in found.items()),
    }


def measured(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield the fields of the row that the command line asks for."""
    program = Program(args.program, full_precision=args.full_precision)
    description = program.description
    names = ("implementation", "form", "settings", "sizes", "precision", "fingerprint")
    yield {name: description[name] for name in names if name in description}
    if args.check:
        with np.load(_with_suffix(args.program, ".npz"), allow_pickle=False) as file:
            record = dict(file)
        yield program.compile()
        yield checked(program, record, description["precision"])
        return
    yield program.compile()
    if args.hlo:
        with gzip.open(args.hlo, "wt") as file:
            file.write(program.hlo)
    yield from timed(program, args)


def main() -> None:
    """Measure the program that the command line names."""
    # Before jax is loaded: processes share the device.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.92")
    parser = process.parser(__doc__)
    parser.add_argument("program", type=Path, help="path of the program's files, without suffix")
    parser.add_argument("--check", action="store_true", help="compare with TensorFlow's numbers")
    parser.add_argument(
        "--hlo", type=Path, help="write the optimized program to this file, gzipped"
    )
    parser.add_argument("--full_precision", action="store_true", help="no tf32 in products")
    args = parser.parse_args()
    row = {
        "what": "check" if args.check else "step",
        "program": args.program.name,
        "full_precision": args.full_precision,
        "xla_flags": process.environment_flags(),
    }
    process.leave_row(args, row, lambda: measured(args))


if __name__ == "__main__":
    main()
