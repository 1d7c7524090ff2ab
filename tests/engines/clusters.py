"""Clusters of Flink and Spark on loopback, with Beam's job servers."""

import contextlib
import json
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.engines import tools
from tests.engines.processes import HOST, Processes, free_ports, java
from tests.support.paths import ROOT

_BEAM = "org.apache.beam.runners"
_WORKER = Path(__file__).with_name("worker.py")
# A manager of tasks has a slot for each task of the job: the job goes on when one is killed.
_FLINK_SETTINGS = {
    "jobmanager.rpc.address": HOST,
    "jobmanager.bind-host": HOST,
    "jobmanager.memory.process.size": "1g",
    "taskmanager.host": HOST,
    "taskmanager.bind-host": HOST,
    "taskmanager.numberOfTaskSlots": 2,
    "cluster.evenly-spread-out-slots": "true",
    "rest.address": HOST,
    "rest.bind-address": HOST,
    "restart-strategy.type": "fixed-delay",
    "restart-strategy.fixed-delay.attempts": 5,
    "restart-strategy.fixed-delay.delay": "2 s",
    "heartbeat.interval": 1000,
    "heartbeat.timeout": 20000,
    # Memory; the scripts of Flink's distribution derive these numbers from the size of the process.
    "taskmanager.cpu.cores": 2,
    "taskmanager.memory.framework.heap.size": "128m",
    "taskmanager.memory.framework.off-heap.size": "128m",
    "taskmanager.memory.task.heap.size": "192m",
    "taskmanager.memory.task.off-heap.size": "0m",
    "taskmanager.memory.managed.size": "128m",
    "taskmanager.memory.network.min": "192m",
    "taskmanager.memory.network.max": "192m",
    "taskmanager.memory.jvm-metaspace.size": "256m",
    "taskmanager.memory.jvm-overhead.min": "192m",
    "taskmanager.memory.jvm-overhead.max": "192m",
    # 512 buffers of 32 KiB for each exchange by default, more than so small a process has.
    "taskmanager.network.sort-shuffle.min-buffers": 64,
}


class Flink:
    """A JobManager, two TaskManagers and Beam's job server.

    Attributes:
      beam_args: flags of data.build.
      victims: names of the processes that may be killed.
      survives: whether a job goes on when one of them is killed.
    """

    victims = ("taskmanager-1", "taskmanager-2")
    survives = True

    def __init__(self, processes: Processes):
        self._processes, folder = processes, processes.folder
        self._rest, rpc, blobs, job, artifacts, expansion = free_ports(6)
        settings = {
            **_FLINK_SETTINGS,
            "rest.port": self._rest,
            "jobmanager.rpc.port": rpc,
            "blob.server.port": blobs,
            "io.tmp.dirs": folder / "tmp",
        }
        (folder / "tmp").mkdir()
        (folder / "config.yaml").write_text(
            "".join(f"{name}: {value}\n" for name, value in settings.items())
        )
        (folder / "log4j.properties").write_text(
            "rootLogger.level = INFO\nrootLogger.appenderRef.out.ref = Out\n"
            "appender.out.name = Out\nappender.out.type = Console\n"
        )
        jars, log = tools.distribution_jars("flink"), f"file:{folder}/log4j.properties"
        options = (f"-Dlog4j.configurationFile={log}", "-Xmx512m", "-XX:MaxDirectMemorySize=448m")
        runtime = "org.apache.flink.runtime"
        entry = f"{runtime}.entrypoint.StandaloneSessionClusterEntrypoint"
        command = java(jars, entry, "-c", folder, "--executionMode", "cluster", options=options)
        processes.start("jobmanager", command)
        processes.wait_for_port("jobmanager", self._rest)
        entry = f"{runtime}.taskexecutor.TaskManagerRunner"
        for name in self.victims:
            processes.start(name, java(jars, entry, "-c", folder, options=options))
        processes.wait_for("jobmanager", lambda: self._get("overview")["taskmanagers"] == 2)
        command = java(
            tools.job_server_jars("flink"),
            f"{_BEAM}.flink.FlinkJobServerDriver",
            *("--flink-master", f"{HOST}:{self._rest}"),
            *_job_server_flags(folder, job, artifacts, expansion),
        )
        processes.start("job-server", command)
        processes.wait_for_port("job-server", job)
        self.beam_args = [*_portable_flags(job), "--parallelism=2"]

    def _get(self, path: str) -> dict:
        with urllib.request.urlopen(f"http://{HOST}:{self._rest}/{path}", timeout=30) as reply:
            return json.load(reply)

    def failures(self) -> list[str]:
        """Return the names of the failures after which jobs started again."""
        return [
            failure["exceptionName"]
            for job in self._get("jobs")["jobs"]
            for failure in self._get(f"jobs/{job['id']}/exceptions")["exceptionHistory"]["entries"]
        ]


