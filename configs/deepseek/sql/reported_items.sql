-- What is to be allocated: one amount per day, account, model and wallet.
SELECT usage_date, user_id AS account_id, model, wallet_type, currency, SUM(amount) AS amount
FROM deepseek_reported_cost_daily_raw
WHERE usage_date >= @start_date AND usage_date < @end_date
GROUP BY usage_date, user_id, model, wallet_type, currency
ORDER BY usage_date, user_id, model, wallet_type, currency
