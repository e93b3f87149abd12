#!/bin/bash
# Judges that were not written here, at a whole set-up of its own: h2spec, gRPC's interop clients of Go and Java,
# grpcurl, ghz, stock clients in Node, Python, Java and C++. They come through their languages' package registries, in
# versions that are fixed here; gRPC for C++ is Debian's. Expects the release build to be there, with judges_client.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"
. tests/setup/lib.sh
here=$root/tests/judges
tools=$root/build/judges
logs=$root/build/logs
cpp_client=$root/build/release/tests/judges_client
[ -x "$cpp_client" ] || { echo "$cpp_client is not there; ./im test judges builds it"; exit 1; }
mkdir -p "$tools" "$logs"

work=$(mktemp -d)
chmod 711 "$work"
export IM_HOME=$work/home
server=
finish() {
  local status=$?
  [ -z "$server" ] || kill "$server" || true
  if [ $status -ne 0 ] && [ -d "$IM_HOME/log" ]; then ./im logs gateway -n 30 || true; fi
  [ ! -d "$IM_HOME/service" ] || ./im down --erase <<<erase >/dev/null
  rm -rf "$work"
  exit $status
}
trap finish EXIT

# fetch WHAT COMMAND...: says what to do when a registry cannot be reached.
fetch() {
  local what=$1
  shift
  if ! timeout 900 "$@" >"$logs/judges-fetch.log" 2>&1; then
    tail -n 20 "$logs/judges-fetch.log"
    echo "failed: $what. The first run needs the network, to $what's package registry."
    exit 1
  fi
}
# judge WHAT COMMAND...: within two minutes; what it prints is shown if it fails.
judge() {
  local what=$1
  shift
  if ! timeout 120 "$@" >"$logs/judge.log" 2>&1; then
    tail -n 40 "$logs/judge.log"
    echo "failed: $what"
    exit 1
  fi
}
# start COMMAND...: prints nothing, but its log if it fails.
start() {
  if ! "$@" >"$logs/judges-start.log" 2>&1; then
    tail -n 30 "$logs/judges-start.log"
    echo "failed: $*"
    exit 1
  fi
}

export GOFLAGS="-mod=readonly -buildvcs=false"
fetch Go env -C "$here/go" go build -o "$tools/" github.com/summerwind/h2spec/cmd/h2spec \
  github.com/fullstorydev/grpcurl/cmd/grpcurl google.golang.org/grpc/interop/client \
  google.golang.org/grpc/interop/server
fetch Go env -C "$here/ghz" go build -o "$tools/" github.com/bojand/ghz/cmd/ghz
# What is there and current is kept; the copy of the lock file says what is there.
if ! cmp -s "$here/node/package-lock.json" "$tools/node/installed.json"; then
  rm -rf "$tools/node"
  mkdir "$tools/node"
  cp "$here"/node/package*.json "$tools/node/"
  fetch npm npm ci --loglevel error --ignore-scripts --no-audit --no-fund --prefix "$tools/node"
  cp "$here/node/package-lock.json" "$tools/node/installed.json"
fi
fetch PyPI examples/python/environment.sh "$tools/python"
"$tools/python/venv/bin/python" -m grpc_tools.protoc -I "$here/proto/grpc/testing" --python_out="$tools/python/stubs" \
  --grpc_python_out="$tools/python/stubs" test.proto
