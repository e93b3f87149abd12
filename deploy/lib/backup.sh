# Backup, restore and check of a set-up's data. A restore fills a database of its own beside the one in use, and
# the two change names only when the data is there, migrated and checked: whatever fails before leaves the set-up
# as it was, and there is nothing in between.

readonly RESTORING=im_restoring REPLACED=im_replaced

size_of() { numfmt --to=iec --suffix=B "$(stat -c %s "$1")"; }

# watch_progress PID LABEL COMMAND...: shows what COMMAND prints until that process ends: on a terminal in one
# line that moves, else in a line every 30 seconds. Returns the status of the process.
watch_progress() {
  local pid=$1 label=$2 last=$SECONDS begun=$SECONDS
  shift 2
  while kill -0 "$pid" 2>/dev/null; do
    if [ -t 1 ] && [ $((SECONDS - begun)) -ge 1 ]; then
      printf '\r%-*s %s, %d s \033[K' "$LABEL_WIDTH" "$label" "$("$@")" $((SECONDS - begun))
    elif [ $((SECONDS - last)) -ge 30 ]; then
      note "$label" "$("$@"), $((SECONDS - begun)) s"
      last=$SECONDS
    fi
    sleep 0.2
  done
  [ ! -t 1 ] || printf '\r\033[K'
  wait "$pid"
}

