# When work starts, and who is told when it does not.

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
  alert_emails = ["finops@example.com", "oncall@example.com"]
}

run "work" {
  command = plan

  assert {
    condition     = google_cloud_scheduler_job.job["daily"].schedule == "0 6 * * *" && google_cloud_scheduler_job.job["daily"].time_zone == "America/Los_Angeles"
    error_message = "The day's run is not at six in Los Angeles."
  }

  assert {
    condition = { for name, job in google_cloud_scheduler_job.job : name => one(job.http_target).uri } == {
      tick  = "https://convergence-worker-123456789012.us-central1.run.app/api/v1/tasks/tick"
      daily = "https://convergence-worker-123456789012.us-central1.run.app/api/v1/tasks/tick"
      sweep = "https://convergence-worker-123456789012.us-central1.run.app/api/v1/tasks/sweep"
    }
    error_message = "A job calls another address."
  }

  assert {
    condition     = alltrue([for job in values(google_cloud_scheduler_job.job) : one(one(job.http_target).oidc_token).audience == local.settings["CLOUD_TASKS_AUDIENCE"]])
    error_message = "A job's token is not for the worker."
  }

  assert {
    condition     = alltrue([for job in values(google_cloud_scheduler_job.job) : keys(one(job.http_target).headers) == tolist(["Content-Type"])])
    error_message = "A job carries a key of the product."
  }

  assert {
    condition     = one(google_cloud_tasks_queue.runs.rate_limits).max_concurrent_dispatches == var.worker_instances.max * var.worker_concurrency
    error_message = "The queue sends more than the workers take, or less."
  }

  assert {
    condition     = one(google_cloud_tasks_queue.runs.retry_config).max_attempts > 1 && one(google_cloud_tasks_queue.runs.retry_config).max_backoff == "600s"
    error_message = "A delivery that failed is not repeated as it should be."
  }

  assert {
    condition     = toset([for channel in values(google_monitoring_notification_channel.email) : channel.labels.email_address]) == toset(["finops@example.com", "oncall@example.com"])
    error_message = "Somebody is not told."
  }

  assert {
    condition     = one(one(google_monitoring_alert_policy.error_rate.conditions).condition_threshold).threshold_value == 0.05
    error_message = "The error rate is not 5 %."
  }

  assert {
    condition     = one(one(google_monitoring_alert_policy.staleness.conditions).condition_threshold).evaluation_missing_data == "EVALUATION_MISSING_DATA_ACTIVE"
    error_message = "Silence is taken for health."
  }

  assert {
    condition     = one(one(google_monitoring_alert_policy.query_cost.conditions).condition_threshold).threshold_value == 1024 * 1024 * 1024 * 1024
    error_message = "The alert on queries has another limit."
  }

  assert {
    condition     = strcontains(google_logging_metric.runs["failed"].filter, "jsonPayload.message=\"run ended\"") && strcontains(google_logging_metric.runs["failed"].filter, "jsonPayload.status=\"FAILED\"")
    error_message = "Failed runs are not counted."
  }
}

run "an_alert_needs_a_reader" {
  command = plan

  variables {
    alert_emails = []
  }

  expect_failures = [var.alert_emails]
}
