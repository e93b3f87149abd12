# ./im test: stages, each with its minutes.

# In this order. compose needs a Docker engine: it runs only when asked for.
readonly STAGES=(build unit faults format shell proto tidy setup judges fuzz) EXTRA_STAGES=(compose)
# What CI has no time for.
readonly FULL_STAGES=(asan tsan fuzz faults)

test_usage() {
  cat <<'TEXT'
./im test                every stage below but compose
./im test all            that one too
./im test full           what takes hours: asan, tsan, fuzz for ten minutes a target, faults for an hour
./im test STAGE...       some of them
./im test --preset dev   with another build than ./im up's: dev, asan, tsan

build     programs and tests
unit      all tests of ctest: units, services against a PostgreSQL of their own, end to end
faults    people write to each other while services, database and network fail; then it is checked that
          nothing was lost: --minutes N (2.8), --seed S (random), --faults A,B (all); docs/testing.md
format    clang-format changes nothing
shell     shellcheck
proto     buf lint, and buf breaking against the last release
tidy      clang-tidy and clang's thread-safety analysis, on what changed since they last passed
setup     ./im itself: up, up again, kill, restart, down; the example in Python against it; backup and restore
judges    h2spec, gRPC's interop clients of Go and Java, grpcurl, ghz; stock clients in Node, Python, Java and C++
fuzz      libFuzzer with ASan and UBSan on what strangers send; --seconds N a target (60)
compose   deploy/docker-compose.yml: up, chat, kill, down
asan      all tests of ctest, and the programs they start, with ASan and UBSan
tsan      the tests of ctest that start no programs of ours, with TSan
TEXT
}

command_test() {
  local stages=() stage start log status=0 passed=0 failed=0 skipped=0 lines=() result
  while [ $# -gt 0 ]; do
    case $1 in
      -h | --help | help) test_usage; return ;;
      --preset | --seconds | --minutes | --seed | --faults)
        [ -n "${2:-}" ] || misused "$1 needs a value." "./im test --help"
        case $1 in
          --preset) PRESET=$2 ;;
          --seconds) FUZZ_SECONDS=$2 ;;
          --minutes) FAULTS_MINUTES=$2 ;;
          *) FAULTS_OPTIONS+=("$1" "$2") ;;
        esac
        shift
        ;;
      all) stages+=("${STAGES[@]}" "${EXTRA_STAGES[@]}") ;;
      full) stages+=("${FULL_STAGES[@]}") FUZZ_SECONDS=600 FAULTS_MINUTES=60 ;;
      *) stages+=("$1") ;;
    esac
    shift
  done
  BUILD=$ROOT/build/$PRESET
  [ -z "$FAULTS_MINUTES" ] || FAULTS_OPTIONS+=(--minutes "$FAULTS_MINUTES")
  [ ${#stages[@]} -gt 0 ] || stages=("${STAGES[@]}")
  for stage in "${stages[@]}"; do
    [[ " ${STAGES[*]} ${EXTRA_STAGES[*]} ${FULL_STAGES[*]} " == *" $stage "* ]] ||
      misused "There is no test stage $stage." "./im test --help"
  done
  LOGS=$ROOT/build/logs
  mkdir -p "$LOGS"
  start=$(now_ms)
  rm -f "$BUILD/faults.log"
  install_packages run build test
  lines+=("packages" "$(minutes_since "$start")" ok)
  for stage in "${stages[@]}"; do
    printf '\n=== %s\n' "$stage"
    start=$(now_ms)
    # In a process of its own, so that every failing command ends the stage.
    set +e
    (set -e; EXPLAINED=yes; "stage_$stage")
    status=$?
    set -e
    case $status in
      0) result=ok passed=$((passed + 1)) ;;
      "$SKIPPED") result=skipped skipped=$((skipped + 1)) ;;
      *) result=FAILED failed=$((failed + 1)) ;;
    esac
    lines+=("$stage" "$(minutes_since "$start")" "$result")
    # Nothing can be said about what was not built.
    [ "$stage" != build ] || [ "$result" = ok ] || break
  done
  printf '\n%-10s %8s  %s\n' STAGE MINUTES RESULT
  printf '%-10s %8s  %s\n' "${lines[@]}"
  add_test_counts
  printf '\n%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
  # The verdict of the faults once more, as the last line.
  [ ! -s "$BUILD/faults.log" ] || tail -n 1 "$BUILD/faults.log"
  EXPLAINED=yes
  [ "$failed" -eq 0 ]
}

