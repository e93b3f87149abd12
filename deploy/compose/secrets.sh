#!/bin/bash
# secrets.sh NAME...: makes what docker-compose.yml keeps in its secret volumes, where it is missing: the
# certificates for those names, and the passwords of the database's superuser and of its roles, each in a
# volume of its own, so that a service can show no other's. The authority's key stays in a volume that no service
# has: with it anybody could be the gateway to clients. Runs as user im with the group of PostgreSQL's
# image (999), which reads the passwords, too, to set them.
set -euo pipefail

# Of the time when the gateway had that key, too.
if [ -s /secrets/ca.key ]; then
  cp -p /secrets/ca.key /secrets/ca.crt /secrets/server.key /secrets/server.crt /authority
  rm /secrets/ca.key
fi
/usr/local/lib/im/certificates.sh /authority "$@"
for file in ca.crt server.crt server.key; do
  cmp -s "/authority/$file" "/secrets/$file" && continue
  cp -p "/authority/$file" "/secrets/$file.new"
  mv "/secrets/$file.new" "/secrets/$file"
done

# password FILE
password() {
  [ ! -s "$1" ] || return 0
  (umask 027 && openssl rand -hex 24 | tr -d '\n' >"$1.new")
  mv "$1.new" "$1"
  echo "made $1"
}

# Of the time when all services came in as superuser.
if [ -s /secrets/postgres-password ]; then
  cp -p /secrets/postgres-password /passwords/superuser/password
  rm /secrets/postgres-password
fi
rm -f /secrets/pgpass
password /passwords/superuser/password
for role in owner auth chat presence; do
  password "/passwords/$role/password"
  # libpq ignores a password file that others can read.
  (umask 077 && printf '*:*:*:im_%s:%s\n' "$role" "$(<"/passwords/$role/password")" >"/passwords/$role/pgpass.new")
  mv "/passwords/$role/pgpass.new" "/passwords/$role/pgpass"
done
