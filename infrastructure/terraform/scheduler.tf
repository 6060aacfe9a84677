# Nothing runs between requests, so the clock comes from outside. Every job calls the worker, signed by the caller's
# account: no key of the product is in a job or in terraform's state. All of them may be repeated.
locals {
  jobs = {
    tick = {
      description = "Start what is due"
      kind        = "tick"
      schedule    = var.tick_schedule
      time_zone   = "Etc/UTC"
    }
    # A tick like the others, at the hour by which yesterday must have been asked for; it is tried for longer.
    daily = {
      description = "Yesterday's costs of every organization, before people come to work"
      kind        = "tick"
      schedule    = "0 6 * * *"
      time_zone   = "America/Los_Angeles"
    }
    sweep = {
      description = "Announce again what is overdue"
      kind        = "sweep"
      schedule    = "*/5 * * * *"
      time_zone   = "Etc/UTC"
    }
  }
}

resource "google_cloud_scheduler_job" "job" {
  for_each = local.jobs

  name             = "${local.name}-${each.key}"
  region           = var.region
  description      = each.value.description
  schedule         = each.value.schedule
  time_zone        = each.value.time_zone
  attempt_deadline = "300s"
  paused           = var.image == null

  retry_config {
    retry_count          = each.key == "daily" ? 5 : 1
    min_backoff_duration = "10s"
    max_backoff_duration = "300s"
    max_doublings        = 4
  }

  http_target {
    uri         = "${local.worker_url}/api/v1/tasks/${each.value.kind}"
    http_method = "POST"
    headers     = { "Content-Type" = "application/json" }
    body        = base64encode("{}")

    oidc_token {
      service_account_email = google_service_account.caller.email
      audience              = local.worker_url
    }
  }

  depends_on = [google_project_service.api]
}
