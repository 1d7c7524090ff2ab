#!/usr/bin/env bash
# Install the requirements of this package into an environment, with the versions and hashes of the lock file.
#
#   launch/install.sh PYTHON cpu|gpu|tpu
#
# tensorflow-tpu has the kernels for TPUs. It installs into the same folder as tensorflow, which other packages
# require, so everything is installed first, and then tensorflow is replaced.
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
