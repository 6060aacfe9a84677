-- What the quantities of a day must add up to.
SELECT usage_date, usage.unit AS unit, SUM(COALESCE(usage.amount, 0)) AS amount
FROM gcp_billing_daily_raw
WHERE usage_date >= @start_date AND usage_date < @end_date
GROUP BY usage_date, usage.unit
ORDER BY usage_date, usage.unit
