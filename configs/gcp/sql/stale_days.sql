-- Usage days whose costs were not built from the rows that are there now: a late row may belong to any day.
SELECT COALESCE(billing.usage_date, costs.usage_date) AS usage_date
FROM (
  SELECT usage_date, SUM(net_cost) AS amount, MAX(ingestion_timestamp) AS loaded_at
  FROM gcp_billing_daily_raw
  GROUP BY usage_date
) AS billing
FULL JOIN (
  SELECT usage_date, SUM(billed_cost) AS amount, MAX(rows_loaded_at) AS loaded_at
  FROM gcp_cost_daily
  GROUP BY usage_date
) AS costs ON costs.usage_date = billing.usage_date
WHERE costs.usage_date IS NULL
  OR billing.usage_date IS NULL
  OR costs.amount != billing.amount
  OR costs.loaded_at IS NULL
  OR costs.loaded_at < billing.loaded_at
ORDER BY usage_date
