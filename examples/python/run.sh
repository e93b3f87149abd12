#!/bin/bash
# Makes an environment with the stock tools and the stubs of proto/ in build/python, then runs
# client.py.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$here/../../build/python
"$here/environment.sh" "$work"
PYTHONPATH=$work/stubs exec "$work/venv/bin/python" "$here/client.py" "$@"
