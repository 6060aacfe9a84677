-- Rows of a few load partitions that belong to billing accounts which an export does not hold.
SELECT * EXCEPT (ingestion_date, ingestion_timestamp, pipeline_logging_id)
FROM gcp_billing_daily_raw
WHERE partition_date >= @start_date AND partition_date < @end_date
  AND COALESCE(billing_account_id, '') NOT IN UNNEST(@accounts)
