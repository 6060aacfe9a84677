# One account for each part, so that each can do its own work and nothing else. None has a key: Cloud Run and Compute
# Engine hand out their tokens.

resource "google_service_account" "api" {
  account_id   = "convergence-api"
  display_name = "Convergence API"
  description  = "Answers callers, onboards organizations, announces runs"
}

resource "google_service_account" "worker" {
  account_id   = "convergence-worker"
  display_name = "Convergence worker"
  description  = "Executes runs"
}

# Its name in a token is what the worker believes; it can do nothing else.
resource "google_service_account" "caller" {
  account_id   = "convergence-caller"
  display_name = "Convergence caller"
  description  = "Signs the requests of Cloud Tasks and Cloud Scheduler to the worker"
}

resource "google_service_account" "metabase" {
  count = var.metabase.enabled ? 1 : 0

  account_id   = "convergence-metabase"
  display_name = "Convergence Metabase machine"
  description  = "Runs the dashboards' virtual machine; reads no data"
}

# Metabase signs in to BigQuery with a key file only, so the account whose key is made by hand can read costs and
# nothing else, and is not the machine's own.
resource "google_service_account" "metabase_reader" {
  count = var.metabase.enabled ? 1 : 0

  account_id   = "convergence-metabase-reader"
  display_name = "Convergence Metabase reader"
  description  = "Reads the organizations' datasets for the dashboards"
}
