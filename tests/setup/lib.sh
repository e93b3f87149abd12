# shellcheck shell=bash
# For tests of ./im from outside, to be sourced: what they say and wait for.

passed() { echo "ok - $1"; }

# has TEXT COMMAND...: the command succeeds and prints the text.
has() {
  local text=$1 output
  shift
  output=$("$@" 2>&1) || { echo "failed: $*"; echo "$output"; exit 1; }
  grep -qF -- "$text" <<<"$output" || { echo "'$text' is not in what $* printed:"; echo "$output"; exit 1; }
}

# refuses STATUS TEXT COMMAND...: the command ends with the status and prints the text.
refuses() {
  local wanted=$1 text=$2 output status=0
  shift 2
  output=$("$@" 2>&1) || status=$?
  if [ $status -ne "$wanted" ] || ! grep -qF -- "$text" <<<"$output"; then
    echo "not status $wanted with '$text', but $status from: $*"
    echo "$output"
    exit 1
  fi
}

# until_true WHAT COMMAND...: within a minute.
until_true() {
  local what=$1 deadline=$((SECONDS + 60))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$deadline" ] || { echo "not within a minute: $what"; exit 1; }
    sleep 0.2
  done
}

# any_port: one that is free, as the 99 after it are; below those that programs get when they ask for any.
any_port() {
  python3 -c '
import random, socket

def is_free(port):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the gateway does: ended connections hold no port
        try:
            s.bind(("", port))
            s.listen()
            return True
        except OSError:
            return False

print(next(port for port in iter(lambda: random.randrange(20000, 29900), None)
           if all(map(is_free, range(port, port + 100)))))'
}

# logs_are_clean TEXT...: no log of the set-up, PostgreSQL's included, holds one of the texts, a token of ours or a
# private key.
logs_are_clean() {
  local text
  [ -s "$IM_HOME/log/gateway/current" ] && [ -s "$IM_HOME/log/postgres/current" ] || { echo "no logs to search"; exit 1; }
  for text in eyJhbGciOi eyJ0eXAiOi "PRIVATE KEY" "$@"; do
    if grep -rnF -- "$text" "$IM_HOME/log"; then
      echo "a log holds '$text'"
      exit 1
    fi
  done
}
