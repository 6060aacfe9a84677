-- Usage in disjoint classes. Cursor's input tokens exclude what was read from or written to the cache. Events without
-- tokens are counted in request units; those with tokens in tokens alone.
SELECT
  usage_date, user_email, service_account_id, model, kind, is_chargeable, max_mode, counted_in, token_class,
  IF(token_class = 'request', 'Requests', 'Tokens') AS unit,
  SUM(quantity) AS quantity
FROM (
  SELECT
    usage_date,
    LOWER(user_email) AS user_email,
    service_account_id, model, kind, is_chargeable, max_mode, token_class,
    IF(has_tokens, 'tokens', 'requests') AS counted_in,
    CASE token_class
      WHEN 'input' THEN CAST(input_tokens AS NUMERIC)
      WHEN 'cached_input' THEN CAST(cache_read_tokens AS NUMERIC)
      WHEN 'cache_write' THEN CAST(cache_write_tokens AS NUMERIC)
      WHEN 'output' THEN CAST(output_tokens AS NUMERIC)
      WHEN 'request' THEN IF(has_tokens, NULL, requests_costs)
    END AS quantity
  FROM (
    SELECT
      *,
      COALESCE(input_tokens, 0) + COALESCE(cache_read_tokens, 0) + COALESCE(cache_write_tokens, 0)
        + COALESCE(output_tokens, 0) > 0 AS has_tokens
    FROM cursor_usage_events_raw
    WHERE usage_date >= @start_date AND usage_date < @end_date
  ) AS events
  CROSS JOIN UNNEST(['input', 'cached_input', 'cache_write', 'output', 'request']) AS token_class
) AS classes
WHERE quantity > 0
GROUP BY
  usage_date, user_email, service_account_id, model, kind, is_chargeable, max_mode, counted_in, token_class
ORDER BY
  usage_date, user_email, service_account_id, model, kind, is_chargeable, max_mode, counted_in, token_class
