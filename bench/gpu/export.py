"""Export training steps as programs for a machine that has jax but no TensorFlow.

    python -m bench.gpu.export --output_dir bench/.work/gpu/programs
    python -m bench.gpu.export --output_dir D lambert-L24-B32 tf-models-L24-B32

bench/gpu/programs.py lists the programs and describes their files. Each is exported in a process of its
own; Lambert-large takes some minutes and 6 GB. A program whose sources have not changed since is kept.
"""

from __future__ import annotations

import argparse
import dataclasses
import gzip
import hashlib
import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from bench.gpu import numbers, stablehlo
from bench.gpu.programs import ENCODERS, FORMS, MEASURED, PROGRAMS, Program
from bench.step import work
from bench.tpu import lower
from data.config import InputConfig
from launch.config import ClusterConfig
from model.compute_weights import refresh_compute_weights
from model.tracing import tracing_for
from optim.config import OptimizerConfig
from pretrain.config import RunConfig
from pretrain.experiment import build_trainer
from pretrain.train.config import TrainConfig
from pretrain.train.recipe import choose_kernels

_ROOT = Path(__file__).resolve().parents[2]
_FORMAT = 1  # to be increased when this module writes something else for the same step
# Files and folders with the step, besides the installed libraries.
_SOURCES = {
    "lambert": ("model", "optim", "pretrain/experiment.py", "pretrain/train"),
    "tf-models": ("bench/tpu/lower.py", "model/config.py", "model/weights.py"),
}
_MAX_LITERAL = 4096  # elements of a variable whose first value travels
_MAX_OUTPUT = 64  # elements of an output that is recorded in full

# Features of a batch to outputs.
Step = Callable[[dict[str, tf.Tensor]], list[tf.Tensor]]


def lambert(program: Program) -> tuple[Step, Callable[[], None]]:
    """Return the trainer's update or its gradients, and a function to call after setting weights."""
    config = RunConfig(
        train=TrainConfig(
            global_batch_size=program.batch, precision=program.precision, **FORMS[program.form]
        ),
        input=InputConfig(),
        encoder=dataclasses.replace(
            work.encoder_config(program.sizes), **ENCODERS.get(program.form, {})
        ),
        # At the peak from the first step: a long warm-up would hide wrong updates.
        optimizer=OptimizerConfig(warmup_steps=0),
        cluster=ClusterConfig(),
    )
    kernels = choose_kernels(
        config.train, config.encoder, device="gpu", seq_length=program.positions
    )
    trainer = build_trainer(config, tf.distribute.get_strategy(), kernels=kernels)

    def update(features: dict[str, tf.Tensor]) -> list[tf.Tensor]:
        return [trainer.strategy.run(trainer.update, (features,))]

    def gradients(features: dict[str, tf.Tensor]) -> list[tf.Tensor]:
        values, sums = trainer.strategy.run(trainer._accumulate, (features,))
        return [sums, *values]

    step = gradients if program.implementation == "lambert-gradients" else update
    return step, lambda: refresh_compute_weights(trainer.model)


def tf_models(program: Program) -> tuple[Step, Callable[[], None]]:
    """Return tf-models' step, and a function that does nothing."""
    setting = {**program.sizes, "micro_batch_size": 0}
    step = lower.tf_models(setting)
    return (lambda features: [step(features)]), (lambda: None)


def fingerprint(program: Program) -> str:
    """Return a checksum of everything in this checkout that a program depends on, with versions."""
    family = "tf-models" if program.implementation == "tf-models" else "lambert"
    digest = hashlib.sha256(
        repr((_FORMAT, program, FORMS[program.form], ENCODERS.get(program.form))).encode()
    )
    for library in ("tensorflow", "tf_keras", "tf-models-official"):
        digest.update(importlib.metadata.version(library).encode())
    for source in _SOURCES[family]:
        path = _ROOT / source
        for file in [path] if path.is_file() else sorted(path.rglob("*")):
            if file.is_file() and file.suffix != ".pyc":
                digest.update(file.relative_to(_ROOT).as_posix().encode() + b"\0")
                digest.update(file.read_bytes())
    return digest.hexdigest()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Traced:
    """A step whose variables have their first values.

    Attributes:
      compiled: the step as a function of the features, in the order of `specs`.
      specs: types of the features.
      concrete: its trace.
      variables: variables that it captures.
      first_values: how the other machine makes their first values.
    """

    compiled: Any
    specs: dict[str, tf.TensorSpec]
    concrete: Any
    variables: list[tf.Variable]
    first_values: list[dict[str, Any]]


