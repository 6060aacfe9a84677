-- What the billed cost of a day must add up to.
SELECT usage_date, currency, SUM(amount) AS amount
FROM deepseek_reported_cost_daily_raw
WHERE usage_date >= @start_date AND usage_date < @end_date
GROUP BY usage_date, currency
ORDER BY usage_date, currency
