-- Usage in disjoint classes, one row per caller, model and class. Anthropic's input counts exclude each other already.
SELECT
  usage_date,
  COALESCE(workspace_id, 'default') AS workspace_id,
  api_key_id,
  IF(api_key_id IS NULL, 'workbench', 'api') AS traffic,
  model, service_tier, context_window, token_class,
  IF(token_class = 'web_search', 'Requests', 'Tokens') AS unit,
  CAST(SUM(quantity) AS NUMERIC) AS quantity
FROM (
  SELECT
    usage_date, workspace_id, api_key_id, model, service_tier, context_window, token_class,
    CASE token_class
      WHEN 'input' THEN uncached_input_tokens
      WHEN 'cached_input' THEN cache_read_input_tokens
      WHEN 'cache_write_5m' THEN cache_creation_5m_input_tokens
      WHEN 'cache_write_1h' THEN cache_creation_1h_input_tokens
      WHEN 'output' THEN output_tokens
      WHEN 'web_search' THEN web_search_requests
    END AS quantity
  FROM anthropic_usage_daily_raw
  CROSS JOIN UNNEST([
    'input', 'cached_input', 'cache_write_5m', 'cache_write_1h', 'output', 'web_search'
  ]) AS token_class
  WHERE usage_date >= @start_date AND usage_date < @end_date
) AS classes
WHERE quantity > 0
GROUP BY usage_date, workspace_id, api_key_id, model, service_tier, context_window, token_class
ORDER BY usage_date, workspace_id, api_key_id, model, service_tier, context_window, token_class