def trace(program: Program) -> Traced:
    """Trace the step of a program, and set its variables to their first values."""
    step, refresh = (tf_models if program.implementation == "tf-models" else lambert)(program)
    features = work.batch(program.sizes)
    specs = {name: tf.TensorSpec(value.shape, value.dtype) for name, value in features.items()}

    @tf.function(jit_compile=True, autograph=False)
    def compiled(*values: tf.Tensor) -> list[tf.Tensor]:
        return step(dict(zip(specs, values, strict=True)))

    with tracing_for("GPU"):
        concrete = compiled.get_concrete_function(*specs.values())
    variables = captured_variables(concrete)
    first_values = recipes(variables)
    for index, (variable, recipe) in enumerate(zip(variables, first_values, strict=True)):
        if recipe["kind"] == "hashed":
            values = numbers.hashed(index, variable.shape.num_elements())
            variable.assign(values.reshape(variable.shape))
    refresh()
    return Traced(
        compiled=compiled,
        specs=specs,
        concrete=concrete,
        variables=variables,
        first_values=first_values,
    )


def export(program: Program, output_dir: Path) -> None:
    """Write the files of a program; the JSON file comes last, so that it marks a complete export."""
    traced = trace(program)
    specs = traced.specs
    text = traced.compiled.experimental_get_compiler_ir(*specs.values())(stage="stablehlo")
    text = stablehlo.without_locations(text)
    output_dir.mkdir(parents=True, exist_ok=True)
    with gzip.open(output_dir / f"{program.name}.mlir.gz", "wt", compresslevel=6) as file:
        file.write(text)
    if program.reference_steps:
        runs_here = traced
        if FORMS[program.form].get("attention") in ("kernel", "cudnn"):
            form = "undropped" if program.form in ENCODERS else ""
            runs_here = trace(dataclasses.replace(program, form=form))
        record = reference(runs_here.compiled, runs_here.variables, program)
        np.savez_compressed(output_dir / f"{program.name}.npz", **record)
    description = {
        **dataclasses.asdict(program),
        "sizes": program.sizes,
        "settings": FORMS[program.form] | ENCODERS.get(program.form, {}),
        "inputs": [
            {"name": name, "shape": list(spec.shape), "dtype": spec.dtype.name}
            for name, spec in specs.items()
        ],
        "variables": [
            {
                "name": variable.name.partition(":")[0],
                "shape": variable.shape.as_list(),
                "dtype": variable.dtype.name,
                **recipe,
            }
            for variable, recipe in zip(traced.variables, traced.first_values, strict=True)
        ],
        "outputs": [
            {"shape": output.shape.as_list(), "dtype": output.dtype.name}
            for output in traced.concrete.structured_outputs
        ],
        "versions": {"tensorflow": tf.__version__},
        "fingerprint": fingerprint(program),
    }
    (output_dir / f"{program.name}.json").write_text(json.dumps(description))


def captured_variables(concrete: Any) -> list[tf.Variable]:
    """Return the variables of a function in the order of the program's arguments.

    Raises:
      ValueError: the function captures a tensor that is no variable.
    """
    by_handle = {id(variable.handle): variable for variable in concrete.graph.variables}
    strangers = [str(t) for t in concrete.captured_inputs if id(t) not in by_handle]
    if strangers:
        raise ValueError(f"the step captures tensors that are no variables: {strangers}")
    return [by_handle[id(tensor)] for tensor in concrete.captured_inputs]


