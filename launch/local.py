"""A cluster of processes on this machine, each a worker of one multi-worker job.

    python -m launch.local --workers 2 -- --gin_file F --data_dir D --model_dir M

What stands after -- are the arguments of pretrain.run. Each worker has its share of the cores. A worker
that fails stops the others; the job ends with the exit code of the worker that ended first, 128 + n if
signal n ended it.
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
from collections.abc import Sequence

from data.errors import UserError, run_main
from launch.config import RESTART_CODE

# For the others, when one has ended. After a failure TensorFlow needs some of it to notice.
_GRACE_SECONDS = 60.0


def main(argv: Sequence[str]) -> None:
    """Parses the command line, and ends with the exit code of the job."""
    parser = argparse.ArgumentParser(
        prog="python -m launch.local",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--workers", type=int, required=True, help="how many processes")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="after --, of pretrain.run")
    args = parser.parse_args(argv)
    if args.workers < 1:
        raise UserError(f"--workers {args.workers}: must be at least 1")
    arguments = args.arguments[1:] if args.arguments[:1] == ["--"] else args.arguments
    if not arguments:
        raise UserError("there is nothing to run: give the arguments of pretrain.run after --")
    sys.exit(run_workers([sys.executable, "-m", "pretrain.run", *arguments], args.workers))


def run_workers(command: Sequence[str], num_workers: int) -> int:
    """Runs a command as every worker of a cluster, with TF_CONFIG in the environment.

    Returns:
      The exit code of the worker that ended first with another one than 0; 0 if none did.
    """
    with _addresses(num_workers) as workers:
        processes = [
            _start(command, workers, index, cores)
            for index, cores in enumerate(_shares_of_cores(num_workers))
        ]
    printers = [_print_lines(process, index) for index, process in enumerate(processes)]

    def hand_on(number, _):
        for process in processes:
            process.send_signal(number)

    before = signal.signal(signal.SIGTERM, hand_on)
    try:
        code = _wait(processes)
    finally:
        signal.signal(signal.SIGTERM, before)
        for process in processes:
            process.kill()
            process.wait()
        for printer in printers:
            printer.join()
    return code


@contextlib.contextmanager
def _addresses(number: int):
    """Addresses with free ports, which nobody else is given before the end of the context."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("localhost", 0))
        yield [f"localhost:{one.getsockname()[1]}" for one in sockets]


def _shares_of_cores(number: int) -> list[set[int]]:
    """The cores of each worker: equal shares, or all of them where there are fewer than workers."""
    cores = sorted(os.sched_getaffinity(0))
    share = len(cores) // number
    if not share:
        return [set(cores)] * number
    return [set(cores[index * share : (index + 1) * share]) for index in range(number)]


def _start(
    command: Sequence[str], workers: list[str], index: int, cores: set[int]
) -> subprocess.Popen:
    task = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
    process = subprocess.Popen(
        command,
        env={**os.environ, "TF_CONFIG": json.dumps(task)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    # Long before it loads TensorFlow, which makes its pools of threads as large as what it may use.
    os.sched_setaffinity(process.pid, cores)
    return process


def _print_lines(process: subprocess.Popen, index: int) -> threading.Thread:
    def print_lines():
        for line in process.stdout:
            print(f"[worker {index}] {line.decode(errors='replace').rstrip()}", flush=True)

    thread = threading.Thread(target=print_lines, daemon=True)
    thread.start()
    return thread


def _wait(processes: list[subprocess.Popen]) -> int:
    """Waits for the end of all, or for the first failure."""
    code, deadline = 0, None
    while True:
        ended = {i: p.returncode for i, p in enumerate(processes) if p.poll() is not None}
        # A signal is the cause; the errors of the others are what follows from it.
        for index, found in sorted(ended.items(), key=lambda item: item[1]):
            if found not in (0, RESTART_CODE):
                others = "; the others are stopped" if len(ended) < len(processes) else ""
                print(f"error: worker {index} ended {_how(found)}{others}", file=sys.stderr)
                _wait_for_end(processes, _GRACE_SECONDS)
                return found if found > 0 else 128 - found
            code = code or found
        if len(ended) == len(processes):
            return code
        if ended:
            deadline = deadline or time.monotonic() + _GRACE_SECONDS
            if time.monotonic() > deadline:
                running = [str(i) for i in range(len(processes)) if i not in ended]
                print(
                    f"error: worker {', '.join(running)} still ran {_GRACE_SECONDS:.0f} s after the"
                    " first had ended, and was stopped",
                    file=sys.stderr,
                )
                return 1
        time.sleep(0.1)


def _wait_for_end(processes: list[subprocess.Popen], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and any(p.poll() is None for p in processes):
        time.sleep(0.1)


def _how(code: int) -> str:
    if code < 0:
        return f"by signal {signal.Signals(-code).name}"
    return f"with exit code {code}"


if __name__ == "__main__":
    run_main(main)
