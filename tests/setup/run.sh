#!/bin/bash
# ./im from outside, in two state folders of its own: set up, again, edit, kill, restart, down, up; and the
# example in Python as the first client. Expects the release build to be there.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"
. tests/setup/lib.sh

work=$(mktemp -d)
# PostgreSQL's user can reach the first folder, but not the second. ./im has to cope with the blank, to let
# PostgreSQL's user pass the folder that it makes, and to shorten the long name.
chmod 711 "$work"
mkdir -m 700 "$work/closed"
first="$work/folder/the first" second=$work/closed/$(printf 'long%.0s' {1..20})/second
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

# of NAME FIELD: from ./im status --json.
of() {
  ./im status --json | python3 -c '
import json, sys
services = {s["name"]: s for s in json.load(sys.stdin)["services"]}
assert list(services) == ["auth", "chat", "presence", "gateway", "postgres"], services
print(services[sys.argv[1]][sys.argv[2]])' "$1" "$2"
}
all_healthy() { ./im status >/dev/null; }

port=$(any_port)
refuses 2 "--port must be a number" ./im up --port abc
refuses 2 "--port must be a number" ./im up --port=
refuses 2 "does not know --prot" ./im up --prot
refuses 1 "There is no set-up in $first" ./im status --json
has "./im up [--port N]" ./im up --help
[ ! -e "$first" ]
IM_HOME=/proc refuses 1 "/proc is neither a set-up nor an empty folder" ./im up
IM_HOME=/proc/im refuses 1 "cannot create directory" ./im up
passed "what cannot be is refused before anything is made"

has "IM is up on 127.0.0.1:$port" ./im up --port $port
all_healthy
[ ! -L "$first/postgres" ]
passed "up: everything healthy"

has "hears: One. Two. Three." examples/python/run.sh --server "127.0.0.1:$port"
has "hears: One. Two. Three." examples/python/run.sh --server "localhost:$((port + 1))" --ca "$first/certs/ca.crt"
passed "the example in Python talks, in plaintext and through TLS"

chat=$(of chat pid)
flock build/release/im-lock sh -c "until [ -e '$work/built' ]; do sleep 0.1; done" &
locks=$!
until_true "somebody builds" eval "! flock -n build/release/im-lock true"
./im up >"$work/again" 2>&1 &
again=$!
until_true "the second waits" grep -qF "another ./im builds in build/release" "$work/again"
touch "$work/built"
wait $locks $again
again=$(<"$work/again")
for text in "another ./im builds in build/release" "release: nothing to do" "Nothing changed"; do
  has "$text" echo "$again"
done
[ "$(of chat pid)" = "$chat" ]
passed "up again: changes nothing and says so"

echo "# edited" >>"$first/etc/chat.conf"
gateway=$(of gateway pid)
has "etc/chat.conf was edited here and is left alone" ./im up
grep -q '# edited' "$first/etc/chat.conf"
[ "$(of chat pid)" != "$chat" ] && [ "$(of gateway pid)" = "$gateway" ]
passed "an edited configuration is kept, and only its daemon restarted"

# As after a change of the template.
echo "# older" >>"$first/state/rendered/chat.conf"
has "see etc/chat.conf.new" ./im up
mv "$first/etc/chat.conf.new" "$first/etc/chat.conf"
has "chat          restarting" ./im up
adopted=$(./im up)
refuses 1 "" grep "was edited here" <<<"$adopted"
has "Nothing changed" echo "$adopted"
[ ! -e "$first/etc/chat.conf.new" ]
passed "what is made of a new template can be adopted"

has "IM is up on 127.0.0.1:$((port + 1))" ./im up --port $((port + 1))
sed -i 's/^listen = .*/&  # edited/' "$first/etc/gateway.conf"
refuses 1 "its line 3 is: listen = 127.0.0.1:$((port + 1))" ./im up --port $port
has "etc/gateway.conf was edited here" ./im up
sed -i "3s/:$((port + 1))/:$port/" "$first/etc/gateway.conf"
has "IM is up on 127.0.0.1:$port, with TLS on 127.0.0.1:$((port + 2))" ./im up --port $port
rm "$first/etc/gateway.conf"
has "IM is up on 127.0.0.1:$port, with TLS on 127.0.0.1:$((port + 1))" ./im up
passed "another port, also with an edited configuration"

