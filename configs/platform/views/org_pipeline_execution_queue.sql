SELECT
  org_slug, pipeline_logging_id, pipeline_id, status, trigger_type, accepted_at, start_time, start_date, end_date,
  attempt, backfill_id, worker_instance
FROM org_meta_pipeline_runs
WHERE status IN ('PENDING', 'RUNNING')
