#!/usr/bin/env bash
# The first test on chips of a slice of several hosts, in about half an hour.
#
#   launch/slice/first_test.sh GIN_FILE JOB_GIN_FILE
#
# The first file has the settings of the run, such as gin/lambert_large.gin; the second one those of LaunchConfig
# with project, zone, bucket, data_dir and service_account (docs/launching.md). The test
#
# 1. trains 50 steps on a v5litepod-16 (4 hosts), after the preflight of all devices together;
# 2. reboots host 1 after step 20: the run must resume from its checkpoint and end;
# 3. trains the same steps on a v5litepod-8, a single host;
# 4. compares the losses.
#
# Both TPUs are deleted at the end, also after a failure. Host 1 is reached by ssh through Identity-Aware Proxy.
set -euo pipefail

if (($# != 2)); then
  echo "usage: launch/slice/first_test.sh GIN_FILE JOB_GIN_FILE" >&2
  exit 2
fi
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
python=${PYTHON:-.venv/bin/python}
poll_seconds=${POLL_SECONDS:-10}
# Of losses at the same step, as a share of the loss: devices add in another order, in bfloat16.
tolerance=0.01
name=first-test-$(date +%s)
folder=$(mktemp -d)
settings=(--gin_file "$1" --gin_file "$2")
for param in train_steps=50 checkpoint_interval=10 log_interval=5 eval_interval=50 global_batch_size=2048; do
  settings+=(--gin_param "TrainConfig.$param")
done
settings+=(--gin_param OptimizerConfig.warmup_steps=25)

tpu() { # VERB JOB ACCELERATOR
  "$python" -m launch.tpu "$1" "${settings[@]}" --gin_param "LaunchConfig.name='$2'" \
    --gin_param "LaunchConfig.accelerator='$3'" --work_dir "$folder/$2"
}

setting() { # NAME: the value of a setting of the job
  sed -n "s/.*\"$1\": \"\(.*\)\",\{0,1\}$/\1/p" "$folder/$name-slice/job.json"
}

saved_step() { # JOB: the step of its newest checkpoint
  { gcloud storage cat "$bucket/$1/model/saved.json" 2>/dev/null || true; } |
    sed -n 's/.*"step": *\([0-9]*\).*/\1/p' | head -n 1
}

say() { echo "first test: $*"; }

cleanup() {
  tpu delete "$name-slice" v5litepod-16 >/dev/null 2>&1 || true
  tpu delete "$name-host" v5litepod-8 >/dev/null 2>&1 || true
}

wait_for_end() { # JOB ACCELERATOR
  tpu run "$1" "$2" >"$folder/$1.log" 2>&1 || { tail -n 5 "$folder/$1.log" >&2; return 1; }
  gcloud storage cat "$bucket/$1/model/metrics.jsonl" >"$folder/$1.jsonl"
}

trap cleanup EXIT
say "1. 50 steps on a v5litepod-16; files are in $folder"
tpu create "$name-slice" v5litepod-16
bucket=$(setting bucket)
while step=$(saved_step "$name-slice") && ((${step:-0} < 20)); do
  tpu status "$name-slice" v5litepod-16 | tail -n 6
  if gcloud storage cat "$bucket/$name-slice/status" | grep -q '^ended'; then
    say "the job has ended before step 20; see: gcloud storage cat '$bucket/$name-slice/logs/*'" >&2
    exit 1
  fi
  sleep "$poll_seconds"
done
say "2. reboot of host 1 at step $step"
gcloud compute tpus tpu-vm ssh "$name-slice" --worker=1 --tunnel-through-iap --project="$(setting project)" \
  --zone="$(setting zone)" --command='sudo systemctl reboot --force' || true # the connection breaks
wait_for_end "$name-slice" v5litepod-16
say "   resumed and ended"
say "3. the same steps on a v5litepod-8"
wait_for_end "$name-host" v5litepod-8
say "4. losses"
"$python" - "$folder/$name-slice.jsonl" "$folder/$name-host.jsonl" "$tolerance" <<'PYTHON'
import json
import sys

slice_losses, host_losses = (
    {row["step"]: row["loss"] for row in map(json.loads, open(path)) if "loss" in row}
    for path in sys.argv[1:3]
)
steps = sorted(slice_losses.keys() & host_losses.keys())
worst = 0.0
for step in steps:
    difference = abs(slice_losses[step] / host_losses[step] - 1)
    worst = max(worst, difference)
    print(f"  step {step:3}  slice {slice_losses[step]:.5f}  host {host_losses[step]:.5f}  {difference:.2%}")
if not steps or worst > float(sys.argv[3]):
    sys.exit(f"first test: FAILED: losses differ by up to {worst:.2%}, or there are none")
print(f"first test: passed: losses of {len(steps)} steps differ by at most {worst:.2%}")
PYTHON
