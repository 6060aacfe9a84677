-- What the classes of a day must add up to, straight from the columns of the provider.
SELECT
  usage_date,
  CAST(SUM(COALESCE(input_tokens, 0) + COALESCE(output_tokens, 0)) AS NUMERIC) AS Tokens,
  CAST(SUM(COALESCE(images, 0)) AS NUMERIC) AS Images,
  CAST(SUM(COALESCE(characters, 0)) AS NUMERIC) AS Characters,
  CAST(SUM(COALESCE(seconds, 0)) AS NUMERIC) AS Seconds,
  CAST(SUM(COALESCE(usage_bytes, 0)) AS NUMERIC) AS ByteDays,
  CAST(SUM(COALESCE(num_sessions, 0)) AS NUMERIC) AS Sessions,
  CAST(SUM(IF(endpoint IN ('file_search_calls', 'web_search_calls'), COALESCE(num_requests, 0), 0)) AS NUMERIC) AS Requests
FROM openai_usage_daily_raw
WHERE usage_date >= @start_date AND usage_date < @end_date
GROUP BY usage_date
ORDER BY usage_date
