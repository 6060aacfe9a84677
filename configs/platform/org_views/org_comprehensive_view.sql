SELECT
  profile.org_slug,
  profile.company_name,
  profile.admin_email,
  profile.status,
  profile.dataset_id,
  profile.created_at,
  quota.plan,
  quota.subscription_status,
  quota.member_limit,
  quota.provider_limit,
  quota.daily_run_limit,
  quota.monthly_run_limit,
  quota.concurrent_run_limit,
  quota.runs_today,
  quota.runs_this_month,
  quota.runs_running,
  run.pipeline_logging_id AS last_pipeline_logging_id,
  run.pipeline_id AS last_pipeline_id,
  run.status AS last_run_status,
  run.accepted_at AS last_run_accepted_at,
  run.end_time AS last_run_end_time,
  run.error_message AS last_run_error_message
FROM org_profiles AS profile
LEFT JOIN org_usage_quotas AS quota ON quota.org_slug = profile.org_slug
LEFT JOIN (
  SELECT org_slug, pipeline_logging_id, pipeline_id, status, accepted_at, end_time, error_message
  FROM org_meta_pipeline_runs
  WHERE org_slug = @org_slug
  QUALIFY ROW_NUMBER() OVER (ORDER BY accepted_at DESC, pipeline_logging_id DESC) <= 100
) AS run ON run.org_slug = profile.org_slug
WHERE profile.org_slug = @org_slug
