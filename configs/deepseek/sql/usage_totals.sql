-- What the classes of a day must add up to, straight from the rows of the export. Requests that have no price are not
-- charged and are in no class.
SELECT
  usage_date,
  CAST(SUM(IF(ENDS_WITH(type, '_tokens'), amount, 0)) AS NUMERIC) AS Tokens,
  CAST(SUM(
    CASE
      WHEN ENDS_WITH(type, '_tokens') THEN 0
      WHEN type = 'request_count' AND price_per_million IS NULL THEN 0
      ELSE amount
    END
  ) AS NUMERIC) AS Requests
FROM deepseek_usage_daily_raw
WHERE usage_date >= @start_date AND usage_date < @end_date
GROUP BY usage_date
ORDER BY usage_date
