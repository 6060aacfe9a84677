# Announces runs to the worker. A message is a hint: losing or doubling one is harmless, the sweep announces again what
# is overdue.
resource "google_cloud_tasks_queue" "runs" {
  name     = "${local.name}-runs"
  location = var.region

  rate_limits {
    max_dispatches_per_second = 20
    max_concurrent_dispatches = var.worker_instances.max * var.worker_concurrency
  }

  retry_config {
    max_attempts       = 20
    max_retry_duration = "21600s" # six hours; after that the sweep's turn
    min_backoff        = "5s"
    max_backoff        = "600s"
    max_doublings      = 7
  }

  stackdriver_logging_config {
    sampling_ratio = 1
  }

  depends_on = [google_project_service.api]
}