java_sources=$(cat "$here"/java/*.{xml,java} "$root"/proto/im/*/v1/*.proto | sha256sum)
if [ "$java_sources" != "$(cat "$tools/java/built-from" 2>/dev/null)" ]; then
  rm -rf "$tools/java"
  fetch Maven mvn -q -B -f "$here/java/pom.xml" compile
  echo "$java_sources" >"$tools/java/built-from"
fi

port=$(any_port)
# Within the hundred that are free, beyond those of the set-up.
interop=$((port + 50))
"$tools/server" -port "$interop" >"$logs/interop-server.log" 2>&1 &
server=$!
serves() {
  kill -0 "$server" 2>/dev/null || { tail -n 20 "$logs/interop-server.log"; echo "failed: the interop server"; exit 1; }
  (exec 3<>"/dev/tcp/127.0.0.1/$interop") 2>/dev/null
}
until_true "the interop server listens" serves
start ./im up --port "$port"
sed -i "/^\[upstreams\]/a extra = \"grpc.testing=127.0.0.1:$interop\"" "$IM_HOME/etc/gateway.conf"
start ./im restart gateway
ca=$IM_HOME/certs/ca.crt
plain=127.0.0.1:$port secure=localhost:$((port + 1))

# h2spec.py says whether it passed.
timeout 120 "$tools/h2spec" -h 127.0.0.1 -p "$port" -j "$work/plain.xml" >"$logs/h2spec.log" 2>&1 || true
python3 "$here/h2spec.py" "$work/plain.xml"
timeout 120 "$tools/h2spec" -h 127.0.0.1 -p $((port + 1)) -t -k -j "$work/secure.xml" >"$logs/h2spec-tls.log" 2>&1 || true
python3 "$here/h2spec.py" "$work/secure.xml"
passed "h2spec, in plaintext and through TLS"

# All of the client's cases but those with accounts in a cloud, and pick_first_unary, orca_per_rpc and orca_oob,
# which fail at this server without anything in between, too.
cases=(empty_unary large_unary client_streaming server_streaming ping_pong empty_stream
  timeout_on_sleeping_server cancel_after_begin cancel_after_first_response status_code_and_message
  special_status_message custom_metadata unimplemented_method unimplemented_service)
for name in "${cases[@]}"; do
  judge "$name, Go" "$tools/client" -server_host 127.0.0.1 -server_port "$port" -test_case "$name"
  judge "$name, Go, TLS" "$tools/client" -server_host 127.0.0.1 -server_port $((port + 1)) -use_tls -use_test_ca -ca_file "$ca" \
    -server_host_override localhost -test_case "$name"
done
passed "gRPC's interop client of Go, ${#cases[@]} cases in plaintext and through TLS"

for name in "${cases[@]}"; do
  judge "$name, Java" java -cp "$tools/java/lib/*" io.grpc.testing.integration.TestServiceClient \
    --server_host=127.0.0.1 --server_port="$port" --use_tls=false --test_case="$name"
done
passed "gRPC's interop client of Java, ${#cases[@]} cases"

# says TEXT ARGUMENTS...: what grpcurl prints has that text in it.
says() {
  local text=$1 output
  shift
  output=$("$tools/grpcurl" -max-time 20 "$@" 2>&1) || { echo "grpcurl $*: $output"; exit 1; }
  grep -qF -- "$text" <<<"$output" || { echo "'$text' is not in what grpcurl $* printed: $output"; exit 1; }
}
for name in im.auth.v1.AccountService im.chat.v1.MessageService im.gateway.v1.GatewayService; do
  says "$name" -plaintext "$plain" list
done
says "rpc Connect ( stream" -cacert "$ca" "$secure" describe im.gateway.v1.GatewayService
says jwks_json -plaintext "$plain" im.auth.v1.KeyService/GetKeys
says '"SERVING"' -cacert "$ca" -import-path "$here/proto" -proto grpc/health/v1/health.proto "$secure" \
  grpc.health.v1.Health/Check
passed "grpcurl: reflection, a call by it, health"

"$tools/ghz" --insecure --call im.auth.v1.KeyService.GetKeys -n 5000 -c 50 --connections 5 -O json "$plain" \
  >"$work/ghz.json"
python3 -c '
import json, sys
report = json.load(open(sys.argv[1]))
assert report["statusCodeDistribution"] == {"OK": 5000}, report["statusCodeDistribution"]' "$work/ghz.json"
passed "ghz: 5,000 unary calls, 50 at a time"

# stock_client LANGUAGE COMMAND...: in plaintext and through TLS.
stock_client() {
  local language=$1
  shift
  timeout 240 "$@" "$plain" || { echo "failed: $language, in plaintext"; exit 1; }
  timeout 240 "$@" "$secure" "$ca" || { echo "failed: $language, through TLS"; exit 1; }
  passed "a stock client in $language, in plaintext and through TLS"
}
stock_client Node env NODE_PATH="$tools/node/node_modules" node "$here/node/client.js" "$here/proto,$root/proto"
stock_client Python env PYTHONPATH="$tools/python/stubs" "$tools/python/venv/bin/python" -u "$here/python/client.py"
stock_client Java java -cp "$tools/java/classes:$tools/java/lib/*" Client
stock_client C++ "$cpp_client"
