#!/usr/bin/env bash
# Installs what this package needs into an environment: versions and hashes are those of the lock file.
#
#   launch/install.sh PYTHON cpu|gpu|tpu
#
# tensorflow-tpu has the kernels of TPUs and owns the same folder as tensorflow, which others require:
# everything is installed first, then the one takes the place of the other.
set -euo pipefail

python=$1
device=$2
cd "$(dirname "${BASH_SOURCE[0]}")/.."

pip() {
  "$python" -m pip --disable-pip-version-check --no-cache-dir "$@"
}

pip install --require-hashes --requirement requirements.lock
case $device in
  cpu) ;;
  gpu) pip install --require-hashes --no-deps --requirement launch/requirements-gpu.txt ;;
  tpu)
    pip uninstall --yes tensorflow
    pip install --require-hashes --no-deps --requirement launch/requirements-tpu.txt
    ;;
  *)
    echo "install.sh: $device: must be cpu, gpu or tpu" >&2
    exit 2
    ;;
esac
