# What holds data, keys and secrets.

mock_provider "google" {
  mock_data "google_project" {
    defaults = { number = "123456789012" }
  }
}

mock_provider "google-beta" {}

variables {
  project      = "acme-costs-prod"
  environment  = "prod"
  alert_emails = ["finops@example.com"]
  metabase     = { enabled = true }
}

run "stores" {
  command = plan

  assert {
    condition     = google_kms_crypto_key.credentials.rotation_period == "7776000s" && google_kms_crypto_key.credentials.purpose == "ENCRYPT_DECRYPT"
    error_message = "The key is not rotated every 90 days."
  }

  assert {
    condition     = google_kms_crypto_key.credentials.destroy_scheduled_duration == "2592000s"
    error_message = "A destroyed key version is gone before anybody notices."
  }

  assert {
    condition     = toset(keys(google_secret_manager_secret.secret)) == toset(["convergence-root-key", "convergence-root-secret"])
    error_message = "The secrets are others."
  }

  assert {
    condition     = alltrue([for file in fileset(path.module, "*.tf") : !strcontains(file(file), "google_secret_manager_secret_version") && !strcontains(file(file), "google_service_account_key") && !strcontains(file(file), "random_password")])
    error_message = "A secret's value passes through terraform's state."
  }

  assert {
    condition     = google_bigquery_dataset.organizations.dataset_id == "organizations" && google_bigquery_dataset.organizations.location == "US" && !google_bigquery_dataset.organizations.delete_contents_on_destroy
    error_message = "The platform's dataset is another, elsewhere, or deleted with its tables."
  }

  assert {
    condition     = google_firestore_field.expiry.collection == "pipeline_locks" && google_firestore_field.expiry.field == "delete_after" && length(google_firestore_field.expiry.ttl_config) == 1
    error_message = "What has run out is never removed."
  }

  assert {
    condition     = google_firestore_database.state.delete_protection_state == "DELETE_PROTECTION_ENABLED"
    error_message = "Production's state can be deleted."
  }

  assert {
    condition     = google_compute_instance.metabase[0].machine_type == "e2-small" && length(one(google_compute_instance.metabase[0].network_interface).access_config) == 0
    error_message = "The dashboards' machine has a public address."
  }

  assert {
    condition     = google_compute_firewall.iap[0].source_ranges == toset(["35.235.240.0/20"]) && google_compute_subnetwork.dashboards[0].private_ip_google_access
    error_message = "The machine is reached past Identity-Aware Proxy, or cannot reach BigQuery."
  }

  assert {
    condition     = one(one(google_compute_resource_policy.metabase[0].snapshot_schedule_policy).retention_policy).max_retention_days == 14
    error_message = "Dashboards are not copied every night."
  }

  assert {
    condition     = yamldecode(google_compute_instance.metabase[0].metadata["user-data"]).write_files[0].encoding == "b64"
    error_message = "The machine's start-up file is not YAML."
  }
}

run "pages_are_kept_for_a_replay" {
  command = plan

  variables {
    raw_page_days = 7
  }

  expect_failures = [var.raw_page_days]
}
