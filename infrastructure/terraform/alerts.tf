resource "google_monitoring_notification_channel" "email" {
  for_each = toset(var.alert_emails)

  display_name = "Convergence: ${each.value}"
  type         = "email"
  labels       = { email_address = each.value }
}

locals {
  channels = [for channel in google_monitoring_notification_channel.email : channel.id]

  # The one line that a run ends with, whatever its end.
  run_ended = join(" ", [
    "resource.type=\"cloud_run_revision\"",
    "resource.labels.service_name=(\"${local.api_name}\" OR \"${local.worker_name}\")",
    "jsonPayload.message=\"run ended\"",
  ])

  run_metrics = {
    failed    = "FAILED"
    completed = "COMPLETED"
  }
}

resource "google_logging_metric" "runs" {
  for_each = local.run_metrics

  name        = "${local.name}/runs_${each.key}"
  description = "Runs that ended ${each.value}"
  filter      = "${local.run_ended} jsonPayload.status=\"${each.value}\""

  label_extractors = {
    pipeline = "EXTRACT(jsonPayload.pipeline_id)"
    org      = "EXTRACT(jsonPayload.org_slug)"
  }

  metric_descriptor {
    metric_kind  = "DELTA"
    value_type   = "INT64"
    unit         = "1"
    display_name = "Convergence: runs ${each.key}"

    labels {
      key        = "pipeline"
      value_type = "STRING"
    }

    labels {
      key        = "org"
      value_type = "STRING"
    }
  }

  depends_on = [google_project_service.api]
}

resource "google_monitoring_alert_policy" "failed_runs" {
  display_name          = "Convergence ${var.environment}: runs failed"
  combiner              = "OR"
  severity              = "ERROR"
  notification_channels = local.channels

  conditions {
    display_name = "A run ended FAILED"

    condition_threshold {
      filter          = "metric.type=\"logging.googleapis.com/user/${google_logging_metric.runs["failed"].name}\" resource.type=\"cloud_run_revision\""
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "0s"

      aggregations {
        alignment_period     = "600s"
        per_series_aligner   = "ALIGN_DELTA"
        cross_series_reducer = "REDUCE_SUM"
        group_by_fields      = ["metric.label.pipeline", "metric.label.org"]
      }
    }
  }

  alert_strategy {
    auto_close = "86400s"
  }

  documentation {
    content = "A run has used up its attempts; the day's old rows are still there. `convergence runs list --status FAILED` names the reason of each."
  }
}

resource "google_monitoring_alert_policy" "staleness" {
  display_name          = "Convergence ${var.environment}: costs are stale"
  combiner              = "OR"
  severity              = "CRITICAL"
  notification_channels = local.channels

  conditions {
    display_name = "No run has completed for a day"

    condition_threshold {
      filter          = "metric.type=\"logging.googleapis.com/user/${google_logging_metric.runs["completed"].name}\" resource.type=\"cloud_run_revision\""
      comparison      = "COMPARISON_LT"
      threshold_value = 1
      # Together with the day that is looked at 25 hours, the longest that Cloud Monitoring takes.
      duration = "3600s"
      # No log line is no series at all: that is the very case.
      evaluation_missing_data = "EVALUATION_MISSING_DATA_ACTIVE"

      aggregations {
        alignment_period     = "86400s"
        per_series_aligner   = "ALIGN_DELTA"
        cross_series_reducer = "REDUCE_SUM"
      }
    }
  }

  documentation {
    content = "Nothing has been loaded for a day. Look at the last executions of Cloud Scheduler's jobs, at the queue `${google_cloud_tasks_queue.runs.name}`, then at `convergence gaps`."
  }
}

resource "google_monitoring_alert_policy" "error_rate" {
  display_name          = "Convergence ${var.environment}: requests fail"
  combiner              = "OR"
  severity              = "ERROR"
  notification_channels = local.channels

  conditions {
    display_name = "More than 5 % of the API's answers are 5xx"

    condition_threshold {
      filter             = "metric.type=\"run.googleapis.com/request_count\" resource.type=\"cloud_run_revision\" resource.label.service_name=\"${local.api_name}\" metric.label.response_code_class=\"5xx\""
      denominator_filter = "metric.type=\"run.googleapis.com/request_count\" resource.type=\"cloud_run_revision\" resource.label.service_name=\"${local.api_name}\""
      comparison         = "COMPARISON_GT"
      threshold_value    = 0.05
      duration           = "300s"

      aggregations {
        alignment_period     = "300s"
        per_series_aligner   = "ALIGN_RATE"
        cross_series_reducer = "REDUCE_SUM"
      }

      denominator_aggregations {
        alignment_period     = "300s"
        per_series_aligner   = "ALIGN_RATE"
        cross_series_reducer = "REDUCE_SUM"
      }
    }
  }

  documentation {
    content = "`/health/ready` names the part that is down."
  }
}

resource "google_monitoring_alert_policy" "query_cost" {
  display_name          = "Convergence ${var.environment}: queries cost too much"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = local.channels

  conditions {
    display_name = "More than ${var.daily_query_gib} GiB billed in a day"

    condition_threshold {
      filter          = "metric.type=\"bigquery.googleapis.com/query/scanned_bytes_billed\" resource.type=\"global\""
      comparison      = "COMPARISON_GT"
      threshold_value = var.daily_query_gib * local.gib
      duration        = "0s"

      aggregations {
        alignment_period     = "86400s"
        per_series_aligner   = "ALIGN_SUM"
        cross_series_reducer = "REDUCE_SUM"
      }
    }
  }

  documentation {
    content = "Jobs are labelled with organization and run: group INFORMATION_SCHEMA.JOBS by `labels` to see whose they are."
  }
}
