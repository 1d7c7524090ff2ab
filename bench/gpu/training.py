"""Runs of pretrain.run on the GPU of this machine: are they right, do they resume, and how fast are they?

    python -m bench.gpu.training
    python -m bench.gpu.training --only speed --speeds kernel-B32

Unlike `make bench-gpu`, this needs TensorFlow with its GPU libraries, and measures all of a run: input,
dispatch of the update, checkpoints. `make bench-gpu-runs` runs it; docs/performance.md has the figures.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench.data.measure import machine
from bench.run.timed import timed_run
from bench.sample_build import make_build
from pretrain.checkpoints.catalog import committed

_BUILD = ("max_seq_length = 512", "max_predictions = 76", "copies = 1")
_PIECES = 30522
# A small model with dropout in float32, for numbers; its losses are compared step by step.
_SMALL = (
    *("gin/lambert_tiny.gin", f"EncoderConfig.vocab_size = {_PIECES}"),
    *(
        "EncoderConfig.hidden_dropout_prob = 0.1",
        "EncoderConfig.attention_probs_dropout_prob = 0.1",
    ),
    "OptimizerConfig.warmup_steps = 10",
)
_SMALL_STEPS, _KILLED_AFTER = 60, 40
# Lambert-large as published, but for the batch and a warm-up as short as the run.
_LARGE = ("gin/lambert_large.gin", "OptimizerConfig.warmup_steps = 1")
# Settings of the runs that are timed: name to (sequences an update, TrainConfig.attention,
# ClusterConfig.deterministic).
SPEEDS = {
    f"{attention}-B{batch}" + "-deterministic" * deterministic: (batch, attention, deterministic)
    for batch in (32, 8, 64)
    for attention in ("kernel", "xla")
    for deterministic in (False, True)
}
_DETERMINISTIC = "ClusterConfig.deterministic = {}"
_LOGGED = 20  # steps between two lines; the first lines include compilation
_DISTRIBUTIONS = ("tensorflow", "tf_keras")
_DIFFERENCE, _EQUAL = "largest_relative_difference", ("equal_twice", "equal_after_kill")


def numbers(args: argparse.Namespace) -> Iterator[dict]:
    """Train the small model on the CPU and on the GPU, and yield how far their losses are apart."""
    losses = {
        device: _losses(_small_run(args.work, f"numbers-{device}", CUDA_VISIBLE_DEVICES=visible))
        for device, visible in (("cpu", "-1"), ("gpu", "0"))
    }
    pairs = zip(losses["cpu"], losses["gpu"], strict=True)
    yield {
        "what": "losses of a run on the GPU beside one on the CPU",
        "steps": _SMALL_STEPS,
        _DIFFERENCE: max(abs(gpu - cpu) / cpu for cpu, gpu in pairs),
        "losses": losses,
    }


def resuming(args: argparse.Namespace) -> Iterator[dict]:
    """Kill a run between two checkpoints, resume it, and yield whether it ends at the same bits."""
    for deterministic in (False, True):
        end = f"-{deterministic}"
        setting = _DETERMINISTIC.format(deterministic)
        paths = [_small_run(args.work, f"undisturbed-{i}{end}", setting) for i in range(2)]
        _small_run(args.work, f"killed{end}", setting, until=_KILLED_AFTER)
        paths.append(_small_run(args.work, f"killed{end}", setting))
        first, *others = map(_weights_sha256, paths)
        yield {
            "what": "bits of two runs, and of one that was killed and resumed",
            "deterministic": deterministic,
            "steps": _SMALL_STEPS,
            **dict(zip(_EQUAL, (first == other for other in others), strict=True)),
        }


def speed(args: argparse.Namespace) -> Iterator[dict]:
    """Time Lambert-large, and yield a row for each setting."""
    for name in args.speeds:
        batch, attention, deterministic = SPEEDS[name]
        run = timed_run(
            _arguments(args.work, *_LARGE, _DETERMINISTIC.format(deterministic)),
            args.work / "runs" / name,
            train_steps=args.steps,
            global_batch_size=batch,
            micro_batch_size=0,
            attention=repr(attention),
            steps_per_loop=_LOGGED,
            log_interval=_LOGGED,
            checkpoint_interval=10 * args.steps,
        )
        rows = run.rows[1:]
        rate = statistics.median(row["examples_per_second"] for row in rows)
        yield {
            "what": "sequences a second of a run",
            "name": name,
            "sizes": {"layers": 24, "hidden": 1024, "positions": 512, "batch": batch},
            "attention": attention,
            "deterministic": deterministic,
            "sequences_per_second": rate,
            "sequences_per_second_of_lines": [row["examples_per_second"] for row in rows],
            "milliseconds_an_update": 1000 * batch / rate,
            "input_wait_fraction": statistics.median(row["input_wait_fraction"] for row in rows),
            "first_line_seconds": min(run.step_seconds.values()),
        }


MEASUREMENTS: dict[str, Callable[[argparse.Namespace], Iterator[dict]]] = {
    "numbers": numbers,
    "resuming": resuming,
    "speed": speed,
}


def _small_run(
    work: Path, name: str, *params: str, until: int | None = None, **environment: str
) -> Path:
    """Run the small model, and return its directory; with `until`, kill it when that step is logged."""
    model_dir = work / "runs" / name
    arguments = [
        *_arguments(work, *_SMALL, *params),
        "--model_dir",
        str(model_dir),
        "--mode",
        "train",
    ]
    settings = {"train_steps": _SMALL_STEPS, "log_interval": 1, "steps_per_loop": 1}
    settings["checkpoint_interval"] = _KILLED_AFTER // 2 + 1
    for setting, value in settings.items():
        arguments += ["--gin_param", f"TrainConfig.{setting} = {value}"]
    command = [sys.executable, "-m", "pretrain.run", *arguments]
    print(f"bench: {' '.join(command[2:])}", flush=True)
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **environment},
    ) as process:
        lines = []
        for line in process.stdout or ():
            lines.append(line)
            if until is not None and f"step {until:,}/" in line:
                process.kill()
    if process.returncode and until is None:
        sys.exit(f"bench: the run failed:\n{''.join(lines[-15:])}")
    return model_dir


def _losses(model_dir: Path) -> list[float]:
    rows = map(json.loads, (model_dir / "metrics.jsonl").read_text().splitlines())
    return [row["loss"] for row in rows if "loss" in row]


def _weights_sha256(model_dir: Path) -> str:
    """Return a hash of all values in the newest checkpoint."""
    import tensorflow as tf

    reader = tf.train.load_checkpoint(committed(model_dir)[-1].prefix)
    digest = hashlib.sha256()
    for name in sorted(reader.get_variable_to_shape_map()):
        if not name.startswith(("_CHECKPOINTABLE", "save_counter")):
            value = reader.get_tensor(name)
            digest.update(value if isinstance(value, bytes) else value.tobytes())
    return digest.hexdigest()


def _arguments(work: Path, gin_file: str, *params: str) -> list[str]:
    """Return the flags of a run on a build of the sample text, which may come from another machine."""
    build = work / "build"
    if not (build / "manifest.json").exists():
        settings = [word for each in _BUILD for word in ("--gin_param", f"BuildConfig.{each}")]
        make_build(work, *settings, pieces=_PIECES)
    flags = [word for param in params for word in ("--gin_param", param)]
    return ["--gin_file", gin_file, *flags, "--data_dir", str(build)]


def _device() -> str:
    """Return the name of the GPU; asked in a process of its own, which does not keep its memory."""
    program = (
        "import tensorflow as tf; g = tf.config.list_physical_devices('GPU');"
        "print(tf.config.experimental.get_device_details(g[0])['device_name'] if g else '')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, write the rows and print them; rows of other measurements and devices remain."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.gpu.training",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", nargs="+", choices=MEASUREMENTS, default=list(MEASUREMENTS))
    parser.add_argument("--speeds", nargs="+", choices=SPEEDS, default=list(SPEEDS))
    parser.add_argument("--steps", type=int, default=200, help="updates of each timed run")
    parser.add_argument("--work", type=Path, default=Path("bench/.work/gpu_runs"))
    parser.add_argument("--results", type=Path, default=Path("bench/results/gpu_runs.json"))
    args = parser.parse_args(argv)
    device = _device()
    if not device:
        sys.exit("bench: TensorFlow finds no GPU here; see tf.config.list_physical_devices('GPU')")
    os.environ["LAMBERT_PREEMPTION_URL"] = ""
    shared = {
        "implementation": "lambert",
        "stage": "gpu_runs",
        "device": device,
        "command": "python -m bench.gpu.training",
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in _DISTRIBUTIONS},
        },
        "machine": machine(),
        "date": datetime.date.today().isoformat(),
    }
    shutil.rmtree(args.work / "runs", ignore_errors=True)
    for name in args.only:
        for row in MEASUREMENTS[name](args):
            print(f"bench: {describe(row)}", flush=True)
            _add({**row, **shared}, args.results)
    shutil.rmtree(args.work / "runs")


def describe(row: dict) -> str:
    """Format a row as one line."""
    if "sequences_per_second" in row:
        return (
            f"{row['name']}: {row['sequences_per_second']:.0f} sequences/s,"
            f" {row['milliseconds_an_update']:.1f} ms an update, {row['input_wait_fraction']:.1%} waiting"
            f" for input, first line after {row['first_line_seconds']:.0f} s"
        )
    figures = {name: row[name] for name in ("deterministic", _DIFFERENCE, *_EQUAL) if name in row}
    return f"{row['what']}, {row['steps']} steps: {figures}"


def _add(row: dict, results: Path) -> None:
    """Add a row to the results, in place of an earlier one of the same figures and device."""
    rows = json.loads(results.read_text()) if results.exists() else []
    rows = [other for other in rows if _key(other) != _key(row)]
    results.parent.mkdir(parents=True, exist_ok=True)
    results.write_text(json.dumps([*rows, row], indent=1) + "\n")


def _key(row: dict) -> tuple:
    return tuple(row.get(field) for field in ("what", "name", "deterministic", "device"))


if __name__ == "__main__":
    main()
