#!/usr/bin/env bash
# Brings the commit that is checked out to an environment: tests and builds its image in Cloud Build, applies terraform,
# waits until the API is ready.
#
# Usage: infrastructure/simple_deploy.sh stage|prod [--project ID] [--yes]
#   --project ID   the Google Cloud project; default: GCP_PROJECT_ID, then gcloud's own
#   --yes          do not ask before prod
#
# The first time it builds everything but the services, and stops for the secrets' values: run what it prints, then it
# again. STATE_BUCKET names the bucket of terraform's state; default: ID-convergence-state. POLL_SECONDS is how often the
# build is asked for; default: 15.
# Exit codes: 0 deployed and ready; 1 a step failed; 2 refused: bad usage, a dirty tree, no project, not confirmed, a
# tool or a file missing; 3 secrets wait for their values.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() { sed -n '2,14s/^# \{0,1\}//p' infrastructure/simple_deploy.sh; }

refuse() {
  printf '%s\n' "$*" >&2
  exit 2
}

say() { printf '\n== %s\n' "$*"; }

environment=''
project="${GCP_PROJECT_ID:-}"
confirmed=no
while [ $# -gt 0 ]; do
  case "$1" in
    --help | -h) usage; exit 0 ;;
    --project) [ $# -ge 2 ] || refuse "--project needs an id"; project="$2"; shift ;;
    --yes) confirmed=yes ;;
    stage | prod) [ -z "$environment" ] || refuse "one environment, please"; environment="$1" ;;
    *) usage >&2; exit 2 ;;
  esac
  shift
done
[ -n "$environment" ] || { usage >&2; exit 2; }

# The first terraform init writes its lock file, which is then committed.
[ -z "$(git status --porcelain -- . ':!infrastructure/terraform/.terraform.lock.hcl')" ] ||
  refuse "the tree is dirty: what is deployed must be a commit. git status shows what differs"
for tool in gcloud terraform curl; do
  command -v "$tool" >/dev/null || refuse "$tool is missing"
done
[ -n "$project" ] || project=$(gcloud config get-value project 2>/dev/null || true)
[ -n "$project" ] && [ "$project" != "(unset)" ] || refuse "no project: give --project, or set GCP_PROJECT_ID"
variables="$environment.tfvars"
[ -f "infrastructure/terraform/$variables" ] ||
  refuse "infrastructure/terraform/$variables is missing: copy $variables.example and fill it in"

revision=$(git rev-parse --short=12 HEAD)
if [ "$environment" = prod ] && [ "$confirmed" = no ]; then
  [ -t 0 ] || refuse "prod is confirmed at a terminal, or with --yes"
  printf 'Deploy %s to prod in project %s? Type prod: ' "$revision" "$project"
  read -r answer
  [ "$answer" = prod ] || refuse "not confirmed, nothing was done"
fi

tf() { terraform -chdir=infrastructure/terraform "$@"; }

apply() { tf apply -input=false -auto-approve -var-file="$variables" -var "project=$project" -var "environment=$environment" "$@"; }

say "terraform of $environment in $project"
tf init -input=false -reconfigure -backend-config="bucket=${STATE_BUCKET:-$project-convergence-state}" \
  -backend-config="prefix=convergence/$environment" >/dev/null
# Without an image terraform would take the services away, so this is for a project that has none.
resources=$(tf state list 2>/dev/null || true)
case "$resources" in
  *google_cloud_run_v2_service*) ;;
  *) apply ;;
esac

missing=0
for secret in convergence-root-key convergence-root-secret; do
  versions=$(gcloud secrets versions list "$secret" --project "$project" --filter state=ENABLED --format 'value(name)')
  [ -z "$versions" ] || continue
  missing=1
  printf '\n%s has no value yet. Make one, which nobody sees:\n' "$secret"
  printf '  openssl rand -hex 32 | tr -d "\\n" | gcloud secrets versions add %s --project %s --data-file=-\n' "$secret" "$project"
done
if [ "$missing" = 1 ]; then
  printf '\nThen: infrastructure/simple_deploy.sh %s --project %s\n' "$environment" "$project"
  exit 3
fi

say "image of $revision, tested and built by Cloud Build"
repository=$(tf output -raw image_repository)
region="${repository%%-docker.pkg.dev*}"
version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
build=$(gcloud builds submit --async --project "$project" --config infrastructure/cloudbuild.yaml \
  --substitutions "_REGION=$region,_REVISION=$revision,_VERSION=$version" --format 'value(id)')
printf 'build %s; its log: gcloud beta builds log --stream %s --project %s\n' "$build" "$build" "$project"
while :; do
  status=$(gcloud builds describe "$build" --project "$project" --format 'value(status)')
  case "$status" in
    PENDING | QUEUED | WORKING) sleep "${POLL_SECONDS:-15}" ;;
    *) break ;;
  esac
done
if [ "$status" != SUCCESS ]; then
  printf 'build %s ended with %s\n' "$build" "$status" >&2
  exit 1
fi
digest=$(gcloud artifacts docker images describe "$repository/convergence:$build" --project "$project" \
  --format 'value(image_summary.digest)')

say "services of $repository/convergence@$digest"
apply -var "image=$repository/convergence@$digest"
url=$(tf output -raw api_url)

say "waiting for $url"
ready=no
for _ in $(seq 60); do
  if curl --silent --fail --max-time 10 --output /dev/null "$url/health/ready"; then
    ready=yes
    break
  fi
  sleep 5
done
if [ "$ready" = no ]; then
  printf 'not ready after 5 minutes:\n' >&2
  curl --silent --show-error --max-time 10 "$url/health/ready" >&2 || true
  printf '\nLogs: gcloud run services logs read convergence-api --project %s --region %s\n' "$project" "$region" >&2
  exit 1
fi
printf '\n%s is at %s\n%s\n\nNext: GCP_PROJECT_ID=%s infrastructure/simple_test.sh %s --url %s\n' \
  "$environment" "$revision" "$url" "$project" "$environment" "$url"
