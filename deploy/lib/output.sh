# What ./im says while it works: one line per step with the time it took, and failures that say what
# failed, why, and what to do.

readonly LABEL_WIDTH=13

now_ms() { echo $((${EPOCHREALTIME/[.,]/} / 1000)); }

# seconds_since MS: "3.4 s" since the time now_ms gave.
seconds_since() {
  local ms=$(($(now_ms) - $1))
  printf '%d.%d s' $((ms / 1000)) $((ms % 1000 / 100))
}

note() { printf '%-*s %s\n' "$LABEL_WIDTH" "$1" "$2"; }

# fail WHAT [NEXT [LOG]]: ends the program. The end of LOG, when given, is the reason.
fail() {
  local what=$1 next=${2:-} log=${3:-}
  EXPLAINED=yes
  {
    echo
    echo "im: $what"
    if [ -n "$log" ] && [ -s "$log" ]; then
      echo "    The end of $log:"
      tail -n 20 "$log" | sed 's/^/    | /'
    fi
    [ -z "$next" ] || echo "    What to do: $next"
  } >&2
  exit "${EXIT_STATUS:-1}"
}

# misused WHAT [NEXT]: as fail, for what was typed wrongly.
misused() { EXIT_STATUS=2 fail "$1" "${2:-./im help}"; }

# run_quietly LABEL WHAT LOG NEXT COMMAND...: runs a long step with its output in LOG; says that it
# started, and how long it took.
run_quietly() {
  local label=$1 what=$2 log=$3 next=$4 start
  shift 4
  start=$(now_ms)
  mkdir -p "$(dirname "$log")"
  note "$label" "$what ..."
  "$@" >"$log" 2>&1 </dev/null || fail "$what failed after $(seconds_since "$start")." "$next" "$log"
  note "" "done in $(seconds_since "$start")"
}
