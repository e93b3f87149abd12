# Building with CMake and Ninja.

# lock_build PRESET: one ./im at a time builds there, or copies what was built. Held until unlock_build, or the
# end of the process.
lock_build() {
  mkdir -p "$ROOT/build/$1"
  exec 8>"$ROOT/build/$1/im-lock"
  flock -n 8 || { note wait "another ./im builds in build/$1"; flock 8; }
}
unlock_build() { exec 8>&-; }

# show_progress PRESET LOG: copies Ninja's output from stdin to the log and shows how far it is: on a terminal
# in one line that moves, else in a line every 30 seconds. Says at the first step that something is built.
show_progress() {
  local preset=$1 log=$2 line last=$SECONDS begun=
  while IFS= read -r line; do
    printf '%s\n' "$line" >&3
    # Steps of 0 are Ninja's own: looking for new files, configuring again.
    [[ $line =~ ^\[([1-9][0-9]*)/([0-9]+)\] ]] || continue
    if [ -z "$begun" ]; then
      begun=$SECONDS
      note build "$preset, on $(nproc) cores; its output is in ${log#"$PWD/"}"
    fi
    if [ -t 1 ]; then
      printf '\r%-*s %d of %d steps, %d s ' "$LABEL_WIDTH" build "${BASH_REMATCH[1]}" \
        "${BASH_REMATCH[2]}" $((SECONDS - begun))
    elif [ $((SECONDS - last)) -ge 30 ]; then
      note build "${BASH_REMATCH[1]} of ${BASH_REMATCH[2]} steps, $((SECONDS - begun)) s"
      last=$SECONDS
    fi
  done 3>"$log"
  [ ! -t 1 ] || [ -z "$begun" ] || printf '\r\033[K'
}

# configure PRESET -DIM_TESTS=ON|OFF: when that was never done. Tests need packages of their own, so a set-up
# does without; a build that has them keeps them.
configure() {
  local dir=$ROOT/build/$1 log=$ROOT/build/$1/im-configure.log
  if [ -e "$dir/build.ninja" ] && { [ "$2" = -DIM_TESTS=OFF ] || grep -qx IM_TESTS:BOOL=ON "$dir/CMakeCache.txt"; }; then
    return
  fi
  (cd "$ROOT" && cmake --preset "$1" "$2") >"$log" 2>&1 </dev/null ||
    fail "Configuring the $1 build failed." "mend it, then run this again." "$log"
}

# build PRESET [TARGET...]: builds what is out of date.
build() {
  local preset=$1 dir=$ROOT/build/$1 log=$ROOT/build/$1/im-build.log start
  shift
  start=$(now_ms)
  ninja -C "$dir" "$@" </dev/null 2>&1 | show_progress "$preset" "$log" ||
    fail "Building ($preset) failed after $(seconds_since "$start")." \
      "mend what the compiler says, then run this again." "$log"
  if grep -q 'no work to do' "$log"; then
    note build "$preset: nothing to do"
  else
    note "" "done in $(seconds_since "$start")"
  fi
}
