#!/bin/sh
# Makes the virtual environment of `make test-tensorrt`: setup_tensorrt_venv.sh VENV NEW_VENV
# It sees all packages of VENV and adds those of requirements/tensorrt.txt, so that VENV stays as `make test` wants it.
set -eu
cd "$(dirname "$0")/.."
venv=$1
new=$2
key=$({ cat requirements/tensorrt.txt scripts/setup_tensorrt_venv.sh; "$venv/bin/python" -VV; pwd; } | sha256sum | cut -c1-16)
[ "$(cat "$new/.vidpred-setup" 2>/dev/null)" = "$key" ] && exit 0
echo "[set-up] $new: TensorRT for RTX and CUDA's Python bindings (230 MB)"
"$venv/bin/python" -m venv --clear "$new"
packages() { "$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }
# addsitedir, unlike a bare path, also follows the .pth files there, such as the one of this package
echo "import site; site.addsitedir('$(packages "$venv")')" >"$(packages "$new")/vidpred_base.pth"
"$new/bin/python" -m pip install --disable-pip-version-check --no-input --quiet --no-deps -r requirements/tensorrt.txt
echo "$key" >"$new/.vidpred-setup"
