#!/bin/bash
# Judges that were not written here, at a whole set-up of its own: h2spec, gRPC's interop clients of Go and Java,
# grpcurl, ghz, a stock client in Node. They come through their languages' package registries, in versions that are
# fixed here. Expects the release build to be there.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"
here=$root/tests/judges
tools=$root/build/judges
logs=$root/build/logs
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
passed() { echo "ok - $1"; }

# fetch WHAT COMMAND...: says what to do when a registry cannot be reached.
fetch() {
  local what=$1
  shift
  if ! timeout 900 "$@" >"$logs/judges-fetch.log" 2>&1; then
    tail -n 20 "$logs/judges-fetch.log"
    echo "$what cannot be had. The first run needs the network, to $what's package registry."
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
free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

export GOFLAGS="-mod=readonly -buildvcs=false"
fetch Go env -C "$here/go" go build -o "$tools/" github.com/summerwind/h2spec/cmd/h2spec \
  github.com/fullstorydev/grpcurl/cmd/grpcurl google.golang.org/grpc/interop/client \
  google.golang.org/grpc/interop/server
fetch Go env -C "$here/ghz" go build -o "$tools/" github.com/bojand/ghz/cmd/ghz
fetch npm npm install --silent --no-audit --no-fund --no-save --prefix "$tools/node" \
  @grpc/grpc-js@1.11.1 @grpc/proto-loader@0.7.13
if ! cmp -s "$here/java/pom.xml" "$tools/java/pom.xml"; then
  rm -rf "$tools/java"
  fetch Maven mvn -q -B -f "$here/java/pom.xml" dependency:copy-dependencies -DincludeScope=runtime \
    -DoutputDirectory="$tools/java"
  cp "$here/java/pom.xml" "$tools/java/pom.xml"
fi

interop=$(free_port)
"$tools/server" -port "$interop" >"$logs/interop-server.log" 2>&1 &
server=$!
port=$((20000 + $(free_port) % 10000))
./im up --port "$port" >"$logs/judges-up.log" 2>&1 || { tail -n 30 "$logs/judges-up.log"; exit 1; }
sed -i "/^\[upstreams\]/a extra = \"grpc.testing=127.0.0.1:$interop\"" "$IM_HOME/etc/gateway.conf"
./im restart gateway >"$logs/judges-up.log" 2>&1
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
  judge "$name, Java" java -cp "$tools/java/*" io.grpc.testing.integration.TestServiceClient \
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

for address in "$plain" "$secure"; do
  options=("$here/proto,$root/proto" "$address")
  [ "$address" = "$plain" ] || options+=("$ca")
  NODE_PATH=$tools/node/node_modules timeout 240 node "$here/node/client.js" "${options[@]}"
done
passed "a stock client in Node, in plaintext and through TLS"