class Spark:
    """A master, two workers with an executor each, and Beam's job server; attributes as of Flink."""

    victims = ("worker-1", "worker-2")
    # Beam spreads elements in a random order, and Spark does not repeat a part of that.
    survives = False

    def __init__(self, processes: Processes):
        self._processes, folder = processes, processes.folder
        master, job, artifacts, expansion, *pages = free_ports(7)
        jars = tools.distribution_jars("spark")
        names = {jar.name for jar in jars}
        url = f"spark://{HOST}:{master}"
        # Executors take the jars in SPARK_HOME/jars.
        local = {
            "SPARK_LOCAL_IP": HOST,
            "SPARK_HOME": str(jars[0].parents[1]),
            "SPARK_SCALA_VERSION": "2.12",
            "SPARK_LOCAL_DIRS": str(folder / "tmp"),
        }
        deploy = "org.apache.spark.deploy"
        flags = ("--host", HOST, "--port", master, "--webui-port", pages[0])
        command = java(jars, f"{deploy}.master.Master", *flags, options=["-Xmx256m"])
        processes.start("master", command, local)
        processes.wait_for_port("master", master)
        for name, page in zip(self.victims, pages[1:], strict=True):
            flags = ("--host", HOST, "--cores", 1, "--memory", "1g", "--webui-port", page)
            command = java(
                jars,
                f"{deploy}.worker.Worker",
                *(*flags, "--work-dir", folder / name, url),
                options=["-Xmx256m"],
            )
            processes.start(name, command, local)
            processes.wait_for(name, lambda name=name: "Successfully reg" in self._log(name))
        command = java(
            # Spark's own jars first: they go together.
            [*jars, *(jar for jar in tools.job_server_jars("spark") if jar.name not in names)],
            f"{_BEAM}.spark.SparkJobServerDriver",
            *("--spark-master-url", url),
            *_job_server_flags(folder, job, artifacts, expansion),
            options=["-Xmx768m", "-Dspark.ui.enabled=false", "-Dspark.executor.memory=768m"],
        )
        processes.start("job-server", command, local)
        processes.wait_for_port("job-server", job)
        self.beam_args = _portable_flags(job)

    def _log(self, name: str) -> str:
        return self._processes.log(name).read_text(errors="replace")

    def failures(self) -> list[str]:
        """Return the lines about lost executors."""
        return [line for line in self._log("job-server").splitlines() if "Lost executor" in line]


def _job_server_flags(folder: Path, job: int, artifacts: int, expansion: int) -> list[object]:
    return [
        *("--job-host", HOST, "--job-port", job, "--artifact-port", artifacts),
        *("--expansion-port", expansion, "--artifacts-dir", folder / "artifacts"),
    ]


def _portable_flags(job_port: int) -> list[str]:
    """Return the flags of data.build for a job server whose workers are processes on this machine."""
    starter = _WORKER.parent.joinpath("start_worker.sh")
    environment = {"command": str(starter), "env": {"PYTHON": sys.executable, "ROOT": str(ROOT)}}
    return [
        "--runner=PortableRunner",
        f"--job_endpoint={HOST}:{job_port}",
        "--environment_type=PROCESS",
        f"--environment_config={json.dumps(environment)}",
        # Else every stage starts its workers anew.
        "--environment_cache_millis=600000",
    ]


@contextlib.contextmanager
def running(engine: type[Flink] | type[Spark], folder: Path) -> Iterator[tuple]:
    """Yield a cluster and its processes."""
    with Processes(folder) as processes:
        yield engine(processes), processes
