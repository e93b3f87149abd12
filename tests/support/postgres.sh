#!/usr/bin/env bash
# A PostgreSQL cluster for tests, in the folder given: start (if it is not running), stop.
# Everything in it may be lost: no fsync. As root it runs as the user postgres, as PostgreSQL wants.
#   postgres.sh start DIR [-c SETTING=VALUE...]   prints the connection URL of its maintenance database
#   postgres.sh stop DIR
# For clusters of a test's own:
#   postgres.sh url DIR                          prints that URL without starting anything
#   postgres.sh data DIR                         makes its data folder, empty so far, and prints where
#   postgres.sh copy DIR URL                     the cluster at URL, to be started as its streaming standby
#   postgres.sh promote DIR                      ends its being a standby
set -euo pipefail
command=$1
dir=$(mkdir -p "$2" && cd "$2" && pwd)
settings=${*:3}
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)
[ -x "$bin/postgres" ] || { echo "PostgreSQL is not installed (package postgresql-15)" >&2; exit 1; }

as_postgres=()
if [ "$(id -u)" = 0 ]; then
  as_postgres=(setpriv --reuid=postgres --regid=postgres --init-groups env HOME=/tmp)
  # The folder may lie below one that postgres may not enter.
  data=/tmp/im-test-postgres-$(printf %s "$dir" | cksum | cut -d' ' -f1)
  mkdir -p "$data" && chown postgres: "$data"
else
  data=$dir/data
fi
sockets=$(printf '/tmp/im-test-pg-%s' "$(printf %s "$dir" | cksum | cut -d' ' -f1)")

case $command in
start)
  exec 9>"$dir/lock"
  flock 9
  if ! "${as_postgres[@]}" "$bin/pg_ctl" -D "$data" status >/dev/null 2>&1 9>&-; then
    if [ ! -s "$data/PG_VERSION" ]; then
      "${as_postgres[@]}" "$bin/initdb" -D "$data" -U im --auth=trust -E UTF8 --locale=C.UTF-8 -N >"$dir/initdb.log" 2>&1 9>&-
    fi
    # It logs what it logs in earnest.
    sed -n '/^log_destination/d; /^log_[a-z_]* *=/p' "$(dirname "${BASH_SOURCE[0]}")/../../deploy/postgresql/im.conf" >"$data/log.conf"
    grep -q "^include 'log.conf'" "$data/postgresql.conf" || echo "include 'log.conf'" >>"$data/postgresql.conf"
    [ "$(id -u)" != 0 ] || chown postgres: "$data/log.conf"
    mkdir -p "$sockets" && chmod 0777 "$sockets"
    [ "$(id -u)" != 0 ] || chown postgres: "$sockets"
    "${as_postgres[@]}" "$bin/pg_ctl" -D "$data" -w -t 60 -l "$data/server.log" \
      -o "-c listen_addresses='' -c unix_socket_directories=$sockets -c fsync=off -c full_page_writes=off -c max_connections=300 -c shared_buffers=64MB $settings" \
      start >"$dir/start.log" 2>&1 </dev/null 9>&- || { cat "$dir/start.log" >&2; exit 1; }
  fi
  echo "postgresql:///postgres?host=$sockets&user=im"
  ;;
stop)
  if "${as_postgres[@]}" "$bin/pg_ctl" -D "$data" status >/dev/null 2>&1; then
    "${as_postgres[@]}" "$bin/pg_ctl" -D "$data" -w -m immediate stop >/dev/null
  fi
  # A file system of its own may be mounted there.
  rm -rf "$data" 2>/dev/null || find "$data" -mindepth 1 -delete
  rm -rf "$sockets"
  ;;
url) echo "postgresql:///postgres?host=$sockets&user=im" ;;
data)
  mkdir -p "$data"
  echo "$data"
  ;;
copy)
  find "$data" -mindepth 1 -delete && chmod 0700 "$data"
  "${as_postgres[@]}" "$bin/pg_basebackup" -D "$data" -R -X stream -c fast --no-sync -d "$settings" >"$dir/copy.log" 2>&1 ||
    { cat "$dir/copy.log" >&2; exit 1; }
  ;;
promote) "${as_postgres[@]}" "$bin/pg_ctl" -D "$data" -w -t 60 promote >/dev/null ;;
*) sed -n '2,11p' "$0" >&2; exit 2 ;;
esac
