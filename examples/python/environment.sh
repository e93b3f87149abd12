#!/bin/bash
# Makes, in the folder given, a Python environment with the stock tools (venv) and the stubs of
# proto/ (stubs). What is there and current is kept.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
proto=$here/../../proto
work=$1
mkdir -p "$work/stubs"
exec 9>"$work/lock"
flock 9
if ! cmp -s "$here/requirements.txt" "$work/requirements.txt"; then
  python3 -m venv --clear "$work/venv"
  "$work/venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
  cp "$here/requirements.txt" "$work/requirements.txt"
fi
find "$proto" -name '*.proto' -printf '%P\0' | xargs -0 "$work/venv/bin/python" -m grpc_tools.protoc \
  -I "$proto" --python_out="$work/stubs" --grpc_python_out="$work/stubs"
