-- What the classes of a day must add up to, straight from the columns of the provider.
SELECT
  usage_date,
  CAST(SUM(tokens) AS NUMERIC) AS Tokens,
  SUM(IF(tokens > 0, 0, COALESCE(requests_costs, 0))) AS Requests
FROM (
  SELECT
    usage_date, requests_costs,
    COALESCE(input_tokens, 0) + COALESCE(cache_read_tokens, 0) + COALESCE(cache_write_tokens, 0)
      + COALESCE(output_tokens, 0) AS tokens
  FROM cursor_usage_events_raw
  WHERE usage_date >= @start_date AND usage_date < @end_date
) AS events
GROUP BY usage_date
ORDER BY usage_date
