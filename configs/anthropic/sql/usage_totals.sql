-- What the classes of a day must add up to, straight from the columns of the provider.
SELECT
  usage_date,
  CAST(SUM(
    COALESCE(uncached_input_tokens, 0) + COALESCE(cache_read_input_tokens, 0)
    + COALESCE(cache_creation_5m_input_tokens, 0) + COALESCE(cache_creation_1h_input_tokens, 0)
    + COALESCE(output_tokens, 0)
  ) AS NUMERIC) AS Tokens,
  CAST(SUM(COALESCE(web_search_requests, 0)) AS NUMERIC) AS Requests
FROM anthropic_usage_daily_raw
WHERE usage_date >= @start_date AND usage_date < @end_date
GROUP BY usage_date
ORDER BY usage_date
