"""The first test on chips, with small programs in place of gcloud and launch.tpu."""

import os
import subprocess
import sys

import pytest

from tests.support.paths import ROOT

# launch.tpu records its calls, `create` writes the job, and every poll saves ten more steps.
PYTHON = f"""
if [[ $1 == - ]]; then exec {sys.executable} "$@"; fi
echo "$3 $(grep -o "accelerator='[^']*'" <<<"$*")" >>"$STATE/calls"
work=${{!#}}
mkdir -p "$work"
printf '{{\\n "bucket": "gs://b",\\n "project": "p",\\n "zone": "z-a"\\n}}\\n' >"$work/job.json"
"""
GCLOUD = """
case "$*" in
  *saved.json) echo x >>"$STATE/polls"; echo "{\\"step\\": $(($(wc -l <"$STATE/polls") * 10))}" ;;
  *slice/model/metrics.jsonl) echo '{"step": 5, "loss": 10.0}'; echo '{"step": 50, "accuracy": 1}' ;;
  *host/model/metrics.jsonl) echo "{\\"step\\": 5, \\"loss\\": $LOSS}" ;;
  *ssh*) echo "ssh $*" >>"$STATE/calls"; exit 255 ;;
esac
"""


def run(tmp_path, loss: str) -> tuple[int, str, list[str]]:
    """Return exit code, output and recorded calls of the script."""
    for name, body in {"python": PYTHON, "gcloud": GCLOUD}.items():
        (tmp_path / name).write_text(f"#!/usr/bin/env bash\n{body}")
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        [ROOT / "launch/slice/first_test.sh", "run.gin", "job.gin"],
        env={
            **os.environ,
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "PYTHON": str(tmp_path / "python"),
            "POLL_SECONDS": "0",
            "STATE": str(tmp_path),
            "LOSS": loss,
        },
        capture_output=True,
        text=True,
    )
    return (
        done.returncode,
        done.stdout + done.stderr,
        (tmp_path / "calls").read_text().splitlines(),
    )


def test_host_is_rebooted_and_losses_are_compared(tmp_path):
    code, output, calls = run(tmp_path, "10.05")
    assert (code, output.splitlines()[-1]) == (
        0,
        "first test: passed: losses of 1 steps differ by at most 0.50%",
    )
    a_slice, one_host = "accelerator='v5litepod-16'", "accelerator='v5litepod-8'"
    reboot = calls.pop(next(i for i, call in enumerate(calls) if call.startswith("ssh")))
    assert "--worker=1 --tunnel-through-iap --project=p --zone=z-a" in reboot
    assert calls == [
        *(f"{verb} {a_slice}" for verb in ("create", "status", "run")),
        f"run {one_host}",
        *(f"delete {a_slice}", f"delete {one_host}"),
    ]


@pytest.mark.parametrize("loss", ["10.2", "9.8"])
def test_other_losses_fail_and_both_tpus_are_deleted(tmp_path, loss):
    code, output, calls = run(tmp_path, loss)
    assert code == 1
    assert "FAILED: losses differ by up to" in output
    assert [call.split()[0] for call in calls[-2:]] == ["delete", "delete"]
