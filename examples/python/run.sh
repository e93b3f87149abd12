#!/bin/bash
# Makes an environment with the stock tools and the stubs of proto/ in build/python, then runs chat.py.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
proto=$here/../../proto
work=$here/../../build/python
if ! "$work/venv/bin/python" -c 'import grpc_tools' 2>/dev/null; then
  python3 -m venv "$work/venv"
  "$work/venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
fi
mkdir -p "$work/stubs"
find "$proto" -name '*.proto' -printf '%P\0' | xargs -0 "$work/venv/bin/python" -m grpc_tools.protoc \
  -I "$proto" --python_out="$work/stubs" --grpc_python_out="$work/stubs"
PYTHONPATH=$work/stubs exec "$work/venv/bin/python" "$here/chat.py" "$@"
