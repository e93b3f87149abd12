# Static checks. Each is a stage of ./im test of its own name.

readonly BUF_VERSION=1.75.0

own_sources() { git -C "$ROOT" ls-files -- "$@"; }

stage_format() {
  cd "$ROOT"
  own_sources '*.cc' '*.h' | xargs -r clang-format --dry-run -Werror ||
    { echo "Mend with: git ls-files '*.cc' '*.h' | xargs clang-format -i"; return 1; }
}

stage_shell() {
  cd "$ROOT"
  # The parts share variables with the script that sources them, and its set -e.
  shellcheck -s bash -e SC1091,SC2015,SC2034,SC2094,SC2153,SC2154,SC2164 im .ci/run deploy/lib/*.sh
  own_sources 'deploy/supervise/*' '*.sh' | grep -v '^deploy/lib/' |
    xargs -r shellcheck -S warning -e SC1091,SC2154,SC2034
}

buf_program() { echo "$ROOT/build/tools/node_modules/.bin/buf"; }

stage_proto() {
  local buf release
  buf=$(buf_program)
  cd "$ROOT"
  if [ "$("$buf" --version 2>/dev/null)" != "$BUF_VERSION" ]; then
    mkdir -p build/tools
    npm install --silent --no-audit --no-fund --no-save --prefix build/tools "@bufbuild/buf@$BUF_VERSION"
  fi
  "$buf" lint
  # Clients of the last release must go on working.
  release=$(git describe --tags --abbrev=0 --match 'v*' 2>/dev/null || true)
  if [ -n "$release" ]; then
    "$buf" breaking --against ".git#tag=$release"
  else
    echo "no release yet to compare with"
  fi
}

# clang-tidy with clang's own warnings, thread safety among them, on every source of ours. What passed is
# remembered by the hash of the file, its headers of ours and the checks, so that the next run only looks at
# what changed.
stage_tidy() {
  cd "$ROOT"
  python3 deploy/lib/tidy.py "$BUILD" "$(nproc)"
}
