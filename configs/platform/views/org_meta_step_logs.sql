SELECT
  org_slug, pipeline_logging_id, step_id, step_index, ps_type, status, start_time, end_time, duration_ms,
  rows_processed, error_code, error_message, metadata, attempt, run_date, record_version, recorded_at
FROM org_meta_step_logs_log
WHERE TRUE
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY org_slug, pipeline_logging_id, step_id ORDER BY record_version DESC, recorded_at DESC
) = 1
