# Who may do what. The lists are exact: a new grant on the project is a line here too.

mock_provider "google" {
  mock_data "google_project" {
    defaults = { number = "123456789012" }
  }
}
mock_provider "google-beta" {}

variables {
  project      = "acme-costs-stage"
  environment  = "stage"
  image        = "us-central1-docker.pkg.dev/acme-costs-stage/convergence/convergence@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  alert_emails = ["finops@example.com"]
  metabase     = { enabled = true, members = ["group:finance@example.com"] }
}

run "grants" {
  command = plan

  assert {
    condition     = alltrue([for grant in values(google_project_iam_member.grant) : !contains(["roles/owner", "roles/editor", "roles/viewer"], grant.role)])
    error_message = "A primitive role is granted."
  }

  assert {
    condition = { for name, grant in local.project_grants : name => grant.role } == {
      "api jobs"             = "roles/bigquery.jobUser"
      "api onboarding"       = "projects/acme-costs-stage/roles/convergenceDatasetCreator"
      "api organizations"    = "roles/bigquery.dataEditor"
      "api results"          = "roles/bigquery.readSessionUser"
      "api state"            = "roles/datastore.user"
      "worker jobs"          = "roles/bigquery.jobUser"
      "worker organizations" = "roles/bigquery.dataEditor"
      "worker results"       = "roles/bigquery.readSessionUser"
      "worker state"         = "roles/datastore.user"
      "metabase logs"        = "roles/logging.logWriter"
      "metabase metrics"     = "roles/monitoring.metricWriter"
      "metabase reader_jobs" = "roles/bigquery.jobUser"
      "metabase reader_data" = "roles/bigquery.dataViewer"
    }
    error_message = "What is granted on the project has changed."
  }

  assert {
    condition     = alltrue([for grant in values(local.project_grants) : grant.condition != null if strcontains(grant.role, "bigquery.data") || grant.role == "roles/datastore.user"])
    error_message = "A grant on data is for the whole project."
  }

  assert {
    condition     = google_project_iam_custom_role.dataset_creator.permissions == toset(["bigquery.datasets.create"])
    error_message = "Onboarding may do more than make a dataset."
  }

  assert {
    condition     = strcontains(local.organization_datasets, "endsWith(\"_stage\")") && !strcontains(local.organization_datasets, "prod")
    error_message = "The datasets of another environment are open."
  }

  assert {
    condition     = local.state_database == "resource.name == \"projects/acme-costs-stage/databases/(default)\""
    error_message = "Another database is open."
  }

  assert {
    condition     = { for name, grant in google_bigquery_dataset_iam_member.organizations : name => grant.role } == { api = "roles/bigquery.dataEditor", worker = "roles/bigquery.dataEditor" }
    error_message = "Others than the services touch the platform's tables, or they may do more than edit them."
  }

  assert {
    condition     = alltrue([for grant in values(google_kms_crypto_key_iam_member.credentials) : grant.role == "roles/cloudkms.cryptoKeyEncrypterDecrypter"])
    error_message = "The key is used for more than wrapping and unwrapping."
  }

  assert {
    condition     = alltrue([for grant in values(google_secret_manager_secret_iam_member.secret) : grant.role == "roles/secretmanager.secretAccessor"])
    error_message = "A service may change a secret."
  }

  assert {
    condition     = toset(keys(google_cloud_tasks_queue_iam_member.enqueuer)) == toset(["api", "worker"])
    error_message = "Others than the services announce runs."
  }

  assert {
    condition     = toset([for grant in values(google_iap_tunnel_instance_iam_member.metabase) : grant.member]) == toset(["group:finance@example.com"])
    error_message = "Somebody who was not named reaches the dashboards."
  }
}

run "nobody_reads_dashboards_unnamed" {
  command = plan

  variables {
    metabase = { enabled = false }
  }

  assert {
    condition     = length([for name in keys(local.project_grants) : name if startswith(name, "metabase")]) == 0 && length(google_service_account.metabase_reader) == 0
    error_message = "Without Metabase its accounts have roles."
  }
}
