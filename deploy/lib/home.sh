# The state folder: where things lie in it, and the port the set-up serves.
#
#   etc/ certs/        configuration (edit it: it is then left alone) and the development certificates
#   bin/               the programs that run, copied from the build, so that a build disturbs nothing
#   service/ log/      what the supervisor runs, and what it prints
#   run/               unix sockets; a link to a short path where this one is too long for a socket
#   postgres/          the database cluster; a link where PostgreSQL's user cannot come here
#   state/             what ./im remembers: the port, what was rendered, what runs

readonly DAEMONS=(auth chat presence gateway)
readonly PROGRAMS=(im-auth im-chat im-presence im-gateway im-migrate im-check im-bench imctl)
readonly SERVICES=(postgres "${DAEMONS[@]}")
readonly DEFAULT_PORT=7400
# A unix socket's path must be shorter than 108 bytes; the longest name below run/ is PostgreSQL's.
# PostgreSQL takes commas in it for a list, gRPC per cent signs, blanks and more for a URI's.
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

# need_own: the state folder, if it is there, must be of the user who runs this; also when that is root, whose
# PostgreSQL runs as somebody else.
need_own() {
  local dir=$IM_HOME owner
  while [ ! -e "$dir" ]; do dir=$(dirname "$dir"); done
  owner=$(stat -c %U "$dir")
  [ "$dir" = "$IM_HOME" ] || [ -x "$dir" ] ||
    fail "$(id -un) may not look into $dir, which belongs to $owner." \
      "run this as $owner, or name another state folder: IM_HOME=... ./im $COMMAND"
  [ "$dir" != "$IM_HOME" ] || [ -O "$dir" ] ||
    fail "The state folder $IM_HOME belongs to $owner." \
      "run this as $owner, or name another: IM_HOME=... ./im $COMMAND"
}

need_set_up() {
  need_own
  set_up || fail "There is no set-up in $IM_HOME." \
    "./im up makes one; or name the state folder of yours: IM_HOME=... ./im $COMMAND"
}

need_running() {
  need_set_up
  supervisor_pid >/dev/null || fail "Nothing runs here." "./im up"
}

# create_home: makes the folder, short paths for sockets included.
create_home() {
  local what elsewhere="choose another: IM_HOME=/somewhere ./im up"
  need_own
  [ -d "$STATE" ] || [ -z "$(ls -A "$IM_HOME" 2>/dev/null)" ] ||
    fail "$IM_HOME is neither a set-up nor an empty folder." "$elsewhere"
  # Folders above it are made as everywhere: PostgreSQL's user must pass through them.
  what=$(mkdir -p "$(dirname "$IM_HOME")" 2>&1 &&
    umask 077 && mkdir -p "$IM_HOME"/{etc,bin,certs,state,log} 2>&1) ||
    fail "The state folder cannot be made. ${what%%$'\n'*}" "$elsewhere"
  # Root lets PostgreSQL's user pass through.
  chmod "$(is_root && echo 711 || echo 700)" "$IM_HOME"
  # /tmp is empty after a restart of the machine; the same path again, for the sake of edited configurations.
  if [ -L "$IM_HOME/run" ] && [ ! -d "$RUN" ]; then mkdir "$RUN" 2>/dev/null || rm "$IM_HOME/run"; fi
  if [ ! -e "$IM_HOME/run" ]; then
    if [ "$(printf %s "$IM_HOME/run/$LONGEST_SOCKET" | wc -c)" -gt $SOCKET_PATH_MAX ] ||
      [[ $IM_HOME == *[!a-zA-Z0-9/._-]* ]]; then
      ln -s "$(mktemp -d /tmp/im-XXXXXX)" "$IM_HOME/run"
    else
      mkdir "$IM_HOME/run"
    fi
  fi
  RUN=$(readlink -f "$IM_HOME/run")
  [ "$RUN" = "$IM_HOME/run" ] || note sockets "in $RUN, since the state folder's path is too long or too odd for them"
  chmod "$(is_root && echo 711 || echo 700)" "$RUN"
}

# lock_home: one ./im at a time changes a set-up. Held until the program ends.
lock_home() {
  exec 9>"$IM_HOME/lock"
  flock -n 9 || { note wait "another ./im is at work in $IM_HOME"; flock 9; }
}

