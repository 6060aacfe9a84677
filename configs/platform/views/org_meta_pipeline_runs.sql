SELECT
  org_slug, pipeline_logging_id, pipeline_id, status, trigger_type, trigger_by, accepted_at, start_time, end_time,
  duration_ms, start_date, end_date, parameters, run_metadata, config_version, worker_instance, error_code,
  error_message, attempt, backfill_id, quota_counted, run_date, record_version, recorded_at
FROM org_meta_pipeline_runs_log
WHERE TRUE
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY org_slug, pipeline_logging_id ORDER BY record_version DESC, recorded_at DESC
) = 1