# In a checkout that others can read.
if [ "$(id -u)" -eq 0 ] && setpriv --reuid=nobody --clear-groups test -r "$PWD/im"; then
  for command in up status down restart logs "user list" "bench pairs"; do
    # shellcheck disable=SC2086
    refuses 1 "The state folder $first belongs to root" setpriv --reuid=nobody --clear-groups ./im $command
  done
  passed "somebody else's set-up is left alone"
fi

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
refuses 2 "does not know lsit" ./im user lsit
refuses 2 "-n must be a number" ./im logs -n abc
logs_are_clean "correct horse battery" "One. Two. Three."
passed "restart, user; and nothing of theirs in the logs"

IM_HOME=$second has "IM is up on 127.0.0.1:$((port + 50))" ./im up --port $((port + 50))
IM_HOME=$second has "hears: One. Two. Three." examples/python/run.sh --server "127.0.0.1:$((port + 50))"
all_healthy
passed "a second set-up beside the first"

tls="tls_certificate = \"$second/certs/server.crt\"\ntls_key = \"$second/certs/server.key\""
sed -i "s|^\[upstreams\]|&\ntls_ca = \"$second/certs/ca.crt\"\n$tls|" "$second"/etc/{chat,presence,gateway}.conf
for name in auth:70 chat:71 presence:72; do
  address=$((port + ${name#*:})) name=${name%:*}
  sed -i "s|^listen = \"unix:.*|listen = \"0.0.0.0:$address\"\n$tls\ntls_client_ca = \"$second/certs/ca.crt\"|" \
    "$second/etc/$name.conf"
  sed -i "s|^$name = \"unix:.*|$name = \"localhost:$address\"|" "$second"/etc/*.conf
done
IM_HOME=$second has "IM is up" ./im up
IM_HOME=$second has "localhost:$((port + 71))" ./im status
IM_HOME=$second has "hears: One. Two. Three." examples/python/run.sh --server "127.0.0.1:$((port + 50))"
pid=$(IM_HOME=$second of chat pid)
kill -STOP "$pid"
IM_HOME=$second refuses 1 "unhealthy" ./im status
kill -CONT "$pid"
IM_HOME=$second until_true "chat is healthy" all_healthy
IM_HOME=$second has "everything stopped" ./im down
passed "services on TCP with mutual TLS are asked as the gateway asks them"

has "report: wrote $work/report/performance.md" ./im bench report --quick --out "$work/report"
grep -q "^| storm of 5,000 | [0-9]" "$work/report/performance.md"
for plot in rate history growth-messages growth-users growth-members; do python3 -c 'import sys, xml.dom.minidom as x; x.parse(sys.argv[1])' "$work/report/performance/$plot.svg"; done
passed "every scenario of the load generator runs and is complete"

has "everything stopped" ./im down
[ "$(of gateway pid)" = None ] && [ "$(of postgres healthy)" = False ]
if ./im status >/dev/null; then echo "status of what is down succeeded"; exit 1; fi
refuses 1 "Nothing runs here" ./im user list
refuses 1 "Nothing runs here" ./im bench pairs
python3 -c '
import socket, sys, time
taken = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("listening", flush=True)
time.sleep(60)' "$port" >"$work/taken" &
taken=$!
until_true "the port is taken" grep -q listening "$work/taken"
refuses 1 "Port $port on this machine is in use by another program" ./im up
kill $taken
has "IM is up on 127.0.0.1:$port" ./im up
has "carol" ./im user list
passed "down, and up again with the data and the port it had"

erase "$first"
[ ! -e "$first" ]
passed "down --erase leaves nothing"
