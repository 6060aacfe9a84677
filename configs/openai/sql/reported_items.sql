-- What is to be allocated: one amount per day, project, key and line item, in one currency.
SELECT
  usage_date, project_id, api_key_id, line_item, currency,
  REGEXP_CONTAINS(group_by, r'api_key_id') AS is_by_key,
  SUM(amount) AS amount
FROM openai_reported_cost_daily_raw
WHERE usage_date >= @start_date AND usage_date < @end_date
GROUP BY usage_date, project_id, api_key_id, line_item, currency, is_by_key
ORDER BY usage_date, project_id, api_key_id, line_item, currency, is_by_key
