#!/usr/bin/env bash
# Builds the image on a base made of Debian's packages, without a registry or a daemon, and runs it once.
#
# Usage: infrastructure/checks/image.sh [--again]
#   --again   build and run even where nothing changed since it last passed
#
# Set BASE to build on an image that buildah can pull, such as python:3.11-slim-bookworm, instead.
# Exit codes: 0 passed, unchanged, or not checked on a machine that cannot; 1 failed; 2 bad usage.
set -euo pipefail
cd "$(dirname "$0")/../.."

CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/convergence/image"
BASE="${BASE:-localhost/convergence-base}"
STAMP="$CACHE/passed"
export BUILDAH_ISOLATION=chroot

store() { buildah --root "$CACHE/images" --runroot "$CACHE/run" "$@"; }

say() { printf 'image: %s\n' "$*"; }

skip() {
  say "NOT CHECKED: $*"
  [ "${CI:-}" != true ] || exit 1
  exit 0
}

need_tools() {
  [ "$(id -u)" = 0 ] || skip "needs root, as debootstrap does; try: sudo make check-image"
  for tool in buildah debootstrap; do
    command -v "$tool" >/dev/null || skip "$tool is missing; apt-get install buildah debootstrap"
  done
  if ! probe=$(store from scratch) || ! store mount "$probe" >/dev/null; then
    skip "this machine lets nobody mount, not even root"
  fi
  store rm "$probe" >/dev/null
}

content() {
  { printf '%s\n' "$BASE"
    find infrastructure/Dockerfile infrastructure/checks/image.sh infrastructure/checks/pip_configuration.py .dockerignore \
      constraints.txt pyproject.toml README.md LICENSE src configs -type f ! -name '*.pyc' -print0 | sort -z | xargs -0 sha256sum
  } | sha256sum
}

make_base() {
  case "$BASE" in localhost/*) ;; *) store pull --quiet "$BASE"; return ;; esac
  ! store inspect --type image "$BASE" >/dev/null 2>&1 || return 0
  say "making a base of Debian's packages"
  container=$(store from scratch)
  debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm \
    "$(store mount "$container")" >"$CACHE/debootstrap.log" 2>&1 || { tail -5 "$CACHE/debootstrap.log"; exit 1; }
  store commit --quiet --rm "$container" "$BASE" >/dev/null
}

build() {
  say "building"
  volumes=()
  while read -r path; do
    volumes+=(--volume "$path:$path:ro")
  done < <(python3 infrastructure/checks/pip_configuration.py "$SCRATCH/pip.conf")
  store bud --quiet --layers=false --pull-never --format docker --signature-policy "$SCRATCH/policy.json" \
    --build-arg "BASE=$BASE" --secret "id=pip,src=$SCRATCH/pip.conf" ${volumes[@]+"${volumes[@]}"} \
    --file infrastructure/Dockerfile --tag convergence . >"$CACHE/build.log" 2>&1 || { tail -20 "$CACHE/build.log"; exit 1; }
  store rmi --prune --force >/dev/null # what earlier builds left
}

configured() { store inspect --type image --format "{{$1}}" convergence; }

expect() {
  [ "$2" = "$3" ] || { say "$1 is $2, not $3"; exit 1; }
}

check_configuration() {
  expect "the user" "$(configured .Docker.Config.User)" 10001:10001
  expect "the entry point" "$(configured .Docker.Config.Entrypoint)" '[convergence]'
  expect "the command" "$(configured .Docker.Config.Cmd)" '[serve]'
  case "$(configured .Docker.Config.Healthcheck.Test)" in
    *health/live*) ;;
    *) say "there is no health check"; exit 1 ;;
  esac
}

# What happens inside, as the image's user; $1 is a free port, which PORT passes on as Cloud Run does.
read -r -d '' INSIDE <<'END' || true
set -eu
fail() { echo "image: $1" >&2; exit 1; }
[ "$(id -u)" = 10001 ] || fail "runs as $(id -u)"
for tool in pip pip3 gcc cc make curl; do ! command -v "$tool" >/dev/null || fail "has $tool"; done
! touch /opt/convergence/written 2>/dev/null || fail "its program can be overwritten"
convergence --version >/dev/null || fail "convergence --version failed"
convergence validate >/dev/null || fail "the packaged configs are wrong"
python3 -c 'import google.cloud.bigquery_storage, google.cloud.firestore, google.cloud.kms, google.cloud.secretmanager
import google.cloud.bigquery, google.cloud.tasks, pyarrow.dataset, pyarrow.parquet, redis' ||
  fail "lacks a library of the extras"
export PORT="$1"
convergence serve --no-scheduler 2>/tmp/serve.log & server=$!
answered=no
for _ in $(seq 60); do
  ! python3 -c "$2" 2>/dev/null || { answered=yes; break; }
  kill -0 "$server" 2>/dev/null || break
  sleep 0.5
done
[ "$answered" = yes ] || { cat /tmp/serve.log >&2; fail "does not answer /health/live"; }
kill -TERM "$server"
wait "$server" || fail "SIGTERM ended it with $?"
END

run() {
  say "running"
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])')
  health=$(configured 'index .Docker.Config.Healthcheck.Test 3')
  container=$(store from --pull-never --signature-policy "$SCRATCH/policy.json" convergence)
  trap 'store rm "$container" >/dev/null; rm -rf "$SCRATCH"' EXIT
  store run "$container" -- sh -c "$INSIDE" inside "$port" "$health"
  size=$(du -sm "$(store mount "$container")" | cut -f1)
  program=$(du -sm "$(store mount "$container")/opt/convergence" | cut -f1)
  say "passed; $size MiB on disk, of which the program and its libraries are $program MiB"
}

case "${1:-}" in
  '') ;;
  --again) rm -f "$STAMP" ;;
  --help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
  *) sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
now=$(content)
if [ "$(cat "$STAMP" 2>/dev/null)" = "$now" ]; then
  say "unchanged since it last passed"
  exit 0
fi
mkdir -p "$CACHE"
need_tools
SCRATCH=$(mktemp -d)
trap 'rm -rf "$SCRATCH"' EXIT
umask 077
echo '{"default": [{"type": "insecureAcceptAnything"}]}' >"$SCRATCH/policy.json"
umask 022
make_base
build
check_configuration
run
printf '%s\n' "$now" >"$STAMP"
