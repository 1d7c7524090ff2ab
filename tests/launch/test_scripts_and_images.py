"""Scripts, Dockerfiles and documented commands, checked by shellcheck, hadolint and gcloud."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from launch import slurm, tpu, vertex
from launch.jobs.job import package_folders
from tests.support.jobs import GPUS, make_job
from tests.support.paths import ROOT


def test_scripts_pass_shellcheck(tmp_path):
    generated = tmp_path / "job.sbatch"
    generated.write_text(slurm.batch_script(make_job(bucket="/shared", **GPUS)))
    scripts = [*sorted(ROOT.glob("launch/**/*.sh")), generated]
    assert len(scripts) == 4
    done = _tool("shellcheck", *scripts)
    assert (done.returncode, done.stdout) == (0, "")


def test_dockerfiles_pass_hadolint():
    files = sorted(ROOT.glob("launch/docker/*.Dockerfile"))
    assert len(files) == 2
    done = _tool("hadolint", *files)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("name", ["trainer", "beam_worker"])
def test_images_contain_every_package_and_run_without_privileges(name):
    lines = (ROOT / f"launch/docker/{name}.Dockerfile").read_text().splitlines()
    assert {f"COPY {folder} {folder}" for folder in package_folders()} <= {*lines}
    assert [line for line in lines if line.startswith("USER")] in (
        ["USER 1000:1000"],
        ["USER 1000"],
    )
    context = (ROOT / ".dockerignore").read_text().splitlines()
    assert context[1] == "*"  # only what is named goes into an image
    assert {f"!{folder}" for folder in package_folders()} <= {*context}


@pytest.mark.parametrize("name", ["gpu", "tpu"])
def test_every_requirement_is_pinned_with_its_hashes(name):
    text = (ROOT / f"launch/requirements-{name}.txt").read_text().replace("\\\n", "")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert lines
    assert all("==" in line and "--hash=sha256:" in line for line in lines)


@pytest.mark.skipif(not shutil.which("gcloud"), reason="gcloud is not installed")
def test_gcloud_accepts_every_command(tmp_path):
    """gcloud parses the commands, without account or network."""
    jobs = [
        tpu.run(make_job(spot=True, network="n", subnetwork="s", valid_until_duration="6h"), "W")
    ]
    jobs += [
        tpu.run(make_job(accelerator="v5e-16"), "W"),
        tpu.logs(make_job()),
        vertex.create(make_job(**GPUS), "W"),
        vertex.status(make_job(**GPUS), "W"),
    ]
    commands = [c for action in jobs for c in (*action.commands, action.exists_command)]
    lines = [shlex.join(command) for command in commands if command and command[0] == "gcloud"]
    (script,) = vertex.logs(make_job(**GPUS), "W").commands
    lines.append(
        script[2].replace(script[2][script[2].index('"$(') : script[2].index(')" ') + 2], "17")
    )
    lines += [line for line in _documented() if line.startswith("gcloud ")]
    assert len(lines) >= 20
    lines = list(dict.fromkeys(lines))  # as gcloud does
    lines.append("gcloud storage cp a b --no-such-flag")
    (tmp_path / "commands.json").write_text(
        json.dumps([{"command_string": line} for line in lines])
    )
    done = subprocess.run(
        ["gcloud", "meta", "lint-gcloud-commands", f"--commands-file={tmp_path}/commands.json"],
        env={
            **os.environ,
            "CLOUDSDK_CONFIG": str(tmp_path),
            "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    *results, invalid = json.loads(done.stdout)
    assert len(results) == len(lines) - 1
    assert [line["error_message"] for line in results if not line["success"]] == []
    assert "unrecognized arguments: --no-such-flag" in invalid["error_message"]


def _documented() -> list[str]:
    """Return the gcloud commands in docs/security.md and docs/launching.md, one per line."""
    text = "".join((ROOT / f"docs/{name}.md").read_text() for name in ("launching", "security"))
    lines = text.replace("\\\n", " ").replace("PROJECT", "some-project").splitlines()
    return [" ".join(line.split()) for line in lines if line.startswith("    gcloud ")]


def _tool(name: str, *arguments) -> subprocess.CompletedProcess:
    path = Path(sys.executable).parent / name
    return subprocess.run([path, *arguments], capture_output=True, text=True)