is_root() { [ "$(id -u)" -eq 0 ]; }

port_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

need_port() {
  [[ $1 =~ ^[1-9][0-9]+$ ]] && [ ${#1} -le 5 ] && [ "$1" -ge 1024 ] && [ "$1" -le 65000 ] ||
    misused "--port must be a number from 1024 to 65000, not ${1:-nothing}."
}

# held_here PORT: whether a daemon of this set-up listens there.
held_here() {
  local port name pid inode
  printf -v port :%04X "$1"
  for name in "${DAEMONS[@]}"; do
    pid=$(service_pid "$name") || continue
    # Column 4 is the state: 0A is listening.
    while read -r inode; do
      [ -z "$(find "/proc/$pid/fd" -lname "socket:\[$inode\]" -print -quit 2>/dev/null)" ] || return 0
    done < <(awk -v port="$port" '$4 == "0A" && substr($2, length($2) - 4) == port {print $10}' \
      /proc/net/tcp /proc/net/tcp6 2>/dev/null)
  done
  return 1
}

# choose_ports [PORT]: the port asked for, else the one the set-up has, else the default. The metrics of
# the four daemons take the first four ports in a row that are free from PORT+11 on.
choose_ports() {
  local port remembered
  remembered=$(cat "$STATE/port" 2>/dev/null || true)
  PORT=${1:-$PORT} TLS=127.0.0.1:$((${1:-$PORT} + 1))
  ! edited gateway || use_edited_gateway
  for port in "$PORT" ${TLS:+"${TLS##*:}"}; do
    ! port_taken "$port" || held_here "$port" || fail "Port $port on this machine is in use by another program." \
      "choose another: ./im up --port 7500 (it takes the port after it, too)"
  done
  [ "$PORT" = "$remembered" ] || METRICS_PORT=$((PORT + 11))
  if [ "$PORT" != "$remembered" ] || ! supervisor_pid >/dev/null; then
    while port_taken "$METRICS_PORT" || port_taken $((METRICS_PORT + 1)) ||
      port_taken $((METRICS_PORT + 2)) || port_taken $((METRICS_PORT + 3)); do
      METRICS_PORT=$((METRICS_PORT + 4))
    done
  fi
}

# use_edited_gateway: an edited file is left alone, so that it must agree with the port, and says where TLS is.
use_edited_gateway() {
  local line=0 value="" what
  read -r line value < <(gateway_setting listen) || true
  if [ "${value##*:}" != "$PORT" ]; then
    what="it has no listen in [server]"
    [ -z "$value" ] || what="its line $line is: listen = $value"
    fail "etc/gateway.conf was edited here and does not listen on port $PORT; $what." \
      "edit it to say in [server]: listen = \"127.0.0.1:$PORT\" (tls_listen is yours to choose), then run this again"
  fi
  read -r line TLS < <(gateway_setting tls_listen) || TLS=
}

# gateway_setting KEY: the number of the line and the value of that key of [server] in etc/gateway.conf.
gateway_setting() {
  awk -v key="$1" '
    /^[ \t]*\[/ { server = /^[ \t]*\[server\]/ }
    server && $0 ~ "^[ \t]*" key "[ \t]*=" {
      sub(/^[^=]*=[ \t]*/, ""); sub(/[ \t]*(#.*)?$/, ""); gsub(/["\047]/, ""); print NR, $0
    }' "$IM_HOME/etc/gateway.conf"
}

# remember_ports: once the configuration has them.
remember_ports() {
  if printf '%s\n' "$PORT" | replace "$STATE/port"; then changed "port $PORT"; fi
  printf '%s\n' "$METRICS_PORT" | replace "$STATE/metrics_port" || true
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

# percent_encode TEXT: byte by byte.
percent_encode() {
  local LC_ALL=C text=$1 encoded="" char i
  for ((i = 0; i < ${#text}; i++)); do
    char=${text:i:1}
    case $char in
      [a-zA-Z0-9/._-]) encoded+=$char ;;
      *) encoded+=$(printf %s "$char" | od -An -v -tx1 | tr ' ' %) ;;
    esac
  done
  printf %s "$encoded"
}