def recipes(variables: Sequence[tf.Variable]) -> list[dict[str, Any]]:
    """Return how the other machine makes the first value of each variable.

    Kinds are "zeros", "ones", "literal" with the value, "copy" of another variable, cast to bfloat16, and
    "hashed": random weights, which `numbers.hashed` replaces.

    Raises:
      ValueError: the value of a variable is none of these.
    """
    masters = {
        _cast_prefix(variable): index
        for index, variable in enumerate(variables)
        if variable.dtype == tf.float32
    }
    found: list[dict[str, Any]] = []
    for variable in variables:
        value = variable.numpy()
        if not value.any():
            found.append({"kind": "zeros"})
        elif value.size > 1 and (value == 1).all():
            found.append({"kind": "ones"})
        elif variable.dtype == tf.bfloat16:
            master = masters.get(_cast_prefix(variable))
            if master is None or not _is_copy(variable, variables[master]):
                raise ValueError(f"{variable.name} is bfloat16, and no copy of a float32 variable")
            found.append({"kind": "copy", "of": master})
        elif value.size <= _MAX_LITERAL:
            found.append({"kind": "literal", "value": value.tolist()})
        elif variable.dtype == tf.float32:
            found.append({"kind": "hashed"})
        else:
            raise ValueError(
                f"{variable.name} is {variable.dtype.name} and has {value.size} values"
            )
    return found


def _cast_prefix(variable: tf.Variable) -> tuple[tuple[int, ...], bytes]:
    """Return the shape of a variable, and its first values as bfloat16; weights differ in them."""
    values = tf.reshape(variable, [-1])[:256]
    return tuple(variable.shape), tf.cast(values, tf.bfloat16).numpy().tobytes()


def _is_copy(variable: tf.Variable, master: tf.Variable) -> bool:
    return bool(tf.reduce_all(tf.cast(master, variable.dtype) == variable))


def reference(
    compiled: Callable[..., list[tf.Tensor]], variables: Sequence[tf.Variable], program: Program
) -> dict[str, np.ndarray]:
    """Make the reference steps here; return their inputs, outputs and the variables after them.

    Keys are input_STEP_NAME; output_STEP_INDEX, or digest_STEP_INDEX for large outputs; variable_INDEX,
    which is a digest.
    """
    record: dict[str, np.ndarray] = {}
    for step in range(program.reference_steps):
        features = work.batch(program.sizes, seed=step)
        record |= {f"input_{step}_{name}": value for name, value in features.items()}
        outputs = compiled(*(tf.constant(value) for value in features.values()))
        for index, output in enumerate(outputs):
            value = tf.cast(output, tf.float32).numpy()
            if value.size <= _MAX_OUTPUT:
                record[f"output_{step}_{index}"] = value
            else:
                record[f"digest_{step}_{index}"] = numbers.digest(value)
    for index, variable in enumerate(variables):
        value = tf.cast(variable, tf.float32).numpy()
        record[f"variable_{index}"] = numbers.digest(value)
    return record


def is_current(program: Program, output_dir: Path) -> bool:
    """Return whether a program was exported from the sources of this checkout."""
    names = [".mlir.gz", *[".npz"] * bool(program.reference_steps)]
    try:
        description = json.loads((output_dir / f"{program.name}.json").read_text())
    except (OSError, ValueError):
        return False
    files = [output_dir / f"{program.name}{name}" for name in names]
    return description.get("fingerprint") == fingerprint(program) and all(
        file.is_file() for file in files
    )


def export_all(names: Sequence[str], output_dir: Path) -> None:
    """Export programs one after the other, each in a process of its own; keep those that are current.

    Raises:
      SystemExit: an export failed.
    """
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    for name in names:
        if is_current(PROGRAMS[name], output_dir):
            print(f"gpu: {name} is current", flush=True)
            continue
        print(f"gpu: exporting {name}", flush=True)
        (output_dir / f"{name}.json").unlink(missing_ok=True)
        command = [sys.executable, "-m", "bench.gpu.export", "--output_dir", str(output_dir)]
        done = subprocess.run([*command, "--here", name], env=environment)
        if done.returncode:
            sys.exit(f"gpu: exporting {name} failed")


def main(argv: Sequence[str] | None = None) -> None:
    """Export the programs that the command line names."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.gpu.export",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="PROGRAM", help="default: those that run")
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--here", action="store_true", help="export in this process, in any case")
    args = parser.parse_args(argv)
    unknown = [name for name in args.names if name not in PROGRAMS]
    if unknown:
        parser.error(
            f"{', '.join(unknown)}: not in bench/gpu/programs.py, which has {', '.join(PROGRAMS)}"
        )
    names = args.names or [program.name for program in MEASURED]
    if args.here:
        for name in names:
            export(PROGRAMS[name], args.output_dir)
    else:
        export_all(names, args.output_dir)


if __name__ == "__main__":
    main()
