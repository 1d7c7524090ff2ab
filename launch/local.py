"""Run a multi-worker job as a cluster of processes on this machine.

    python -m launch.local --workers 2 -- --gin_file F --data_dir D --model_dir M

The arguments after -- are those of pretrain.run. Each worker has an equal share of the cores. When a worker
fails, the others are stopped. The exit code is that of the worker that failed first, 128 + n if signal n
ended it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence

from data.cli.main import run_main
from data.cli.parser import CommandParser
from data.errors import UserError
from launch.config import RESTART_CODE

# Time for the other workers after one has ended; TensorFlow takes part of it to detect a failure.
_GRACE_SECONDS = 60.0


def main(argv: Sequence[str]) -> None:
    """Parse the command line, and exit with the exit code of the job."""
    parser = CommandParser(
        prog="python -m launch.local",
        description=__doc__,
    )
    parser.add_argument("--workers", type=int, required=True, help="number of processes")
    parser.add_argument(
        "arguments", nargs=argparse.REMAINDER, help="after --: arguments of pretrain.run"
    )
    args = parser.parse_args(argv)
    if args.workers < 1:
        raise UserError(f"--workers {args.workers}: must be at least 1")
    arguments = args.arguments[1:] if args.arguments[:1] == ["--"] else args.arguments
    if not arguments:
        raise UserError("no arguments: give those of pretrain.run after --")
    sys.exit(run_workers([sys.executable, "-m", "pretrain.run", *arguments], args.workers))


def run_workers(command: Sequence[str], num_workers: int) -> int:
    """Run a command as every worker of a cluster, with TF_CONFIG in the environment.

    Returns:
      Exit code of the worker that failed first; 0 if none did.
    """
    with _addresses(num_workers) as workers:
        processes = [
            _start(command, workers, index, cores)
            for index, cores in enumerate(_divide_cores(num_workers))
        ]
    printers = [_print_lines(process, index) for index, process in enumerate(processes)]

    def forward(signal_number: int, _: object) -> None:
        for process in processes:
            process.send_signal(signal_number)

    previous = signal.signal(signal.SIGTERM, forward)
    try:
        code = _wait(processes)
    finally:
        signal.signal(signal.SIGTERM, previous)
        for process in processes:
            process.kill()
            process.wait()
        for printer in printers:
            printer.join()
    return code


@contextlib.contextmanager
def _addresses(num_workers: int) -> Iterator[list[str]]:
    """Yield addresses with free ports, which stay reserved until the context ends."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(num_workers)]
        for open_socket in sockets:
            open_socket.bind(("localhost", 0))
        yield [f"localhost:{open_socket.getsockname()[1]}" for open_socket in sockets]


def _divide_cores(num_workers: int) -> list[set[int]]:
    """Return the cores of each worker: an equal share, or all cores if there are fewer than workers."""
    cores = sorted(os.sched_getaffinity(0))
    share = len(cores) // num_workers
    if not share:
        return [set(cores)] * num_workers
    return [set(cores[index * share : (index + 1) * share]) for index in range(num_workers)]


def _start(
    command: Sequence[str], workers: list[str], index: int, cores: set[int]
) -> subprocess.Popen[bytes]:
    task = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
    process = subprocess.Popen(
        command,
        env={**os.environ, "TF_CONFIG": json.dumps(task)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    # In time: TensorFlow sizes its thread pools by the cores it may use when it is loaded.
    os.sched_setaffinity(process.pid, cores)
    return process


def _print_lines(process: subprocess.Popen[bytes], index: int) -> threading.Thread:
    def print_lines() -> None:
        for line in process.stdout or ():
            print(f"[worker {index}] {line.decode(errors='replace').rstrip()}", flush=True)

    thread = threading.Thread(target=print_lines, daemon=True)
    thread.start()
    return thread


def _wait(processes: list[subprocess.Popen[bytes]]) -> int:
    """Wait until all workers have ended or one has failed, and return the exit code of the job."""
    code, deadline = 0, None
    while True:
        ended = {i: p.returncode for i, p in enumerate(processes) if p.poll() is not None}
        # Signals first: the errors of other workers follow from them.
        for index, worker_code in sorted(ended.items(), key=lambda item: item[1]):
            if worker_code not in (0, RESTART_CODE):
                others = "; the others are stopped" if len(ended) < len(processes) else ""
                print(
                    f"error: worker {index} ended {_describe(worker_code)}{others}", file=sys.stderr
                )
                _wait_for_end(processes, _GRACE_SECONDS)
                return worker_code if worker_code > 0 else 128 - worker_code
            code = code or worker_code
        if len(ended) == len(processes):
            return code
        if ended:
            deadline = deadline or time.monotonic() + _GRACE_SECONDS
            if time.monotonic() > deadline:
                running = [str(i) for i in range(len(processes)) if i not in ended]
                print(
                    f"error: worker {', '.join(running)} was stopped because it still ran"
                    f" {_GRACE_SECONDS:.0f} s after the first had ended",
                    file=sys.stderr,
                )
                return 1
        _pause()


def _wait_for_end(processes: list[subprocess.Popen[bytes]], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and any(p.poll() is None for p in processes):
        _pause()


def _pause() -> None:
    # After Ctrl-C in a terminal, the workers receive it too: they save, and their exit codes decide.
    with contextlib.suppress(KeyboardInterrupt):
        time.sleep(0.1)


def _describe(code: int) -> str:
    if code < 0:
        return f"by signal {signal.Signals(-code).name}"
    return f"with exit code {code}"


if __name__ == "__main__":
    run_main(main)
