# What runs, who reaches it, what it is told.

mock_provider "google" {
  mock_data "google_project" {
    defaults = { number = "123456789012" }
  }
}

mock_provider "google-beta" {}

variables {
  project      = "acme-costs-prod"
  environment  = "prod"
  image        = "us-central1-docker.pkg.dev/acme-costs-prod/convergence/convergence@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  alert_emails = ["finops@example.com"]
}

run "services" {
  command = plan

  assert {
    condition     = google_cloud_run_v2_service.service["worker"].ingress == "INGRESS_TRAFFIC_INTERNAL_ONLY"
    error_message = "The worker is reachable from outside."
  }

  assert {
    condition     = google_cloud_run_v2_service.service["api"].ingress == "INGRESS_TRAFFIC_ALL" && length(google_compute_security_policy.edge) == 0
    error_message = "Without a domain the API is reached under Cloud Run's own name."
  }

  assert {
    condition     = alltrue([for service in values(google_cloud_run_v2_service.service) : service.deletion_protection])
    error_message = "A production service can be deleted by an apply."
  }

  assert {
    condition     = google_service_account.api.account_id != google_service_account.worker.account_id
    error_message = "Both services run as one account."
  }

  assert {
    condition = { for name, service in google_cloud_run_v2_service.service : name => one(one(service.template).containers).args } == {
      api    = tolist(["serve", "--no-worker", "--no-scheduler"])
      worker = tolist(["worker"])
    }
    error_message = "A service is started with another command."
  }

  assert {
    condition     = one(google_cloud_run_v2_service.service["worker"].template).timeout == "3600s"
    error_message = "Runs are cut off."
  }

  assert {
    condition     = alltrue([for service in values(google_cloud_run_v2_service.service) : one(one(one(service.template).containers).resources).cpu_idle == false])
    error_message = "Heartbeats stop between requests."
  }

  assert {
    condition = {
      for name in ["ENVIRONMENT", "WAREHOUSE", "LOCK_BACKEND", "QUEUE_BACKEND", "KMS_BACKEND", "SECRETS_BACKEND", "CLOUD_TASKS_QUEUE", "CLOUD_TASKS_TARGET_URL"] :
      name => local.settings[name]
      } == {
      ENVIRONMENT            = "production"
      WAREHOUSE              = "bigquery"
      LOCK_BACKEND           = "firestore"
      QUEUE_BACKEND          = "cloud_tasks"
      KMS_BACKEND            = "gcp"
      SECRETS_BACKEND        = "gcp"
      CLOUD_TASKS_QUEUE      = "projects/acme-costs-prod/locations/us-central1/queues/convergence-runs"
      CLOUD_TASKS_TARGET_URL = "https://convergence-worker-123456789012.us-central1.run.app"
    }
    error_message = "The services are told to use other backends."
  }

  assert {
    condition     = length(setintersection(keys(local.settings), ["CA_ROOT_API_KEY", "ADMIN_API_KEY", "CONVERGENCE_ROOT_SECRET", "REDIS_URL", "DISABLE_AUTH", "RATE_LIMIT_ENABLED"])) == 0
    error_message = "A secret is set as plain text, or a guard of production is touched."
  }

  assert {
    condition     = contains(one(one(one(google_cloud_run_v2_service.service["worker"].template).volumes).gcs).mount_options, "uid=10001")
    error_message = "The image's user cannot write raw pages."
  }

  assert {
    condition     = one(one(google_storage_bucket.archive.lifecycle_rule).condition).age == 35 && google_storage_bucket.archive.public_access_prevention == "enforced"
    error_message = "Raw pages are kept too long, too short, or in public."
  }
}

run "domain_closes_the_side_door" {
  command = plan

  variables {
    domain = "costs.example.com"
  }

  assert {
    condition     = google_cloud_run_v2_service.service["api"].ingress == "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"
    error_message = "The API is reachable past the load balancer and Cloud Armor."
  }

  assert {
    condition     = google_compute_global_forwarding_rule.edge["api"].port_range == "443" && google_compute_ssl_policy.edge["api"].min_tls_version == "TLS_1_2"
    error_message = "The API is reachable unencrypted."
  }

  assert {
    condition     = output.api_url == "https://costs.example.com"
    error_message = "The API's address is not the domain."
  }
}

run "foundation_before_the_image" {
  command = plan

  variables {
    image = null
  }

  assert {
    condition     = length(google_cloud_run_v2_service.service) == 0 && alltrue([for job in values(google_cloud_scheduler_job.job) : job.paused])
    error_message = "Without an image something is started."
  }

  assert {
    condition     = length(google_secret_manager_secret.secret) == 2 && google_artifact_registry_repository.images.format == "DOCKER"
    error_message = "Without an image the place for it and for secrets is missing."
  }
}

run "mistaken_variables_are_refused" {
  command = plan

  variables {
    environment  = "production"
    image        = "us-central1-docker.pkg.dev/acme-costs-prod/convergence/convergence:latest"
    cors_origins = ["https://*.example.com"]
  }

  expect_failures = [var.environment, var.image, var.cors_origins]
}
