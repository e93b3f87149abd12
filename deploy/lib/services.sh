# What runs: health, starting what changed, status, logs.

address_of() {
  case $1 in
    postgres) echo "unix:$(postgres_socket)/.s.PGSQL.5432" ;;
    gateway) echo "127.0.0.1:$PORT" ;;
    *)
      locate "$1"
      echo "$ADDRESS"
      ;;
  esac
}

# settings_of NAME: the configuration of a daemon as it would read it, each setting as SECTION.KEY=VALUE in a
# line of its own. Nothing if it cannot be read.
settings_of() {
  env -i "$IM_HOME/bin/im-$1" --config "$IM_HOME/etc/$1.conf" --print-config 2>/dev/null </dev/null | awk '
    /^\[.*\]$/ {section = substr($0, 2, length - 2); next}
    !/^#/ && (at = index($0, " = ")) {
      value = substr($0, at + 3)
      if (gsub(/^"|"$/, "", value)) {gsub(/\\"/, "\"", value); gsub(/\\\\/, "\\", value)}
      print section "." substr($0, 1, at - 1) "=" value
    }'
}

# locate SERVICE: sets ADDRESS and ASKING, the options of imctl that it takes to ask there. One behind TLS is
# asked as the gateway would: with its certificate, and under the name that it lists, if the service listens
# on every address of this machine.
locate() {
  local key value address listed=()
  local -A own=() gateways=()
  ASKING=()
  while IFS='=' read -r key value; do own[$key]=$value; done < <(settings_of "$1")
  ADDRESS=${own[server.listen]:-unix:$RUN/$1.sock}
  [ -n "${own[server.tls_certificate]:-}" ] || return 0
  while IFS='=' read -r key value; do gateways[$key]=$value; done < <(settings_of gateway)
  ASKING=(--tls)
  [ -z "${gateways[upstreams.tls_ca]:-}" ] || ASKING+=(--ca "${gateways[upstreams.tls_ca]}")
  [ -z "${gateways[upstreams.tls_certificate]:-}" ] ||
    ASKING+=(--certificate "${gateways[upstreams.tls_certificate]}" --key "${gateways[upstreams.tls_key]:-}")
  if [[ $ADDRESS == 0.0.0.0:* || $ADDRESS == "[::]:"* ]]; then
    for address in ${gateways[upstreams.$1]//,/ }; do
      [ "${address##*:}" != "${ADDRESS##*:}" ] || listed+=("$address")
    done
    # Of several it may be any: then the certificate must be good for this machine itself.
    if [ ${#listed[@]} -eq 1 ]; then ADDRESS=${listed[0]}; else ADDRESS=localhost:${ADDRESS##*:}; fi
  fi
}

healthy() {
  service_pid "$1" >/dev/null || return
  case $1 in
    postgres) postgres_answers ;;
    gateway) "$IM_HOME/bin/imctl" health "$(address_of gateway)" >/dev/null 2>&1 </dev/null ;;
    *)
      locate "$1"
      "$IM_HOME/bin/imctl" health "$ADDRESS" "${ASKING[@]}" >/dev/null 2>&1 </dev/null
      ;;
  esac
}

# health_questions: for each daemon the arguments with which imctl health asks it, as JSON.
health_questions() {
  local name word words list=
  for name in "${DAEMONS[@]}"; do
    if [ "$name" = gateway ]; then ADDRESS=$(address_of gateway) ASKING=(); else locate "$name"; fi
    words=
    for word in "$ADDRESS" "${ASKING[@]}"; do words+=${words:+,}$(json_string "$word"); done
    list+="${list:+,}\"$name\":[$words]"
  done
  printf '{%s}\n' "$list"
}

# healthy_or_dying NAME: there is no use in waiting for what died three times since it was started.
healthy_or_dying() { healthy "$1" || [ "$(cat "$(service_dir "$1")/deaths" 2>/dev/null || echo 0)" -ge 3 ]; }

# fingerprint NAME: of all that a process of this service was started from.
fingerprint() {
  local dir
  dir=$(service_dir "$1")
  {
    cat "$dir/run" "$dir/settings"
    case $1 in
      postgres)
        "$POSTGRES_BIN/postgres" --version
        cat "$(postgres_data)"/{im,pg_hba}.conf
        ;;
      *) cat "$IM_HOME/bin/im-$1" "$IM_HOME/etc/$1.conf" ;;
    esac
  } | sha256sum | cut -d' ' -f1
}

