#!/bin/bash
# ./im from outside, in two state folders of its own: set up, again, edit, kill, restart, down, up; and the
# example in Python as the first client. Expects the release build to be there.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"

work=$(mktemp -d)
# PostgreSQL's user can reach the first folder, but not the second.
chmod 711 "$work"
mkdir -m 700 "$work/closed"
first=$work/first second=$work/closed/second
export IM_HOME=$first

erase() { [ ! -d "$1/service" ] || IM_HOME=$1 ./im down --erase <<<erase >/dev/null; }
finish() {
  local status=$?
  if [ $status -ne 0 ] && [ -d "$first/log" ]; then IM_HOME=$first ./im logs -n 30; fi
  erase "$first"
  erase "$second"
  rm -rf "$work"
  exit $status
}
trap finish EXIT

passed() { echo "ok - $1"; }
# has TEXT COMMAND...: the command succeeds and prints the text.
has() {
  local text=$1 output
  shift
  output=$("$@" 2>&1) || { echo "failed: $*"; echo "$output"; exit 1; }
  grep -qF -- "$text" <<<"$output" || { echo "'$text' is not in what $* printed:"; echo "$output"; exit 1; }
}
free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
# of NAME FIELD: from ./im status --json.
of() {
  ./im status --json | python3 -c '
import json, sys
services = {s["name"]: s for s in json.load(sys.stdin)["services"]}
assert list(services) == ["auth", "chat", "presence", "gateway", "postgres"], services
print(services[sys.argv[1]][sys.argv[2]])' "$1" "$2"
}
# until_true WHAT COMMAND...: within a minute.
until_true() {
  local what=$1 deadline=$((SECONDS + 60))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$deadline" ] || { echo "not within a minute: $what"; exit 1; }
    sleep 0.2
  done
}
all_healthy() { ./im status >/dev/null; }

# Well below the ports that programs get when they ask for any.
port=$((20000 + $(free_port) % 10000))
has "IM is up on 127.0.0.1:$port" ./im up --port $port
all_healthy
passed "up: everything healthy"

has "hears: One. Two. Three." examples/python/run.sh --server "127.0.0.1:$port"
has "hears: One. Two. Three." examples/python/run.sh --server "localhost:$((port + 1))" --ca "$first/certs/ca.crt"
passed "the example in Python talks, in plaintext and through TLS"

chat=$(of chat pid)
has "Nothing changed" ./im up
[ "$(of chat pid)" = "$chat" ]
passed "up again: changes nothing and says so"

echo "# edited" >>"$first/etc/chat.conf"
gateway=$(of gateway pid)
has "etc/chat.conf was edited here and is left alone" ./im up
grep -q '# edited' "$first/etc/chat.conf"
[ "$(of chat pid)" != "$chat" ] && [ "$(of gateway pid)" = "$gateway" ]
passed "an edited configuration is kept, and only its daemon restarted"

for name in auth chat presence gateway postgres; do
  pid=$(of $name pid)
  kill -9 "$pid"
  has_new_pid() { [[ "$(of $name pid)" != "$pid" && "$(of $name pid)" != None ]]; }
  until_true "$name runs again" has_new_pid
done
until_true "all are healthy" all_healthy
has "was ended by signal 9" ./im logs auth
passed "what is killed comes back"

has "auth          restarted, healthy" ./im restart auth
has "Added carol" ./im user add carol --password-stdin <<<"correct horse battery"
has "carol" ./im user list
passed "restart, user"

IM_HOME=$second has "IM is up on 127.0.0.1:$((port + 50))" ./im up --port $((port + 50))
IM_HOME=$second has "hears: One. Two. Three." examples/python/run.sh --server "127.0.0.1:$((port + 50))"
all_healthy
IM_HOME=$second has "everything stopped" ./im down
passed "a second set-up beside the first"

has "everything stopped" ./im down
[ "$(of gateway pid)" = None ] && [ "$(of postgres healthy)" = False ]
if ./im status >/dev/null; then echo "status of what is down succeeded"; exit 1; fi
has "IM is up on 127.0.0.1:$port" ./im up
has "carol" ./im user list
passed "down, and up again with the data and the port it had"

erase "$first"
[ ! -e "$first" ]
passed "down --erase leaves nothing"
