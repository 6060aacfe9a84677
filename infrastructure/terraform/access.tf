# Every role that is granted, with its reason. Grants are on the resource itself wherever the service takes them there;
# what is granted on the project is in local.project_grants and nowhere else.

locals {
  services = {
    api    = google_service_account.api
    worker = google_service_account.worker
  }

  # Datasets of organizations are made while the product runs, so they cannot be granted one by one. The name of each
  # ends with the environment: nothing else in the project is opened by this.
  organization_datasets = join(" || ", [
    "(resource.type == \"bigquery.googleapis.com/Dataset\" && resource.name.endsWith(\"_${var.environment}\"))",
    "(resource.type == \"bigquery.googleapis.com/Table\" && resource.name.extract(\"/datasets/{dataset}/\").endsWith(\"_${var.environment}\"))",
  ])

  # Firestore takes grants on the project only; the condition narrows them to the one database.
  state_database = "resource.name == \"projects/${var.project}/databases/${google_firestore_database.state.name}\""

  service_grants = {
    # Start queries and load jobs. Says nothing of whose data they may touch.
    jobs = { role = "roles/bigquery.jobUser", condition = null }
    # Read results through the Storage Read API, of tables that are readable anyway.
    results = { role = "roles/bigquery.readSessionUser", condition = null }
    # Tables and rows of the organizations' datasets.
    organizations = { role = "roles/bigquery.dataEditor", condition = local.organization_datasets }
    # Leases, counters, idempotency keys.
    state = { role = "roles/datastore.user", condition = local.state_database }
  }

  metabase_grants = {
    # Write its own log lines and metrics.
    logs    = { account = "metabase", role = "roles/logging.logWriter", condition = null }
    metrics = { account = "metabase", role = "roles/monitoring.metricWriter", condition = null }
    # Ask, and read costs: not the dataset `organizations`, which holds keys' hashes and sealed credentials.
    reader_jobs = { account = "metabase_reader", role = "roles/bigquery.jobUser", condition = null }
    reader_data = { account = "metabase_reader", role = "roles/bigquery.dataViewer", condition = local.organization_datasets }
  }

  metabase_accounts = var.metabase.enabled ? {
    metabase        = google_service_account.metabase[0].member
    metabase_reader = google_service_account.metabase_reader[0].member
  } : {}

  project_grants = merge(
    merge([
      for service, account in local.services : {
        for name, grant in local.service_grants :
        "${service} ${name}" => { member = account.member, role = grant.role, condition = grant.condition }
      }
    ]...),
    {
      for name, grant in local.metabase_grants :
      "metabase ${name}" => {
        member    = local.metabase_accounts[grant.account],
        role      = grant.role,
        condition = grant.condition
      } if var.metabase.enabled
    },
    {
      # Make the dataset of a new organization; its maker owns it. Only the API onboards.
      "api onboarding" = {
        member    = google_service_account.api.member
        role      = "projects/${var.project}/roles/${google_project_iam_custom_role.dataset_creator.role_id}"
        condition = null
      }
    },
  )
}

# roles/bigquery.user would add listing every dataset and cancelling others' jobs.
resource "google_project_iam_custom_role" "dataset_creator" {
  role_id     = "convergenceDatasetCreator"
  title       = "Convergence dataset creator"
  description = "Makes datasets, and owns those it has made"
  permissions = ["bigquery.datasets.create"]
}

resource "google_project_iam_member" "grant" {
  for_each = local.project_grants

  project = var.project
  role    = each.value.role
  member  = each.value.member

  dynamic "condition" {
    for_each = each.value.condition == null ? [] : [each.value.condition]

    content {
      title      = "convergence-only"
      expression = condition.value
    }
  }
}

# The platform's tables: both write records of runs, the API also organizations and keys.
resource "google_bigquery_dataset_iam_member" "organizations" {
  for_each = local.services

  dataset_id = google_bigquery_dataset.organizations.dataset_id
  role       = "roles/bigquery.dataEditor"
  member     = each.value.member
}

# The API seals and validates credentials, the worker opens them for a run.
resource "google_kms_crypto_key_iam_member" "credentials" {
  for_each = local.services

  crypto_key_id = google_kms_crypto_key.credentials.id
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = each.value.member
}

# Both check keys and hash with the root secret; production refuses to start without the root key.
resource "google_secret_manager_secret_iam_member" "secret" {
  for_each = {
    for pair in setproduct(keys(local.secrets), keys(local.services)) : join(" ", pair) => pair
  }

  secret_id = google_secret_manager_secret.secret[each.value[0]].id
  role      = "roles/secretmanager.secretAccessor"
  member    = local.services[each.value[1]].member
}

# Raw pages are written, read for a replay, and deleted after their retention.
resource "google_storage_bucket_iam_member" "archive" {
  for_each = local.services

  bucket = google_storage_bucket.archive.name
  role   = "roles/storage.objectUser"
  member = each.value.member
}

# Both announce runs; a worker announces what it hands back.
resource "google_cloud_tasks_queue_iam_member" "enqueuer" {
  for_each = local.services

  name     = google_cloud_tasks_queue.runs.name
  location = var.region
  role     = "roles/cloudtasks.enqueuer"
  member   = each.value.member
}

# Readiness asks whether the queue is there.
resource "google_cloud_tasks_queue_iam_member" "viewer" {
  for_each = local.services

  name     = google_cloud_tasks_queue.runs.name
  location = var.region
  role     = "roles/cloudtasks.viewer"
  member   = each.value.member
}

# A task that carries the caller's token may be made only by who may act as the caller.
resource "google_service_account_iam_member" "caller" {
  for_each = local.services

  service_account_id = google_service_account.caller.name
  role               = "roles/iam.serviceAccountUser"
  member             = each.value.member
}

# The dashboards' machine pulls its images.
resource "google_artifact_registry_repository_iam_member" "metabase" {
  count = var.metabase.enabled ? 1 : 0

  repository = google_artifact_registry_repository.docker_hub[0].name
  location   = var.region
  role       = "roles/artifactregistry.reader"
  member     = google_service_account.metabase[0].member
}

# Whoever reads the dashboards comes in through Identity-Aware Proxy.
resource "google_iap_tunnel_instance_iam_member" "metabase" {
  for_each = var.metabase.enabled ? toset(var.metabase.members) : []

  instance = google_compute_instance.metabase[0].name
  zone     = google_compute_instance.metabase[0].zone
  role     = "roles/iap.tunnelResourceAccessor"
  member   = each.value
}
