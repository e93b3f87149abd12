#!/bin/bash
# Makes the database's roles (roles.sql) and gives each the password in its volume. Runs in PostgreSQL's image.
set -euo pipefail

export PGPASSWORD PGHOST=postgres PGUSER=im PGDATABASE=im
PGPASSWORD=$(</passwords/superuser/password)
{
  # A password is part of its statement: no log may hold that, whatever happens to it.
  echo "SET log_min_duration_statement = -1; SET log_statement = 'none'; SET log_min_error_statement = panic;"
  cat /roles.sql
  for role in owner auth chat presence; do
    password=$(</passwords/$role/password)
    [[ $password =~ ^[0-9a-f]+$ ]]
    echo "ALTER ROLE im_$role PASSWORD '$password';"
  done
} | psql -qX -v ON_ERROR_STOP=1
