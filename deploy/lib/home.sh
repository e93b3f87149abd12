# The state folder: where things lie in it, and the port the set-up serves.
#
#   etc/ certs/        configuration (edit it: it is then left alone) and the development certificates
#   bin/               the programs that run, copied from the build, so that a build disturbs nothing
#   service/ log/      what the supervisor runs, and what it prints
#   run/               unix sockets; a link to a short path where this one is too long for a socket
#   postgres/          the database cluster; a link where PostgreSQL's user cannot come here
#   state/             what ./im remembers: the port, what was rendered, what runs

readonly DAEMONS=(auth chat presence gateway)
readonly PROGRAMS=(im-auth im-chat im-presence im-gateway im-migrate im-bench imctl)
readonly SERVICES=(postgres "${DAEMONS[@]}")
readonly DEFAULT_PORT=7400
# A unix socket's path must be shorter than 108 bytes; the longest name below run/ is PostgreSQL's.
readonly SOCKET_PATH_MAX=107 LONGEST_SOCKET=postgres/.s.PGSQL.5432.lock

locate_home() {
  IM_HOME=$(realpath -m "${IM_HOME:-$ROOT/.im}")
  [[ $IM_HOME != *[$'\n"\\']* ]] || fail "IM_HOME may hold no quotes, backslashes or line breaks: $IM_HOME"
  STATE=$IM_HOME/state
  LOGS=$IM_HOME/log
  RUN=$(readlink -f "$IM_HOME/run" || echo "$IM_HOME/run")
  PORT=$(cat "$STATE/port" 2>/dev/null || echo "$DEFAULT_PORT")
  METRICS_PORT=$(cat "$STATE/metrics_port" 2>/dev/null || echo $((PORT + 11)))
}

set_up() { [ -d "$IM_HOME/service" ]; }

need_set_up() {
  set_up || fail "There is no set-up in $IM_HOME." \
    "./im up makes one; or name the state folder of yours: IM_HOME=... ./im $COMMAND"
}

# create_home: makes the folder, short paths for sockets included.
create_home() {
  local mask
  mask=$(umask)
  umask 077
  mkdir -p "$IM_HOME" 2>/dev/null || fail "Cannot make the state folder $IM_HOME." \
    "choose another: IM_HOME=/somewhere ./im up"
  [ -w "$IM_HOME" ] || fail "The state folder $IM_HOME belongs to somebody else." \
    "run this as $(stat -c %U "$IM_HOME"), or choose another: IM_HOME=/somewhere ./im up"
  # Root lets PostgreSQL's user pass through.
  chmod "$(is_root && echo 711 || echo 700)" "$IM_HOME"
  mkdir -p "$IM_HOME"/{etc,bin,certs,state,log}
  # /tmp is empty after a restart of the machine; the same path again, for the sake of edited configurations.
  if [ -L "$IM_HOME/run" ] && [ ! -d "$RUN" ]; then mkdir "$RUN" 2>/dev/null || rm "$IM_HOME/run"; fi
  if [ ! -e "$IM_HOME/run" ]; then
    if [ $((${#IM_HOME} + 5 + ${#LONGEST_SOCKET})) -gt $SOCKET_PATH_MAX ]; then
      ln -s "$(mktemp -d /tmp/im-XXXXXX)" "$IM_HOME/run"
    else
      mkdir "$IM_HOME/run"
    fi
  fi
  RUN=$(readlink -f "$IM_HOME/run")
  [ "$RUN" = "$IM_HOME/run" ] || note sockets "in $RUN, since the state folder's path is too long for them"
  chmod "$(is_root && echo 711 || echo 700)" "$RUN"
  umask "$mask"
}

# lock_home: one ./im at a time changes a set-up. Held until the program ends.
lock_home() {
  exec 9>"$IM_HOME/lock"
  flock -n 9 || { note wait "another ./im is at work in $IM_HOME"; flock 9; }
}

is_root() { [ "$(id -u)" -eq 0 ]; }

port_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# choose_ports [PORT]: the port asked for, else the one the set-up has, else the default. The metrics of
# the four daemons take the first four ports in a row that are free from PORT+11 on.
choose_ports() {
  local wanted=${1:-$PORT} port
  [[ $wanted =~ ^[0-9]+$ ]] && [ "$wanted" -ge 1024 ] && [ "$wanted" -le 65000 ] ||
    fail "--port must be a number from 1024 to 65000, not $wanted."
  if [ "$wanted" != "$(cat "$STATE/port" 2>/dev/null)" ]; then
    for port in "$wanted" $((wanted + 1)); do
      ! port_taken "$port" || fail "Port $port on this machine is in use by another program." \
        "choose another: ./im up --port 7500 (it takes the port after it, too)"
    done
    METRICS_PORT=$((wanted + 11))
    while port_taken "$METRICS_PORT" || port_taken $((METRICS_PORT + 1)) ||
      port_taken $((METRICS_PORT + 2)) || port_taken $((METRICS_PORT + 3)); do
      METRICS_PORT=$((METRICS_PORT + 4))
    done
    echo "$wanted" >"$STATE/port"
    echo "$METRICS_PORT" >"$STATE/metrics_port"
    PORT=$wanted
    changed "port $PORT"
  fi
}

# replace FILE [LIKE]: its content becomes stdin, at once and only if it differs; true if it did. It may be
# executed if LIKE may.
replace() {
  local new
  new=$(mktemp "$1.XXXXXX")
  cat >"$new"
  if cmp -s "$new" "$1"; then
    rm "$new"
    return 1
  fi
  [ ! -x "${2:-}" ] || chmod --reference="$2" "$new"
  mv "$new" "$1"
}

percent_encode() {
  local text=$1 encoded="" char i
  for ((i = 0; i < ${#text}; i++)); do
    char=${text:i:1}
    case $char in
      [a-zA-Z0-9/._-]) encoded+=$char ;;
      *) encoded+=$(printf %s "$char" | od -An -v -tx1 | tr -d '\n' | sed 's/ /%/g') ;;
    esac
  done
  printf %s "$encoded"
}
