-- What is to be allocated: one amount per day, workspace and line, in one currency, with the class of usage it bills.
SELECT
  usage_date,
  COALESCE(workspace_id, 'default') AS workspace_id,
  description, cost_type, model, service_tier, context_window, inference_geo,
  CASE
    WHEN token_type = 'uncached_input_tokens' THEN 'input'
    WHEN token_type = 'cache_read_input_tokens' THEN 'cached_input'
    WHEN token_type = 'cache_creation.ephemeral_5m_input_tokens' THEN 'cache_write_5m'
    WHEN token_type = 'cache_creation.ephemeral_1h_input_tokens' THEN 'cache_write_1h'
    WHEN token_type = 'output_tokens' THEN 'output'
    WHEN cost_type = 'web_search' THEN 'web_search'
  END AS token_class,
  currency,
  SUM(amount) AS amount
FROM anthropic_reported_cost_daily_raw
WHERE usage_date >= @start_date AND usage_date < @end_date
GROUP BY
  usage_date, workspace_id, description, cost_type, model, service_tier, context_window, inference_geo, token_type,
  currency
ORDER BY
  usage_date, workspace_id, description, cost_type, model, service_tier, context_window, inference_geo, token_type,
  currency
