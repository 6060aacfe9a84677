-- How many rows of each load partition are there, by where they came from.
SELECT partition_date, export_table, COUNT(*) AS row_count
FROM gcp_billing_daily_raw
WHERE partition_date >= @start_date AND partition_date < @end_date
GROUP BY partition_date, export_table
