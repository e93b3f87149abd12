# Building with CMake and Ninja.

# show_progress LABEL: copies Ninja's output from stdin to stdout's log (fd 3) and shows how far it is:
# on a terminal in one line that moves, else in a line every 30 seconds.
show_progress() {
  local label=$1 line last=$SECONDS begun=$SECONDS
  while IFS= read -r line; do
    printf '%s\n' "$line" >&3
    [[ $line =~ ^\[([0-9]+)/([0-9]+)\] ]] || continue
    if [ -t 1 ]; then
      printf '\r%-*s %d of %d steps, %d s ' "$LABEL_WIDTH" "$label" "${BASH_REMATCH[1]}" \
        "${BASH_REMATCH[2]}" $((SECONDS - begun))
    elif [ $((SECONDS - last)) -ge 30 ]; then
      note "$label" "${BASH_REMATCH[1]} of ${BASH_REMATCH[2]} steps, $((SECONDS - begun)) s"
      last=$SECONDS
    fi
  done
  [ ! -t 1 ] || printf '\r\033[K'
}

# configure PRESET -DIM_TESTS=ON|OFF: when that was never done. Tests need packages of their own, so a set-up
# does without; a build that has them keeps them.
configure() {
  local dir=$ROOT/build/$1 log=$ROOT/build/$1/im-configure.log
  if [ -e "$dir/build.ninja" ] && { [ "$2" = -DIM_TESTS=OFF ] || grep -qx IM_TESTS:BOOL=ON "$dir/CMakeCache.txt"; }; then
    return
  fi
  mkdir -p "$dir"
  (cd "$ROOT" && cmake --preset "$1" "$2") >"$log" 2>&1 </dev/null ||
    fail "Configuring the $1 build failed." "mend it, then run this again." "$log"
}

# build PRESET [TARGET...]: builds what is out of date.
build() {
  local preset=$1 dir=$ROOT/build/$1 log=$ROOT/build/$1/im-build.log start
  shift
  start=$(now_ms)
  if ninja -C "$dir" -n "$@" 2>/dev/null | grep -q 'no work to do'; then
    note build "$preset: nothing to do"
    return
  fi
  note build "$preset, on $(nproc) cores; its output is in ${log#"$PWD/"}"
  ninja -C "$dir" "$@" </dev/null 2>&1 | show_progress build 3>"$log" ||
    fail "Building ($preset) failed after $(seconds_since "$start")." \
      "mend what the compiler says, then run this again." "$log"
  note "" "done in $(seconds_since "$start")"
}
