#!/usr/bin/env bash
# Start-up script of a Cloud TPU VM, run as root at every boot: install the environment, then run the job
# (python -m launch.node).
#
# The VM's metadata contain the job's directory and nothing secret. Access to the bucket comes from the VM's
# service account. The log is copied to logs/ in the job's directory once a minute. The file `status` there
# becomes "ended CODE" when the run is over; it does not change when the machine is preempted.
#
# On a slice every host runs this script. Host 0 writes `status`, and host K `hosts/K`, which at the end has the
# reason that launch.node left.
set -euo pipefail

metadata=${LAMBERT_METADATA_URL:-http://metadata.google.internal/computeMetadata/v1/instance}
root=${LAMBERT_ROOT:-/opt/lambert}
user=${LAMBERT_USER-lambert}  # empty: the current user

attribute() {
  curl --silent --show-error --fail --retry 10 --retry-connrefused \
    --header 'Metadata-Flavor: Google' "$metadata/attributes/$1"
}

job=$(attribute lambert-job)
hosts=$(attribute lambert-hosts 2>/dev/null || echo 1)
host=0
if ((hosts > 1)); then host=$(attribute agent-worker-number); fi
mkdir -p "$root/logs"
log=$root/logs/$(hostname)-$(date -u +%Y%m%dT%H%M%S).log
exec >>"$log" 2>&1

keep_log() {
  gcloud storage cp "$log" "$job/logs/" >/dev/null 2>&1 || true
}

report() {
  if ((host == 0)); then
    echo "$1" >"$root/status"
    gcloud storage cp "$root/status" "$job/status" >/dev/null 2>&1
  fi
  if ((hosts > 1)); then
    echo "host $host: $1$2" >"$root/host"
    gcloud storage cp "$root/host" "$job/hosts/$host" >/dev/null 2>&1
  fi
}

finish() {
  local code=$?
  pkill --parent "$uploader" || true
  kill "$uploader" 2>/dev/null || true
  echo "launch: ended with exit code $code on $(hostname)"
  keep_log
  case $code in
    42 | 137 | 143) ;; # the machine is about to stop; the job is not over
    *) report "ended $code" " on $(hostname)$(sed 's/^/: /' "$LAMBERT_REASON_FILE" 2>/dev/null || true)" ;;
  esac
}

install() {
  local sum
  gcloud storage cp "$job/source.tar.gz" "$root/source.tar.gz"
  sum=$(sha256sum <"$root/source.tar.gz")
  if [[ $(cat "$root/installed" 2>/dev/null) == "$sum" ]]; then
    return # a reboot
  fi
  if ! command -v python3.11 >/dev/null; then
    # Right after a boot the system may be updating itself and hold the lock.
    for _ in {1..30}; do
      if apt-get update; then break; fi
      sleep 10
    done
    DEBIAN_FRONTEND=noninteractive apt-get --option DPkg::Lock::Timeout=600 \
      install --yes --no-install-recommends \
      python3.11 python3.11-venv
  fi
  rm -rf "$root/source" "$root/venv"
  mkdir "$root/source"
  tar --extract --gzip --file "$root/source.tar.gz" --directory "$root/source" --no-same-owner
  python3.11 -m venv "$root/venv"
  "$root/source/launch/install.sh" "$root/venv/bin/python" tpu
  "$root/venv/bin/python" -m pip install --no-deps --no-build-isolation "$root/source"
  echo "$sum" >"$root/installed"
}

# `finish` ends the loop. Its output is discarded so that it does not keep the log open.
while sleep 60; do keep_log; done >/dev/null 2>&1 &
uploader=$!
trap finish EXIT
stops=false
trap 'stops=true' TERM # the run receives SIGTERM too, saves, and exits

export LAMBERT_REASON_FILE=$root/reason
rm -f "$LAMBERT_REASON_FILE"
report "running on $(hostname)" ""
# System images start Google's own server, which takes the port of ours and the chips.
systemctl stop tpu-runtime >/dev/null 2>&1 || true
install
as_user=()
if [[ -n $user ]]; then
  id "$user" >/dev/null 2>&1 || useradd --system --create-home "$user"
  touch "$LAMBERT_REASON_FILE"
  chown "$user" "$LAMBERT_REASON_FILE"
  as_user=(runuser --user "$user" -- env "HOME=/home/$user")
fi
cd "$root"
while :; do
  code=0
  "${as_user[@]}" "$root/venv/bin/python" -m launch.node "$job" || code=$?
  if ((code != 42 && code != 143 || hosts == 1)) || $stops; then break; fi
  # Another host of the slice was told to stop, and perhaps only that one: if this machine lives on, it has to
  # be there when the other one is back.
  echo "launch: stopped; starting again in ${LAMBERT_RESTART_SECONDS:=300} s, unless this machine stops"
  keep_log
  sleep "$LAMBERT_RESTART_SECONDS" &
  wait $! || true
  if $stops; then break; fi
done
(exit "$code")
