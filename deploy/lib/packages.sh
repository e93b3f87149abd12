# Debian packages: what a list in deploy/packages names and the machine lacks is installed.

# missing_packages LIST...: the packages of those lists that are not installed.
missing_packages() {
  local list package program installed
  installed=$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' | sed -n 's/^installed //p')
  for list in "$@"; do
    while read -r package program; do
      case $package in '' | '#'*) continue ;; esac
      [ -n "$program" ] && command -v "$program" >/dev/null && continue
      grep -qxF "$package" <<<"$installed" || echo "$package"
    done <"$ROOT/deploy/packages/$list.txt"
  done
}

# install_packages LIST...: says what it installs, and how.
install_packages() {
  local missing as_root=()
  command -v apt-get >/dev/null || fail "This is not a Debian machine: there is no apt-get." \
    "use Debian 12, or docker-compose -f deploy/docker-compose.yml up."
  mapfile -t missing < <(missing_packages "$@")
  if [ ${#missing[@]} -eq 0 ]; then
    note packages "all there"
    return
  fi
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || fail "Packages are missing and there is no sudo: ${missing[*]}" \
      "as root: apt-get update && apt-get install --no-install-recommends ${missing[*]}"
    as_root=(sudo)
    note packages "through sudo: ${missing[*]}"
    sudo -v || fail "sudo refused." \
      "as root: apt-get update && apt-get install --no-install-recommends ${missing[*]}"
  else
    note packages "${missing[*]}"
  fi
  # Else Debian makes and starts a cluster of its own that nobody here uses.
  if [[ " ${missing[*]} " == *" postgresql-15 "* ]] && [ ! -e /etc/postgresql-common/createcluster.conf ]; then
    "${as_root[@]}" mkdir -p /etc/postgresql-common
    echo "create_main_cluster = false" |
      "${as_root[@]}" tee /etc/postgresql-common/createcluster.conf >/dev/null
  fi
  local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=180)
  run_quietly packages "refreshing the package lists" "$LOGS/apt-update.log" \
    "check the network and /etc/apt, then run this again." "${apt[@]}" update
  run_quietly packages "installing ${#missing[@]} packages and what they need" "$LOGS/apt-install.log" \
    "mend what apt says, then run this again." \
    "${apt[@]}" install -y --no-install-recommends -o Dpkg::Options::=--force-confold "${missing[@]}"
  changed packages
}
