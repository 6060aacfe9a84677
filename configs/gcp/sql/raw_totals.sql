-- What the billed cost of a day must add up to, straight from the rows of the export.
SELECT usage_date, currency, SUM(net_cost) AS amount
FROM gcp_billing_daily_raw
WHERE usage_date >= @start_date AND usage_date < @end_date
GROUP BY usage_date, currency
ORDER BY usage_date, currency
