locals {
  # Both services are one image with the same settings. The root key and the root secret are none of them: each service
  # reads them from Secret Manager when it starts, so that a version that was added is taken with the next revision.
  settings = {
    ENVIRONMENT                     = local.environment
    APP_NAME                        = local.name
    LOG_LEVEL                       = "INFO"
    API_HOST                        = "0.0.0.0"
    GCP_PROJECT_ID                  = var.project
    WAREHOUSE                       = "bigquery"
    BIGQUERY_LOCATION               = google_bigquery_dataset.organizations.location
    BQ_MAX_BYTES_BILLED             = tostring(var.max_query_gib * local.gib)
    DATA_DIR                        = local.data_dir
    LOCK_BACKEND                    = "firestore"
    FIRESTORE_LOCK_COLLECTION       = local.lock_collection
    QUEUE_BACKEND                   = "cloud_tasks"
    CLOUD_TASKS_QUEUE               = "projects/${var.project}/locations/${var.region}/queues/${google_cloud_tasks_queue.runs.name}"
    CLOUD_TASKS_TARGET_URL          = local.worker_url
    CLOUD_TASKS_AUDIENCE            = local.worker_url
    CLOUD_TASKS_SERVICE_ACCOUNT     = google_service_account.caller.email
    KMS_BACKEND                     = "gcp"
    KMS_KEY_NAME                    = google_kms_crypto_key.credentials.id
    SECRETS_BACKEND                 = "gcp"
    CORS_ORIGINS                    = jsonencode(var.cors_origins)
    RATE_LIMIT_PIPELINE_CONCURRENCY = tostring(var.worker_concurrency)
  }

  data_dir = "/data"

  # Both have Cloud Run's own check of the caller switched off. The API is called by whoever has one of its keys, and
  # asks for it on every route but health. The worker verifies signature, audience and account of each token itself,
  # for which the signature must be there: Cloud Run takes it off the tokens that it has checked.
  parts = {
    api = {
      args        = ["serve", "--no-worker", "--no-scheduler"]
      ingress     = var.domain == null ? "INGRESS_TRAFFIC_ALL" : "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"
      timeout     = "300s"
      concurrency = 40
      instances   = var.api_instances
      limits      = { cpu = "1", memory = "1Gi" }
    }
    worker = {
      args = ["worker"]
      # Cloud Tasks and Cloud Scheduler of this project count as inside; nobody else reaches it.
      ingress     = "INGRESS_TRAFFIC_INTERNAL_ONLY"
      timeout     = "3600s"
      concurrency = var.worker_concurrency + 2 # ticks and sweeps come between the runs
      instances   = var.worker_instances
      limits      = { cpu = "2", memory = "4Gi" }
    }
  }
}

resource "google_cloud_run_v2_service" "service" {
  for_each = { for name, part in local.parts : name => part if var.image != null }
  provider = google-beta

  name                 = "${local.name}-${each.key}"
  location             = var.region
  ingress              = each.value.ingress
  invoker_iam_disabled = true
  deletion_protection  = local.is_prod

  template {
    service_account                  = local.services[each.key].email
    execution_environment            = "EXECUTION_ENVIRONMENT_GEN2"
    timeout                          = each.value.timeout
    max_instance_request_concurrency = each.value.concurrency

    scaling {
      min_instance_count = each.value.instances.min
      max_instance_count = each.value.instances.max
    }

    containers {
      name  = each.key
      image = var.image
      args  = each.value.args

      ports {
        container_port = 8080
      }

      resources {
        limits            = each.value.limits
        startup_cpu_boost = true
        # Heartbeats and records of runs are written beside and after a request; a throttled CPU would hold them back.
        cpu_idle = false
      }

      dynamic "env" {
        for_each = local.settings

        content {
          name  = env.key
          value = env.value
        }
      }

      volume_mounts {
        name       = "archive"
        mount_path = local.data_dir
      }

      startup_probe {
        period_seconds    = 5
        timeout_seconds   = 4
        failure_threshold = 24
        http_get {
          path = "/health/live"
        }
      }

      liveness_probe {
        period_seconds    = 30
        timeout_seconds   = 5
        failure_threshold = 3
        http_get {
          path = "/health/live"
        }
      }
    }

    volumes {
      name = "archive"
      gcs {
        bucket    = google_storage_bucket.archive.name
        read_only = false
        # A bucket is mounted as root's; the image runs as this user.
        mount_options = ["uid=10001", "gid=10001", "file-mode=600", "dir-mode=700", "implicit-dirs"]
      }
    }
  }

  # A revision that starts before its grants are there fails its start, and the whole apply with it.
  depends_on = [
    google_bigquery_dataset_iam_member.organizations,
    google_cloud_tasks_queue_iam_member.enqueuer,
    google_cloud_tasks_queue_iam_member.viewer,
    google_firestore_field.expiry,
    google_kms_crypto_key_iam_member.credentials,
    google_project_iam_member.grant,
    google_secret_manager_secret_iam_member.secret,
    google_service_account_iam_member.caller,
    google_storage_bucket_iam_member.archive,
  ]
}
