#!/usr/bin/env bash
# Asks a deployed Convergence whether it works: health, keys, bootstrap, a dry run of onboarding. Changes nothing but
# the platform's tables, which bootstrap makes where they are missing.
#
# Usage: infrastructure/simple_test.sh stage|prod [--url URL]
#   --url URL   the API to ask; default: the Cloud Run service of GCP_PROJECT_ID in REGION
#
# The root key is CA_ROOT_API_KEY, or else read from Secret Manager. It is never printed and never an argument.
# Exit codes: 0 every check passed; 1 a check failed; 2 bad usage, or no URL or key to be found.
set -euo pipefail

usage() { sed -n '2,9s/^# \{0,1\}//p' "$0"; }

refuse() {
  printf '%s\n' "$*" >&2
  exit 2
}

environment=''
url=''
while [ $# -gt 0 ]; do
  case "$1" in
    --help | -h) usage; exit 0 ;;
    --url) [ $# -ge 2 ] || refuse "--url needs a URL"; url="$2"; shift ;;
    stage | prod) [ -z "$environment" ] || refuse "one environment, please"; environment="$1" ;;
    *) usage >&2; exit 2 ;;
  esac
  shift
done
[ -n "$environment" ] || { usage >&2; exit 2; }
command -v curl >/dev/null || refuse "curl is missing"

project="${GCP_PROJECT_ID:-}"
region="${REGION:-us-central1}"
if [ -z "$url" ]; then
  [ -n "$project" ] || refuse "GCP_PROJECT_ID is not set, and no --url was given"
  url=$(gcloud run services describe convergence-api --project "$project" --region "$region" \
    --format 'value(status.url)') || refuse "no service convergence-api in $project, $region: infrastructure/simple_deploy.sh $environment"
fi
url="${url%/}"
root_key="${CA_ROOT_API_KEY:-}"
if [ -z "$root_key" ]; then
  [ -n "$project" ] || refuse "neither CA_ROOT_API_KEY nor GCP_PROJECT_ID is set"
  root_key=$(gcloud secrets versions access latest --secret convergence-root-key --project "$project") ||
    refuse "the root key cannot be read: it takes roles/secretmanager.secretAccessor on convergence-root-key"
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failed=0

# ask METHOD PATH KEY [BODY]: prints the status; the answer, without white space, is in $scratch/answer.
# The key goes through standard input, since anybody on this machine may read a command's arguments.
ask() {
  {
    [ -z "$3" ] || printf 'header = "X-CA-Root-Key: %s"\n' "$3"
    [ -z "${4:-}" ] || printf 'header = "Content-Type: application/json"\ndata = "%s"\n' "$(printf '%s' "$4" | sed 's/"/\\"/g')"
  } | curl --config - --silent --show-error --max-time 120 --request "$1" --output "$scratch/raw" \
    --write-out '%{http_code}' "$url$2" 2>"$scratch/error" || true
  touch "$scratch/raw"
  tr -d ' \n' <"$scratch/raw" >"$scratch/answer"
  rm -f "$scratch/raw"
}

# check NAME WANTED_STATUS GIVEN_STATUS [TEXT]: the status is the wanted one and the answer contains the text.
check() {
  if [ "$3" = "$2" ] && { [ -z "${4:-}" ] || grep -qF -- "$4" "$scratch/answer"; }; then
    printf 'ok    %s\n' "$1"
    return
  fi
  failed=$((failed + 1))
  printf 'FAIL  %s: HTTP %s, expected %s%s\n' "$1" "$3" "$2" "${4:+ with $4}"
  cat "$scratch/answer" "$scratch/error" | head -c 500 | sed 's/^/      /'
  printf '\n'
}

slug="smoke_$(date +%s)"
organization="{\"org_slug\":\"$slug\",\"company_name\":\"Smoke\",\"admin_email\":\"smoke@example.com\"}"

printf '%s at %s\n' "$environment" "$url"
check "the process lives" 200 "$(ask GET /health/live '')" '"status":"ok"'
[ "$failed" = 0 ] || exit 1
check "warehouse, queue and state store answer" 200 "$(ask GET /health/ready '')" '"warehouse":"ok"'
check "nobody without a key" 401 "$(ask POST /api/v1/admin/bootstrap '')" '"code":"unauthenticated"'
check "nobody with a wrong key" 401 "$(ask POST /api/v1/admin/bootstrap 'not-the-root-key-0123456789abcdef')" '"code":"unauthenticated"'
check "bootstrap" 200 "$(ask POST /api/v1/admin/bootstrap "$root_key")" '"status":"SUCCESS"'
check "bootstrap again creates nothing" 200 "$(ask POST /api/v1/admin/bootstrap "$root_key")" '"tables_created":[]'
check "an organization could be onboarded" 200 "$(ask POST /api/v1/organizations/dryrun "$root_key" "$organization")" '"ready_for_onboarding":true'
check "the dry run left nothing behind" 404 "$(ask GET "/api/v1/organizations/$slug" "$root_key")"

if [ "$failed" -gt 0 ]; then
  printf '%s checks failed. Logs: gcloud run services logs read convergence-api --region %s\n' "$failed" "$region" >&2
  exit 1
fi
printf 'All checks passed. Next: convergence org onboard ORG --server %s\n' "$url"