# ensure_current NAME...: starts what does not run, and starts anew what runs with something older.
ensure_current() {
  local name print
  for name in "$@"; do
    print=$(fingerprint "$name")
    if ! service_pid "$name" >/dev/null; then
      start_service "$name"
      changed "$name"
    elif [ "$print" != "$(cat "$STATE/started.$name" 2>/dev/null)" ]; then
      note "$name" "restarting: it or its configuration changed"
      stop_service "$name"
      start_service "$name"
      changed "$name"
    fi
    echo "$print" >"$STATE/started.$name"
  done
}

# wait_healthy NAME...: or the program fails with the end of the log of the first that is not.
wait_healthy() {
  local name what
  for name in "$@"; do
    what="$name is not healthy after a minute."
    if wait_until 60 healthy_or_dying "$name"; then
      ! healthy "$name" || continue
      what="$name dies again and again."
    fi
    fail "$what" \
      "mend it, then ./im up; ./im logs $name says more, the configuration is in $IM_HOME/etc" \
      "$LOGS/$name/current"
  done
}

# install_programs: copies what was built and differs. A move, so that a process keeps the file it runs.
install_programs() {
  local program
  for program in "${PROGRAMS[@]}"; do
    if ! cmp -s "$ROOT/build/release/bin/$program" "$IM_HOME/bin/$program"; then
      cp "$ROOT/build/release/bin/$program" "$IM_HOME/bin/.$program"
      mv "$IM_HOME/bin/.$program" "$IM_HOME/bin/$program"
      changed "$program"
    fi
  done
}

json_string() {
  local text=$1
  text=${text//\\/\\\\}
  printf '"%s"' "${text//\"/\\\"}"
}

# status_json: one object, for scripts. pid is null where nothing runs.
status_json() {
  local name pid ok list=
  for name in "${DAEMONS[@]}" postgres; do
    pid=$(service_pid "$name") || pid=null
    ok=false
    healthy "$name" && ok=true
    list+="${list:+,}{\"name\":\"$name\",\"pid\":$pid,\"healthy\":$ok,\"address\":$(json_string "$(address_of "$name")")}"
  done
  printf '{"services":[%s]}\n' "$list"
}

# status_table: for people; fails when something is not healthy.
status_table() {
  local name pid state since now bad=0
  now=$(date +%s)
  printf '%-10s %-10s %8s %10s  %s\n' SERVICE STATE PID UP ADDRESS
  for name in "${DAEMONS[@]}" postgres; do
    since=- state=down
    if pid=$(service_pid "$name"); then
      since="$((now - $(cat "$(service_dir "$name")/started"))) s"
      if healthy "$name"; then state=healthy; else state=unhealthy; fi
    elif [[ $(cat "$(service_dir "$name")/supervise/stat" 2>/dev/null) == finish* ]]; then
      state=crashed
    fi
    [ "$state" = healthy ] || bad=1
    printf '%-10s %-10s %8s %10s  %s\n' "$name" "$state" "${pid:--}" "$since" "$(address_of "$name")"
  done
  return $bad
}

# need_service NAME: fails with the list of names when there is none of that name.
need_service() {
  [[ " ${SERVICES[*]} " == *" $1 "* ]] || misused "There is no service named $1." "one of: ${SERVICES[*]}"
}

# show_logs FOLLOW LINES SERVICE...: each line behind the name of its service, when there are several.
show_logs() {
  local follow=$1 lines=$2 name pids=()
  shift 2
  for name in "$@"; do
    local current=$LOGS/$name/current prefix=
    [ $# -eq 1 ] || prefix=$(printf '%-9s| ' "$name")
    [ -e "$current" ] || continue
    if [ "$follow" = yes ]; then
      tail -n "$lines" -F "$current" 2>/dev/null | sed -u "s/^/$prefix/" &
      pids+=($!)
    else
      tail -n "$lines" "$current" | sed "s/^/$prefix/"
    fi
  done
  [ ${#pids[@]} -eq 0 ] || wait "${pids[@]}"
}