command_backup() {
  local file="" force=no partial start log=$LOGS/backup.log
  while [ $# -gt 0 ]; do
    case $1 in
      --force) force=yes ;;
      -*) wrong_option "$1" ;;
      *) [ -z "$file" ] || misused "There is one file to write to, not both $file and $1."; file=$1 ;;
    esac
    shift
  done
  [ -n "$file" ] || misused "./im backup needs the name of a file to write to."
  need_running
  lock_home
  [ ! -d "$file" ] || fail "$file is a folder." "name a file in it: ./im backup ${file%/}/im.dump"
  [ ! -e "$file" ] || [ "$force" = yes ] || fail "$file is there already." "choose another name, or add --force"
  [[ $file == */* ]] || file=./$file
  partial=$file.partial
  (umask 077 && rm -f "$partial" && : >"$partial") 2>"$log" || fail "$partial cannot be written." "" "$log"
  wait_healthy postgres
  start=$(now_ms)
  trap 'kill $! 2>/dev/null; rm -f "$partial"; EXPLAINED=yes; exit 130' INT TERM
  # One snapshot, whatever is written meanwhile.
  "$POSTGRES_BIN/pg_dump" --format=custom --compress=1 --lock-wait-timeout=60s --file="$partial" \
    --dbname="$(database_url im_owner)" >"$log" 2>&1 </dev/null 9>&- &
  if ! watch_progress $! backup size_of "$partial" || ! sync "$partial" 2>>"$log" ||
    ! mv -f "$partial" "$file" 2>>"$log"; then
    rm -f "$partial"
    fail "The backup failed." "mend what it says, then run this again." "$log"
  fi
  trap - INT TERM
  note backup "$file, $(size_of "$file") in $(seconds_since "$start")"
}

# people_in DATABASE: the number of accounts and conversations, or of the tables for them that are missing.
people_in() {
  superuser "$1" -c 'SELECT (SELECT count(*) FROM auth.accounts) + (SELECT count(*) FROM chat.conversations)'
}

# need_empty: nothing is overwritten by mistake.
need_empty() {
  local people
  people=$(people_in im)
  [ "$people" = 0 ] || fail "There are accounts or conversations in $IM_HOME already ($people)." \
    "restore into another set-up (IM_HOME=...), or replace what is here: ./im restore FILE --replace"
}

command_restore() {
  local file="" replace=no despite=no migrate=(--restored) start size log=$LOGS/restore.log
  while [ $# -gt 0 ]; do
    case $1 in
      --replace) replace=yes ;;
      --log-out) migrate+=(--log-out) ;;
      --despite-findings) despite=yes ;;
      -*) wrong_option "$1" ;;
      *) [ -z "$file" ] || misused "There is one file to restore, not both $file and $1."; file=$1 ;;
    esac
    shift
  done
  [ -n "$file" ] || misused "./im restore needs the name of a file made by ./im backup."
  need_running
  lock_home
  [ -r "$file" ] && [ -f "$file" ] || fail "$file cannot be read."
  start=$(now_ms)
  # Not in a pipe: grep may leave before the list has ended.
  "$POSTGRES_BIN/pg_restore" --list "$file" >"$log" 2>&1 </dev/null || fail "$file is no backup." "" "$log"
  grep -q 'TABLE DATA public im_migrations ' "$log" || fail "$file is a backup of something else, not of IM."
  wait_healthy postgres
  [ "$replace" = yes ] || need_empty

  fill_beside "$file"
  check_beside "$despite"

  for name in gateway presence chat auth; do stop_service "$name"; done
  if ! swap_databases "$replace"; then
    query "DROP DATABASE IF EXISTS $RESTORING" || true
    ensure_current "${DAEMONS[@]}"
    fail "The restored data could not take its place; the set-up is as it was." "see the log" "$log"
  fi
  ensure_current "${DAEMONS[@]}"
  wait_healthy "${DAEMONS[@]}"
  query "DROP DATABASE IF EXISTS $REPLACED"
  note restore "$file is in force after $(seconds_since "$start"); clients list their conversations anew"
}

# leave_as_it_was WHAT [NEXT]: gives a restore up.
leave_as_it_was() {
  query "DROP DATABASE IF EXISTS $RESTORING" >>"$log" 2>&1 || true
  fail "$1 The set-up is as it was." "${2:-}" "$log"
}

# fill_beside FILE: a database with what is in the file, brought to this version.
fill_beside() {
  query "DROP DATABASE IF EXISTS $RESTORING" 2>>"$log"
  query "CREATE DATABASE $RESTORING"
  make_roles $RESTORING
  trap 'kill $! 2>/dev/null; wait; leave_as_it_was "Interrupted."' INT TERM
  "$POSTGRES_BIN/pg_restore" --jobs="$(nproc)" --no-owner --no-privileges --exit-on-error \
    --dbname="$(database_url im_owner $RESTORING)" "$1" >"$log" 2>&1 </dev/null 9>&- &
  watch_progress $! restore query "SELECT pg_size_pretty(pg_database_size('$RESTORING'))" ||
    leave_as_it_was "The backup could not be read back."
  trap - INT TERM
  "$IM_HOME/bin/im-migrate" "${migrate[@]}" --database.url "$(database_url im_owner $RESTORING)" \
    >"$log" 2>&1 </dev/null || leave_as_it_was "The backup does not go with this version." \
    "if it is of a newer one, take that: git pull, ./im up"
  superuser $RESTORING -c ANALYZE >>"$log" 2>&1 || leave_as_it_was "The restored data cannot be read."
  note restore "$(size_of "$1") read back in $(seconds_since "$start")"
}

# check_beside DESPITE: what is wrong must not get in unnoticed.
check_beside() {
  local found=0
  "$IM_HOME/bin/im-check" --database.url "$(database_url im_owner $RESTORING)" >"$log" || found=$?
  if [ $found -eq 1 ] && [ "$1" = yes ]; then
    note check "despite its findings: $(tail -n 1 "$log")"
  elif [ $found -ne 0 ]; then
    leave_as_it_was "The check does not pass what is in the backup." \
      "take an older backup, or take this all the same: --despite-findings"
  else
    note check "$(tail -n 1 "$log")"
  fi
}

# swap_databases REPLACE: in one transaction, and nobody in the old one meanwhile.
swap_databases() {
  [ "$1" = yes ] || [ "$(people_in im)" = 0 ] || {
    echo "somebody registered meanwhile" >"$log"
    return 1
  }
  {
    query "DROP DATABASE IF EXISTS $REPLACED" &&
      query "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
             WHERE datname IN ('im', '$RESTORING') AND pid <> pg_backend_pid()" &&
      query "BEGIN; ALTER DATABASE im RENAME TO $REPLACED; ALTER DATABASE $RESTORING RENAME TO im; COMMIT"
  } >"$log" 2>&1
}

command_check() {
  if asks_for_help "$@"; then need_set_up; else need_running; fi
  exec "$IM_HOME/bin/im-check" --config "$IM_HOME/etc/owner.conf" "$@"
}
