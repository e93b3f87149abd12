# The private PostgreSQL cluster: reached through its socket only, never through the network.

readonly POSTGRES_BIN=/usr/lib/postgresql/15/bin

# As root the cluster belongs to the user that Debian's package makes, since PostgreSQL refuses root.
postgres_user() { is_root && echo postgres || id -un; }

as_postgres() {
  if is_root; then
    (cd / && setpriv --reuid=postgres --regid=postgres --init-groups -- "$@")
  else
    "$@"
  fi
}

# database_url ROLE [DATABASE]: one role per service, and im_owner, who owns the schemas.
database_url() { printf 'postgresql://%s@/%s?host=%s' "$1" "${2:-im}" "$(percent_encode "$(postgres_socket)")"; }
postgres_data() { readlink -f "$IM_HOME/postgres"; }
postgres_socket() {
  local data
  data=$(postgres_data)
  if [ "$data" = "$IM_HOME/postgres" ]; then echo "$RUN/postgres"; else echo "${data%/*}/run"; fi
}

# memory_kb: what this machine, or the control group around us, has.
memory_kb() {
  local limit total
  total=$(awk '/^MemTotal:/ {print $2}' /proc/meminfo)
  limit=$(cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null | head -n 1)
  if [[ $limit =~ ^[0-9]{1,15}$ ]] && [ $((limit / 1024)) -lt "$total" ]; then total=$((limit / 1024)); fi
  echo "$total"
}

# postgres_settings: the shipped settings, with the shares of the memory that this machine allows: an
# eighth for the server's own cache (services, builds and a second set-up live here too), at most 4 GB.
postgres_settings() {
  local memory_mb shared
  memory_mb=$(($(memory_kb) / 1024))
  shared=$((memory_mb / 8))
  [ "$shared" -le 4096 ] || shared=4096
  [ "$shared" -ge 64 ] || shared=64
  cat "$ROOT/deploy/postgresql/im.conf"
  printf '\n# --- for the %d MB of memory here ---\n' "$memory_mb"
  printf 'shared_buffers = %dMB\neffective_cache_size = %dMB\n' "$shared" $((memory_mb / 2))
}

# create_cluster: makes the cluster once, in the state folder, or, where PostgreSQL's user cannot reach
# that (as below /root), in a folder of its own under /var/lib/im with a link to it.
create_cluster() {
  local data socket name
  if [ -L "$IM_HOME/postgres" ] && [ ! -d "$IM_HOME/postgres/" ]; then
    fail "The database of this set-up is gone: $(readlink "$IM_HOME/postgres")." \
      "bring it back, or, to begin with an empty one: rm $IM_HOME/postgres"
  fi
  if [ ! -e "$IM_HOME/postgres" ]; then
    if is_root && ! as_postgres test -x "$IM_HOME"; then
      mkdir -p /var/lib/im
      chmod 755 /var/lib/im
      # Short and plain, for the socket's sake.
      name=$(basename "$(dirname "$IM_HOME")" | LC_ALL=C tr -c 'a-zA-Z0-9._\n-' _)
      data=$(mktemp -d "/var/lib/im/${name:0:20}-XXXXXX")
      chmod 711 "$data"
      mkdir "$data/postgres"
      ln -s "$data/postgres" "$IM_HOME/postgres"
      note database "in $data, since PostgreSQL's user cannot reach $IM_HOME"
    else
      mkdir "$IM_HOME/postgres"
    fi
  fi
  data=$(postgres_data)
  socket=$(postgres_socket)
  mkdir -p "$socket"
  if is_root; then chown postgres:postgres "$data" "$socket"; fi
  chmod 700 "$data" "$socket"
  if [ ! -s "$data/PG_VERSION" ]; then
    run_quietly database "making a PostgreSQL cluster" "$LOGS/initdb.log" "mend what initdb says." \
      as_postgres "$POSTGRES_BIN/initdb" -D "$data" --username=postgres --auth=trust \
      --encoding=UTF8 --locale=C.UTF-8 --data-checksums
    echo "include 'im.conf'" >>"$data/postgresql.conf"
    changed database
  fi
  [ "$(<"$data/PG_VERSION")" = 15 ] || fail "The database in $data is of PostgreSQL $(<"$data/PG_VERSION"), not 15."
  postgres_settings | replace "$data/im.conf" && changed "database settings"
  replace "$data/pg_hba.conf" <"$ROOT/deploy/postgresql/pg_hba.conf" && changed "database access"
  if is_root; then chown postgres:postgres "$data/im.conf" "$data/pg_hba.conf"; fi
}

postgres_answers() { "$POSTGRES_BIN/pg_isready" -q -h "$(postgres_socket)" -U postgres -d postgres; }

# superuser DATABASE ARGUMENT...: psql as the cluster's superuser. query SQL: in the maintenance database.
superuser() {
  as_postgres "$POSTGRES_BIN/psql" -qAtX -v ON_ERROR_STOP=1 -h "$(postgres_socket)" -U postgres -d "$@"
}
query() { superuser postgres -c "$1"; }

# create_database: the database where it is missing, and its roles.
create_database() {
  local name
  if [ "$(query "SELECT count(*) FROM pg_roles WHERE rolname = 'im' AND NOT rolsuper")" = 1 ]; then
    # All services had one role. Before it is taken from them they stop, rather than answer with errors.
    note database "each service gets a role of its own"
    for name in gateway presence chat auth; do stop_service "$name"; done
    changed "database roles"
  fi
  [ "$(query "SELECT count(*) FROM pg_database WHERE datname = 'im'")" = 1 ] || query "CREATE DATABASE im"
  make_roles im
}

# make_roles DATABASE
make_roles() {
  superuser "$1" <"$ROOT/deploy/postgresql/roles.sql" >"$LOGS/roles.log" 2>&1 ||
    fail "The roles of the database could not be made." "mend what PostgreSQL says, then run this again." "$LOGS/roles.log"
}

migrate() {
  local log=$LOGS/migrate.log
  "$IM_HOME/bin/im-migrate" --database.url "$(database_url im_owner)" >"$log" 2>&1 </dev/null ||
    fail "The migration of the database failed; what runs was left as it was." "mend it, then run this again." "$log"
  if grep -q '^applied ' "$log"; then
    note database "migrations: $(sed -n 's/^applied //p' "$log" | tr '\n' ' ')"
    changed migrations
  fi
}
