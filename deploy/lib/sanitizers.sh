# Fuzzing and sanitizers. Each is a stage of ./im test of its own name.

# Seconds of each fuzz target.
FUZZ_SECONDS=60

# fuzz_one TARGET: runs it from its corpus and what earlier runs found; says how far it came.
fuzz_one() {
  local target=$1 dir=$ROOT/build/fuzz found log status=0
  found=$dir/found/$target log=$LOGS/fuzz-$target.log
  mkdir -p "$found" "$dir/crashes"
  "$dir/tests/fuzz_$target" -max_total_time="$FUZZ_SECONDS" -timeout=60 -rss_limit_mb=4096 -max_len=8192 \
    -print_final_stats=1 -artifact_prefix="$dir/crashes/$target-" "$found" "$ROOT/tests/fuzz/corpus/$target" \
    >"$log" 2>&1 </dev/null || status=$?
  if [ "$status" -eq 0 ]; then
    note "$target" "$(awk '/^stat::number_of_executed_units/ {runs = $2} /DONE +cov:/ {for (i = 1; i < NF; ++i)
      if ($i == "cov:") cov = $(i + 1)} END {printf "%d runs, coverage %d", runs, cov}' "$log")"
    return
  fi
  echo "$target failed. The end of $log:"
  grep -aE 'does not hold|runtime error|ERROR:|SUMMARY:' "$log" || tail -n 20 "$log"
  sed -nE 's/.*Test unit written to (.*)/Again with: build\/fuzz\/tests\/fuzz_'"$target"' \1/p' "$log"
  return 1
}

# Two at a time: one fills a core, and the gateway's has threads of its own.
stage_fuzz() {
  local targets status=0
  lock_build fuzz
  configure fuzz -DIM_TESTS=ON
  build fuzz fuzz
  unlock_build
  mapfile -t targets < <(find "$ROOT/tests/fuzz/corpus" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort)
  export ROOT LOGS LABEL_WIDTH FUZZ_SECONDS
  export UBSAN_OPTIONS=print_stacktrace=1
  export -f fuzz_one note
  printf '%s\n' "${targets[@]}" | xargs -P 2 -I{} bash -c 'fuzz_one {}' || status=1
  return "$status"
}

# sanitized PRESET TARGET CTEST-OPTION...: builds the target with a sanitizer and runs tests of it.
sanitized() {
  local preset=$1 target=$2
  shift 2
  lock_build "$preset"
  configure "$preset" -DIM_TESTS=ON
  build "$preset" "$target"
  unlock_build
  ctest --test-dir "$ROOT/build/$preset" -j"$(nproc)" --output-on-failure --no-tests=error "$@"
}

stage_asan() { sanitized asan all; }

# Without what starts our programs: a race is between threads, and the programs' are in these tests, too.
stage_tsan() { sanitized tsan in_process_tests -L in_process; }
