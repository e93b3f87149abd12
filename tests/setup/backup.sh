#!/bin/bash
# Backup, restore and check, for real: a set-up of its own, two people whose devices go on over it all.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"
. tests/setup/lib.sh

work=$(mktemp -d)
chmod 711 "$work"
export IM_HOME=$work/home IMCTL_HOME=$work/people
flow='' listener=''

finish() {
  local status=$?
  [ -z "$flow" ] || kill "$flow" 2>/dev/null || true
  [ -z "$listener" ] || kill "$listener" 2>/dev/null || true
  if [ $status -ne 0 ] && [ -d "$IM_HOME/log" ]; then
    ./im logs -n 30
    tail -n 20 "$IM_HOME"/log/{restore,backup,migrate}.log "$work"/*.log || true
  fi
  [ ! -d "$IM_HOME/service" ] || ./im down --erase <<<erase >/dev/null
  rm -rf "$work"
  exit $status
}
trap finish EXIT

owner() {
  local url
  url=$(sed -n 's/^url = "\(.*\)"/\1/p' "$IM_HOME/etc/owner.conf")
  /usr/lib/postgresql/15/bin/psql -qAtX -v ON_ERROR_STOP=1 "$url" -c "$1"
}
imctl() { "$IM_HOME/bin/imctl" "$@"; }
bob() { imctl --profile bob "$@"; }
# What somebody sees of the conversation: the texts, in order.
texts() { imctl --profile "$1" --json history "$2" --limit 1000 | python3 -c '
import json, sys
for line in sys.stdin:
    entry = json.loads(line)
    entry = entry.get("entry", entry)
    if "message" in entry:
        print(entry["seq"], entry["message"]["text"]["body"])'; }

port=$(any_port)
has "IM is up" ./im up --port $port
imctl --server "127.0.0.1:$port" register ann --password-stdin <<<"correct horse battery" >/dev/null
imctl --server "127.0.0.1:$port" --profile bob register bob --password-stdin <<<"battery horse correct" >/dev/null
bob contacts request ann >/dev/null
imctl contacts accept bob >/dev/null
imctl group create team bob >/dev/null
imctl send bob "one" >/dev/null
bob --json listen >"$work/listen.log" 2>&1 &
listener=$!
heard() { grep -qF "\"$1\"" "$work/listen.log"; }
until_true "bob hears" heard one
has "everything is as it should be" ./im check

(i=0; until [ -e "$work/enough" ]; do i=$((i + 1)); imctl send bob "flow $i" >>"$work/flow.log" 2>&1; done) &
flow=$!
until_true "messages flow" heard "flow 3"
has "im.dump, " ./im backup "$work/im.dump"
flowed=$(grep -c . "$work/flow.log")
until_true "they go on" heard "flow $((flowed + 3))"
touch "$work/enough"
wait "$flow"
flow=
[ "$(stat -c %a "$work/im.dump")" = 600 ] && [ ! -e "$work/im.dump.partial" ]
imctl send bob "after the backup" >/dev/null
until_true "bob hears" heard "after the backup"
texts default bob >"$work/before"
has "everything is as it should be" ./im check
passed "a backup while messages flow"

refuses 1 "is there already" ./im backup "$work/im.dump"
refuses 1 "is a folder" ./im backup "$work"
refuses 1 "cannot be written" ./im backup "$work/none/im.dump"
refuses 2 "needs the name of a file" ./im backup
refuses 1 "accounts or conversations in $IM_HOME already" ./im restore "$work/im.dump"
refuses 1 "cannot be read" ./im restore "$work/none" --replace
refuses 1 "is no backup" ./im restore README.md --replace
head -c -300 "$work/im.dump" >"$work/cut.dump"
refuses 1 "as it was" ./im restore "$work/cut.dump" --replace
owner "INSERT INTO public.im_migrations (service, number, name) VALUES ('chat', 999, '0999_later')"
has "newer.dump, " ./im backup "$work/newer.dump"
owner "DELETE FROM public.im_migrations WHERE number = 999"
refuses 1 "newer version, with chat/0999_later" ./im restore "$work/newer.dump" --replace
owner "CREATE TABLE chat.kept AS SELECT * FROM chat.conversations; UPDATE chat.conversations SET last_seq = 2 WHERE kind = 1"
refuses 1 "last_seq: conversation_id=" ./im check
has "damaged.dump, " ./im backup "$work/damaged.dump"
owner "UPDATE chat.conversations c SET last_seq = k.last_seq FROM chat.kept k WHERE k.id = c.id; DROP TABLE chat.kept"
refuses 1 "The check does not pass what is in the backup. The set-up is as it was." \
  ./im restore "$work/damaged.dump" --replace
texts default bob | cmp - "$work/before"
[ "$(owner "SELECT count(*) FROM pg_database WHERE datname <> 'im' AND datname LIKE 'im%'")" = 0 ]
has "everything is as it should be" ./im check
passed "what is no good is refused, and the set-up is as it was"

has "is in force" ./im restore "$work/im.dump" --replace
texts default bob >"$work/restored"
lines=$(wc -l <"$work/restored")
[ "$lines" -gt 0 ] && head -n "$lines" "$work/before" | cmp - "$work/restored"
! grep -q "after the backup" "$work/restored"
has "everything is as it should be" ./im check
# The listener of before was told to forget, and has what there is now: whatever it heard since is what
# everybody has.
until_true "bob is told to forget" grep -q '"event":"forgotten"' "$work/listen.log"
imctl send bob "in the new time" >/dev/null
until_true "bob hears" heard "in the new time"
last=$(texts default bob | tail -n 1)
[ "$last" = "$((lines + 1)) in the new time" ]
texts bob ann | cmp - <(texts default bob)
sed '1,/"event":"forgotten"/d' "$work/listen.log" >"$work/since.log"
! grep -q "after the backup" "$work/since.log"
# New ids do not meet those that somebody may remember.
has "Added" ./im user add carol --password-stdin <<<"horse correct battery"
[ "$(owner "SELECT max(user_id) > 1000000 FROM auth.accounts")" = t ]
logs_are_clean "horse battery" "battery horse" "horse correct" "after the backup" "in the new time" "flow 3"
passed "a restore, and the devices from before list anew; nothing of theirs in the logs"

kill "$listener"
wait "$listener" || true
listener=
./im down --erase <<<erase >/dev/null
has "IM is up" ./im up --port $port
has "is in force" ./im restore "$work/im.dump"
# Their tokens changed since the backup, so the devices have to log in again.
log_in() {
  imctl login ann --password-stdin <<<"correct horse battery" >/dev/null
  bob login bob --password-stdin <<<"battery horse correct" >/dev/null
}
refuses 3 "to go on with it: imctl login" imctl chats
log_in
texts default bob | cmp - "$work/restored"
# What bob's device remembers is of the time after the backup.
has '"one"' bob --json listen --once
texts bob ann | cmp - "$work/restored"
has "is in force" ./im restore "$work/im.dump" --replace --log-out
[ "$(owner "SELECT count(*) FROM auth.devices WHERE ended_at IS NULL")" = 0 ]
refuses 3 "to go on with it: imctl login" imctl chats
log_in
texts default bob | cmp - "$work/restored"
passed "a restore into an empty set-up, and one that logs everybody out"

# A set-up from the time when all services had one role, which owned everything; chat's configuration was edited.
superuser() {
  local as=() socket
  [ "$(id -u)" -ne 0 ] || as=(setpriv --reuid=postgres --regid=postgres --init-groups --)
  socket=$(sed -n 's/^url = ".*host=\(.*\)"/\1/p' "$IM_HOME/etc/owner.conf")
  (cd / && "${as[@]}" /usr/lib/postgresql/15/bin/psql -qAtX -v ON_ERROR_STOP=1 -U postgres -d im -h "$socket" -c "$1")
}
roles="im_owner, im_auth, im_chat, im_presence"
superuser "CREATE ROLE im LOGIN; ALTER DATABASE im OWNER TO im; REASSIGN OWNED BY im_owner TO im;
  DROP OWNED BY $roles; DROP ROLE $roles"
sed -i 's,//im_[a-z]*@,//im@,' "$IM_HOME"/etc/{auth,chat,presence}.conf "$IM_HOME"/state/rendered/{auth,chat,presence}.conf
echo "# edited" >>"$IM_HOME/etc/chat.conf"
./im restart >/dev/null
up=$(./im up)
for text in "each service gets a role of its own" "etc/chat.conf: its database.url names the role im_chat now"; do
  has "$text" echo "$up"
done
[ "$(superuser "SELECT string_agg(rolname, ' ' ORDER BY rolname) FROM pg_roles WHERE rolname LIKE 'im%'")" = \
  "im_auth im_chat im_owner im_presence" ]
texts default bob | cmp - "$work/restored"
imctl send bob "by its own role" >/dev/null
./im user list | grep -q ann
has "everything is as it should be" ./im check
has "Nothing changed" ./im up
passed "a set-up from before the roles is brought over"
