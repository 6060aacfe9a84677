SELECT
  subscription.org_slug,
  subscription.plan,
  subscription.status AS subscription_status,
  subscription.member_limit,
  subscription.provider_limit,
  subscription.daily_run_limit,
  subscription.monthly_run_limit,
  subscription.concurrent_run_limit,
  CURRENT_DATE() AS usage_date,
  COUNTIF(IFNULL(run.quota_counted AND run.run_date = CURRENT_DATE(), FALSE)) AS runs_today,
  COUNTIF(IFNULL(run.quota_counted AND run.run_date >= DATE_TRUNC(CURRENT_DATE(), MONTH), FALSE)) AS runs_this_month,
  COUNTIF(IFNULL(run.status = 'RUNNING', FALSE)) AS runs_running
FROM org_subscriptions AS subscription
LEFT JOIN org_meta_pipeline_runs AS run ON run.org_slug = subscription.org_slug
WHERE subscription.valid_to IS NULL
GROUP BY
  subscription.org_slug, subscription.plan, subscription.status, subscription.member_limit,
  subscription.provider_limit, subscription.daily_run_limit, subscription.monthly_run_limit,
  subscription.concurrent_run_limit
