"""One host of a slice on loopback, with small programs in place of TensorFlow: a process of tests.

    python slice_host.py SETTINGS      # JSON, see `Slice` in tests/support/slice_processes.py

The server is a socket that prints "ready"; the run counts steps while its connections to all servers live.
"""

import json
import os
import secrets
import signal
import socket
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STEPS = 40
STEP_SECONDS = 0.05
STEPS_PER_CHECKPOINT = 4


def serve(pid_file: str, is_silent: str) -> None:
    """A server: it holds connections until its standard input ends."""
    listener = socket.create_server(("127.0.0.1", 0))
    Path(pid_file).write_text(str(os.getpid()))
    if is_silent == "False":
        print(f"ready 127.0.0.1:{listener.getsockname()[1]}", flush=True)
    threading.Thread(target=lambda: hold(listener), daemon=True).start()
    sys.stdin.read()


def hold(listener: socket.socket) -> None:
    held = []
    while True:
        held.append(listener.accept())


def run(folder: str, endpoints: str, crash: str) -> None:
    """A run: it counts steps in a file, saves every fourth and after SIGTERM, and ends after STEPS.

    A file "hold" in the folder delays the end.
    """
    model, told = Path(folder), []
    signal.signal(signal.SIGTERM, lambda *_: told.append(True))
    with open(model / "starts", "a") as starts:
        starts.write(f"{endpoints}\n")
    if crash == "True":
        sys.exit(7)
    servers = [socket.create_connection(e.split(":"), 5) for e in endpoints.split(",")]
    for server in servers:
        server.setblocking(False)
    step = int((model / "saved").read_text()) if (model / "saved").exists() else 0
    while step < STEPS or (model / "hold").exists():
        time.sleep(STEP_SECONDS)
        step += 1
        for server in servers:
            try:
                if not server.recv(1):
                    sys.exit(1)  # as UnavailableError
            except BlockingIOError:
                pass
        if told or step % STEPS_PER_CHECKPOINT == 0:
            (model / "saved").write_text(str(step))
        if told:
            sys.exit(42)
    (model / "saved").write_text(str(step))


def host(settings: dict) -> int:
    from launch.slice.agent import Agent
    from launch.slice.coordinator import Coordinator
    from launch.slice.host import Log, _in_background
    from launch.slice.job_files import HubRecord, JobFiles, require_no_other_hub
    from launch.slice.membership import Membership
    from launch.slice.processes import MachineLock, Server
    from launch.slice.settings import Times

    index, folder = settings["host"], Path(settings["folder"])
    membership = Membership(index=index, addresses=tuple(settings["addresses"]))
    lock, times, log = MachineLock(membership.address), Times(**settings["times"]), Log()
    job, instance = JobFiles(job_dir=str(folder)), secrets.token_hex(8)
    this = [sys.executable, __file__]
    pid_file, notice = folder / f"server-{index}", folder / f"notice-{index}"
    agent = Agent(
        membership,
        settings["identity"],
        instance=instance,
        server=Server(
            [*this, "serve", str(pid_file), str(settings["is_silent"])],
            port=settings["port"],
            say=log.write,
        ),
        read_hub=job.read_hub,
        notice=lambda: "a notice" if notice.exists() else "",
        trouble=lambda: log.trouble,
        times=times,
        say=log.say,
    )
    if index:
        code, reason = agent.run()
    else:
        require_no_other_hub(job, membership.address, 2.5 * times.report, time.sleep)

        def program(endpoints):
            crash = str(settings["crash"])
            return [*this, "run", str(folder), ",".join(endpoints), crash], {}

        saved = folder / "saved"
        coordinator = Coordinator(
            membership,
            settings["identity"],
            job=job,
            programs=[program],
            record=HubRecord(
                instance=instance,
                address=membership.address,
                port=0,
                token=secrets.token_hex(32),
            ),
            saved=lambda: saved.read_text() if saved.exists() else "",
            lock=lock,
            times=times,
            crashes=settings["crashes"],
            say=log.say,
        )
        with _in_background(agent, log):
            code, reason = coordinator.run()
    if reason:
        print(f"error: {reason}", file=sys.stderr)
    return code


if __name__ == "__main__":
    if sys.argv[1] in ("serve", "run"):
        {"serve": serve, "run": run}[sys.argv[1]](*sys.argv[2:])
        os._exit(0)
    sys.path.insert(0, str(ROOT))
    from data.cli.main import run_main

    run_main(lambda argv: sys.exit(host(json.loads(argv[0]))))
