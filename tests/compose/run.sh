#!/bin/bash
# deploy/docker-compose.yml for real: up, two people chat inside and one outside, crashes, down. Packages the
# release build that is there. Where there is no Docker engine, the tools folder beside the checkout brings one
# (IM_SHARED names it elsewhere); without either the test is skipped.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"

engine=${IM_SHARED:-$root/../shared}/tools/offline-docker.sh
started_engine=no
if [ -x "$engine" ]; then
  docker info >/dev/null 2>&1 || started_engine=yes
  "$engine" all
  eval "$("$engine" env)"
  # With it, docker-compose 1 does not pass standard input on to exec.
  unset COMPOSE_INTERACTIVE_NO_CLI
elif ! docker info >/dev/null 2>&1 || ! command -v docker-compose >/dev/null; then
  echo "skipped: there is no Docker engine with docker-compose here"
  exit 77
fi

export COMPOSE_PROJECT_NAME=imtest$$ IM_IMAGE_TARGET=packaged
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export IM_PUBLISH=127.0.0.1:$port
work=$(mktemp -d)
compose() { docker-compose -f deploy/docker-compose.yml "$@"; }

finish() {
  local status=$?
  if [ $status -ne 0 ]; then
    compose ps || true
    compose logs --tail=30 || true
  fi
  compose down -v --remove-orphans >"$work/down.log" 2>&1 || cat "$work/down.log"
  [ $started_engine = no ] || "$engine" stop
  rm -rf "$work"
  exit $status
}
trap finish EXIT

passed() { echo "ok - $1"; }
imctl() { compose exec -T gateway imctl "$@"; }
state() { docker inspect -f "$2" "$(compose ps -q "$1")"; }
until_healthy() {
  local name deadline=$((SECONDS + 90))
  for name in "$@"; do
    until [ "$(state "$name" '{{.State.Health.Status}}')" = healthy ]; do
      [ "$SECONDS" -lt "$deadline" ] || { echo "$name is not healthy"; return 1; }
      sleep 0.5
    done
  done
}
expect() { grep -qF -- "$1" <<<"$2" || { echo "'$1' is not in:"; echo "$2"; return 1; }; }
# The process dies as it would by itself; docker kill would count as a stop.
crash() {
  local pid
  pid=$(state "$1" '{{.State.Pid}}')
  kill -9 "$pid"
  until [ "$(state "$1" '{{.State.Running}}')" = true ] && [ "$(state "$1" '{{.State.Pid}}')" != "$pid" ]; do
    sleep 0.2
  done
}

compose up -d --build >"$work/up.log" 2>&1 </dev/null || { tail -n 40 "$work/up.log"; exit 1; }
until_healthy postgres auth chat presence gateway
passed "up: everything healthy"

imctl register ann --password-stdin <<<"correct horse battery"
imctl --profile bob register bob --password-stdin <<<"battery horse correct"
imctl contacts request bob --greeting "It is me"
imctl --profile bob contacts accept ann
imctl send bob "Can you hear me?"
expect "Can you hear me?" "$(imctl --profile bob history ann)"
passed "two people chat"

imctl_user=$(compose exec -T gateway id -un)
expect im "$imctl_user"
for name in postgres auth chat presence; do
  [ "$(state $name '{{len .HostConfig.PortBindings}}')" = 0 ]
done
compose exec -T gateway cat /secrets/ca.crt >"$work/ca.crt"
[ "$(compose exec -T gateway ls /secrets | xargs)" = "ca.crt server.crt server.key" ]
expect "hears: One. Two. Three." "$(examples/python/run.sh --server "localhost:$port" --ca "$work/ca.crt")"
passed "a stranger's client comes in through TLS, the only port"

for name in auth chat presence gateway postgres; do
  crash $name
  until_healthy $name
done
until_healthy postgres auth chat presence gateway
imctl --profile bob send ann "Yes."
history=$(imctl history bob)
expect "Can you hear me?" "$history"
expect "Yes." "$history"
passed "what crashes comes back, with everything that was said"

compose stop >"$work/stop.log" 2>&1
compose up -d >"$work/up.log" 2>&1 </dev/null || { tail -n 40 "$work/up.log"; exit 1; }
until_healthy postgres auth chat presence gateway
expect "Yes." "$(imctl history bob)"
passed "stopped and up again with the same data"

# Each service shows its own password, and its role reads its own schema.
for name in auth chat presence; do
  expect "$name" "$(compose exec -T $name find /passwords -name pgpass -printf '%h')"
  [ "$(compose exec -T $name find /passwords -name pgpass | wc -l)" = 1 ]
done
[ "$(compose exec -T gateway find /passwords -type f | wc -l)" = 0 ]
superuser() { compose exec -T postgres psql -qAtX -U im -v ON_ERROR_STOP=1 "$@"; }
[ "$(superuser im -c "SELECT count(DISTINCT usename) FROM pg_stat_activity WHERE usename IN
  ('im_auth', 'im_chat', 'im_presence')")" = 3 ]
[ "$(superuser im -c "SELECT has_table_privilege('im_chat', 'auth.accounts', 'SELECT')")" = f ]
passed "a role and a password per service"

# As docs/operations.md says.
owner() { compose run --rm --no-deps -e IM_DATABASE_URL="$1" migrate "${@:2}" 2>>"$work/restore.log"; }
compose exec -T postgres pg_dump -U im -Fc -Z1 im >"$work/im.dump"
imctl send bob "After the backup."
compose exec -T postgres createdb -U im im_restoring
superuser im_restoring <deploy/postgresql/roles.sql
compose exec -T postgres pg_restore -U im --role=im_owner --no-owner --no-privileges --exit-on-error \
  -d im_restoring <"$work/im.dump"
url='postgresql://im_owner@postgres/im_restoring?passfile=/passwords/owner/pgpass'
expect "nothing to do" "$(owner "$url" im-migrate --restored)"
expect "everything is as it should be" "$(owner "$url" im-check)"
compose stop gateway presence chat auth >>"$work/restore.log" 2>&1
superuser postgres -c 'BEGIN; ALTER DATABASE im RENAME TO im_replaced; ALTER DATABASE im_restoring RENAME TO im; COMMIT'
compose up -d >>"$work/restore.log" 2>&1 </dev/null
until_healthy postgres auth chat presence gateway
compose exec -T postgres dropdb -U im im_replaced
history=$(imctl history bob)
expect "Yes." "$history"
if grep -q "After the backup." <<<"$history"; then echo "the restore brought back too much"; exit 1; fi
imctl send bob "In the new time."
expect "In the new time." "$(imctl --profile bob history ann)"
expect "everything is as it should be" "$(owner "${url/im_restoring/im}" im-check)"
passed "a backup and its restore"
