#!/bin/bash
# Runs before PostgreSQL on each start of the machine: disk, password, network. Repeating it changes nothing.
set -euo pipefail

readonly device=/dev/disk/by-id/google-metabase
readonly home=/mnt/disks/metabase

blkid "$device" >/dev/null || mkfs.ext4 -q -m 0 "$device"
mkdir -p "$home"
mountpoint -q "$home" || mount -o discard,defaults "$device" "$home"
mkdir -p "$home/postgres"

# The password is made here, stays here, and is of use only in this machine's own container network.
if [ ! -s "$home/password" ]; then
  (umask 077 && head -c 32 /dev/urandom | sha256sum | cut -d ' ' -f 1 >"$home/password")
fi
(
  umask 077
  password=$(cat "$home/password")
  printf 'POSTGRES_USER=metabase\nPOSTGRES_DB=metabase\nPOSTGRES_PASSWORD=%s\n' "$password" >"$home/postgres.env"
  printf 'MB_DB_TYPE=postgres\nMB_DB_HOST=postgres\nMB_DB_PORT=5432\nMB_DB_DBNAME=metabase\n' >"$home/metabase.env"
  printf 'MB_DB_USER=metabase\nMB_DB_PASS=%s\n' "$password" >>"$home/metabase.env"
)

docker network inspect dashboards >/dev/null 2>&1 || docker network create dashboards >/dev/null
