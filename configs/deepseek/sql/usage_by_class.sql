-- Usage in disjoint classes, one row per key, model, class and price. The export's input counts exclude each other.
SELECT
  used.usage_date,
  used.user_id AS account_id,
  NULLIF(TRIM(CONCAT(COALESCE(used.api_key_name, ''), ' ', COALESCE(used.api_key, ''))), '') AS api_key_id,
  used.api_key_name,
  used.model,
  CASE used.type
    WHEN 'input_cache_miss_tokens' THEN 'input'
    WHEN 'input_cache_hit_tokens' THEN 'cached_input'
    WHEN 'output_tokens' THEN 'output'
    WHEN 'request_count' THEN 'request'
    ELSE used.type
  END AS token_class,
  IF(ENDS_WITH(used.type, '_tokens'), 'Tokens', 'Requests') AS unit,
  used.price_per_million AS charged_unit_price,
  COALESCE(MIN(days.currency), MIN(accounts.currency), 'XXX') AS account_currency,
  CAST(SUM(used.amount) AS NUMERIC) AS quantity
FROM deepseek_usage_daily_raw AS used
LEFT JOIN (
  SELECT usage_date, user_id, MIN(currency) AS currency
  FROM deepseek_reported_cost_daily_raw
  GROUP BY usage_date, user_id
) AS days ON days.usage_date = used.usage_date AND days.user_id = used.user_id
LEFT JOIN (
  SELECT user_id, MIN(currency) AS currency
  FROM deepseek_reported_cost_daily_raw
  GROUP BY user_id
) AS accounts ON accounts.user_id = used.user_id
WHERE used.usage_date >= @start_date AND used.usage_date < @end_date
  AND used.amount > 0
  AND (used.type != 'request_count' OR used.price_per_million IS NOT NULL)
GROUP BY
  used.usage_date, used.user_id, used.api_key_name, used.api_key, used.model, used.type, used.price_per_million
ORDER BY
  used.usage_date, used.user_id, used.api_key_name, used.api_key, used.model, used.type, used.price_per_million
