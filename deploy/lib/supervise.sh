# The supervisor: one runsvdir (Debian's runit) per set-up, which lives on when the shell is gone. It runs
# what lies in service/ and starts again what dies; deploy/supervise holds the scripts.

service_dir() { echo "$IM_HOME/service/$1"; }

# supervisor_pid: of this set-up's runsvdir; fails when none runs. The number alone proves nothing after a
# restart of the machine, so the process must name this folder.
supervisor_pid() {
  local pid
  pid=$(cat "$STATE/supervisor.pid" 2>/dev/null) || return
  { tr '\0' '\n' <"/proc/$pid/cmdline"; } 2>/dev/null | grep -qxF "$IM_HOME/service" && echo "$pid"
}

# write_services: the directories that runsvdir runs.
write_services() {
  local name dir script
  for name in "${SERVICES[@]}"; do
    dir=$(service_dir "$name")
    mkdir -p "$dir/log" "$LOGS/$name"
    {
      printf 'NAME=%q\nIM_HOME=%q\n' "$name" "$IM_HOME"
      if [ "$name" = postgres ]; then
        printf 'POSTGRES_DATA=%q\nPOSTGRES_SOCKET=%q\nPOSTGRES_AS=%q\n' \
          "$(postgres_data)" "$(postgres_socket)" "$(is_root && echo postgres:postgres || true)"
      fi
    } | replace "$dir/settings" || true
    printf 's10000000\nn10\n' | replace "$LOGS/$name/config" || true
    if [ "$name" = postgres ]; then
      script=postgres.run
      mkdir -p "$dir/control"
      put_script postgres.terminate "$dir/control/t"
    else
      script=daemon.run
    fi
    put_script finish "$dir/finish"
    put_script log.run "$dir/log/run"
    put_script "$script" "$dir/run"
  done
}

put_script() { replace "$2" "$ROOT/deploy/supervise/$1" <"$ROOT/deploy/supervise/$1" || true; }

# start_supervisor: with every service down, so that ./im decides the order; a daemon that finds no
# database would only wait for it.
start_supervisor() {
  local name
  if supervisor_pid >/dev/null; then return; fi
  if anything_runs; then
    note supervisor "it was killed; stopping what it left behind"
    stop_supervisor
  fi
  for name in "${SERVICES[@]}"; do touch "$(service_dir "$name")/down"; done
  # Its environment is empty, so that what runs does not depend on the shell that started it.
  (
    cd /
    exec env -i PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin HOME="$HOME" LANG=C.UTF-8 \
      setsid runsvdir -P "$IM_HOME/service" >>"$LOGS/supervisor.log" 2>&1 </dev/null 9>&-
  ) &
  echo $! >"$STATE/supervisor.pid"
  for name in "${SERVICES[@]}"; do
    wait_until 10 sv_known "$name" ||
      fail "The supervisor does not run." "see the log; another try may do." "$LOGS/supervisor.log"
  done
  changed supervisor
}

sv_known() { sv status "$(service_dir "$1")" >/dev/null 2>&1; }

# wait_until SECONDS COMMAND...: until it succeeds; fails when the time is over.
wait_until() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 0.1
  done
}

# service_pid NAME: of the running process; fails when it is down, or waiting to be started again.
service_pid() {
  local dir
  dir=$(service_dir "$1")/supervise
  sv_known "$1" && [[ $(cat "$dir/stat" 2>/dev/null) == run* ]] && cat "$dir/pid"
}

# start_service NAME: does not wait for it: sv would look every half second. wait_healthy does.
start_service() {
  rm -f "$(service_dir "$1")/down" "$(service_dir "$1")/deaths"
  sv up "$(service_dir "$1")" >/dev/null 2>&1 || true
}

# stop_service NAME: PostgreSQL may need a while for its last checkpoint, a daemon for its drain.
stop_service() {
  sv_known "$1" || return 0
  sv -w 60 down "$(service_dir "$1")" >/dev/null 2>&1 && return
  note "$1" "does not stop; killing it"
  sv -w 10 force-stop "$(service_dir "$1")" >/dev/null 2>&1 || fail "$1 cannot be stopped." "./im logs $1"
}

# stop_supervisor: and the one runsv per service, which outlives a runsvdir that was killed.
stop_supervisor() {
  local pid name lock
  if pid=$(supervisor_pid); then kill -HUP "$pid"; fi
  for name in "${SERVICES[@]}"; do
    lock=$(service_dir "$name")/supervise/lock
    [ -e "$lock" ] || continue
    sv exit "$(service_dir "$name")" >/dev/null 2>&1 || true
    # runsv holds its lock for as long as it lives.
    flock -w 70 "$lock" true || fail "The supervisor of $name does not end." "./im logs $name"
  done
  rm -f "$STATE/supervisor.pid"
}

anything_runs() {
  local name
  if supervisor_pid >/dev/null; then return; fi
  for name in "${SERVICES[@]}"; do
    if sv_known "$name"; then return; fi
  done
  return 1
}