# Tests run in the build that ./im up makes, so that programs are compiled once and tested as they will run.
PRESET=release

# --minutes, --seed and --faults of im-faults.
FAULTS_MINUTES=
FAULTS_OPTIONS=()

# A stage ends with this status when it cannot run here.
readonly SKIPPED=77

minutes_since() { awk -v ms="$(($(now_ms) - $1))" 'BEGIN {printf "%.1f", ms / 60000}'; }

# add_test_counts: the single tests of ctest count, not their stage.
add_test_counts() {
  local count=$BUILD/ctest.count good bad
  [[ " ${stages[*]} " == *" unit "* ]] && [ -s "$count" ] || return 0
  read -r good bad <"$count"
  passed=$((passed + good)) failed=$((failed + bad))
  [ ! -s "$BUILD/ctest.flaky" ] ||
    printf '\nFailed beside others and passed alone: %s (%s)\n' "$(paste -sd' ' "$BUILD/ctest.flaky")" "$LOGS/ctest-first.log"
}

stage_build() {
  lock_build "$PRESET"
  configure "$PRESET" -DIM_TESTS=ON
  build "$PRESET"
}

# What fails beside other tests is run once more, alone. If it passes then, an expectation depends on the
# machine's load: that does not fail the stage, but is told, in the last lines, too. What crashed or hung, and
# more than two of them, has failed.
stage_unit() {
  local dir=$BUILD total bad status=0
  local again=$dir/Testing/Temporary/LastTestsFailed.log
  rm -f "$dir/ctest.count" "$dir/ctest.once" "$dir/ctest.flaky"
  run_ctest "$dir" -j"$(nproc)" || status=$?
  read -r bad total < <(ctest_failures "$dir/ctest.log")
  if [ "$status" -ne 0 ] && [ "${bad:-0}" -gt 0 ]; then
    cut -d: -f2 "$again" | sort >"$dir/ctest.once"
    cp "$dir/ctest.log" "$LOGS/ctest-first.log"
  fi
  if [ -s "$dir/ctest.once" ] && [ "$bad" -le 2 ] &&
    ! grep -qE '\*\*\*(Exception|Timeout|Not Run)|Subprocess (aborted|killed|terminated)' "$dir/ctest.log"; then
    printf '\n=== once more, alone: %s\n' "$(paste -sd' ' "$dir/ctest.once")"
    status=0
    run_ctest "$dir" --rerun-failed || status=$?
    [ "$status" -ne 0 ] || : >"$again"
    cut -d: -f2 "$again" | sort | comm -23 "$dir/ctest.once" - >"$dir/ctest.flaky"
    read -r bad _ < <(ctest_failures "$dir/ctest.log")
  fi
  echo "$((total - bad)) $bad" >"$dir/ctest.count"
  return "$status"
}

run_ctest() {
  ctest --test-dir "$1" "${@:2}" --output-on-failure --no-tests=error 2>&1 | tee "$1/ctest.log"
}

# ctest_failures LOG: how many failed, and of how many.
ctest_failures() {
  sed -nE 's/^[0-9]+% tests passed, ([0-9]+) tests failed out of ([0-9]+)$/\1 \2/p' "$1"
}

# Builds what it needs, so that it can be asked for alone.
stage_faults() {
  lock_build "$PRESET"
  configure "$PRESET" -DIM_TESTS=ON
  build "$PRESET" im-faults
  unlock_build
  # Among other stages always the same faults, so that what CI says can be repeated; alone, or as asked for, others
  # each time.
  [ ${#stages[@]} -eq 1 ] || [ ${#FAULTS_OPTIONS[@]} -gt 0 ] || FAULTS_OPTIONS=(--seed 1)
  "$BUILD/bin/im-faults" "${FAULTS_OPTIONS[@]}" 2>&1 | tee "$BUILD/faults.log"
}

stage_setup() { "$ROOT/tests/setup/run.sh" && "$ROOT/tests/setup/backup.sh"; }

# The client in C++ is built for it; the set-up is the release build's.
stage_judges() {
  lock_build release
  configure release -DIM_TESTS=ON
  build release judges_client
  unlock_build
  "$ROOT/tests/judges/run.sh"
}

stage_compose() { "$ROOT/tests/compose/run.sh"; }
