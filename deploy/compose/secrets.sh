#!/bin/bash
# secrets.sh NAME...: makes what docker-compose.yml keeps in its secrets volume, where it is missing: the
# certificates for those names, and the database's password. Runs as user im with the group of PostgreSQL's
# image (999), which reads the password, too.
set -euo pipefail

/usr/local/lib/im/certificates.sh /secrets "$@"
if [ ! -s /secrets/pgpass ]; then
  umask 027
  password=$(openssl rand -hex 24)
  printf %s "$password" >/secrets/postgres-password
  # libpq ignores a password file that others can read.
  umask 077
  printf '*:*:*:*:%s\n' "$password" >/secrets/pgpass.new
  mv /secrets/pgpass.new /secrets/pgpass
  echo "database password made"
fi
