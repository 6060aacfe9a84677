-- What the billed cost of a day must add up to: what chargeable events were charged.
SELECT usage_date, currency, SUM(IF(is_chargeable, COALESCE(charged_amount, 0), 0)) AS amount
FROM cursor_usage_events_raw
WHERE usage_date >= @start_date AND usage_date < @end_date
GROUP BY usage_date, currency
ORDER BY usage_date, currency
