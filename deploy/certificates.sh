#!/bin/bash
# certificates.sh DIR NAME...: a development authority and a server certificate for those host names and
# addresses, in DIR: ca.crt, ca.key, server.crt, server.key (EC P-256, keys readable by their owner only).
# Makes what is missing, renews what expires within 30 days, and leaves the rest. Prints what it did.
set -euo pipefail
umask 077

readonly DIR=$1
shift
readonly RENEW_SECONDS=$((30 * 24 * 3600))
# Ten years for the authority, since every client has to be told of a new one; a server certificate of
# more than 398 days is refused by some clients.
readonly CA_DAYS=3650 SERVER_DAYS=397

mkdir -p "$DIR"
work=$(mktemp -d "$DIR/.new.XXXXXX")
trap 'rm -rf "$work"' EXIT

new_key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1" 2>/dev/null; }
expires() { openssl x509 -in "$1" -noout -enddate | cut -d= -f2; }
good() { [ -s "$1" ] && [ -s "$2" ] && openssl x509 -in "$1" -noout -checkend "$RENEW_SECONDS" >/dev/null; }

if good "$DIR/ca.crt" "$DIR/ca.key"; then
  echo "authority valid until $(expires "$DIR/ca.crt")"
else
  new_key "$work/ca.key"
  openssl req -x509 -new -key "$work/ca.key" -sha256 -days "$CA_DAYS" -out "$work/ca.crt" \
    -subj "/CN=IM development authority $(date +%F)" \
    -addext basicConstraints=critical,CA:true,pathlen:0 -addext keyUsage=critical,keyCertSign,cRLSign
  chmod 644 "$work/ca.crt"
  mv "$work/ca.key" "$work/ca.crt" "$DIR"
  echo "authority made, valid until $(expires "$DIR/ca.crt"): clients need the new $DIR/ca.crt"
fi

names=
for name in "$@"; do
  case $name in
    *[!0-9.]*) names+="${names:+,}DNS:$name" ;;
    *) names+="${names:+,}IP:$name" ;;
  esac
done

names_of() { openssl x509 -in "$1" -noout -ext subjectAltName | sed -n 's/IP Address:/IP:/g; s/ //g; /:/p' | tail -n 1; }

if good "$DIR/server.crt" "$DIR/server.key" && [ "$(names_of "$DIR/server.crt")" = "$names" ] &&
  openssl verify -CAfile "$DIR/ca.crt" "$DIR/server.crt" >/dev/null 2>&1; then
  echo "server certificate valid until $(expires "$DIR/server.crt")"
else
  new_key "$work/server.key"
  openssl req -new -key "$work/server.key" -subj "/CN=$1" -out "$work/server.csr"
  printf '%s\n' basicConstraints=critical,CA:false keyUsage=critical,digitalSignature \
    extendedKeyUsage=serverAuth,clientAuth "subjectAltName=$names" >"$work/extensions"
  openssl x509 -req -in "$work/server.csr" -CA "$DIR/ca.crt" -CAkey "$DIR/ca.key" -sha256 \
    -set_serial "0x$(openssl rand -hex 16)" -days "$SERVER_DAYS" -extfile "$work/extensions" \
    -out "$work/server.crt" 2>/dev/null
  chmod 644 "$work/server.crt"
  mv "$work/server.key" "$work/server.crt" "$DIR"
  echo "server certificate made for $names, valid until $(expires "$DIR/server.crt")"
fi
