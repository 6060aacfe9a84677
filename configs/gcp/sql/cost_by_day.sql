-- Net cost per usage day and all that tells it apart. Credits are summed inside their own row: joining them to it would
-- repeat the cost of a row with two and lose a row with none.
SELECT
  usage_date, invoice_month, billing_account_id, project_id, project_name, service_id, service, sku_id, sku,
  location, country, region, zone, resource, resource_global_name, labels, project_labels, tags,
  transaction_type, seller_name, cost_type, adjustment_type, adjustment_mode,
  CAST(NULL AS STRING) AS token_class,
  SUM(COALESCE(usage_amount, 0)) AS quantity,
  unit,
  SUM(amount_in_pricing_units) AS pricing_quantity,
  pricing_unit,
  list_unit_price,
  IF(COUNT(*) = COUNT(cost_at_list), SUM(cost_at_list), NULL) AS list_cost,
  SUM(cost) AS gross_cost,
  SUM(net_cost) - SUM(cost) AS credits_cost,
  SUM(promotions) AS promotion_cost,
  SUM(reseller_margins) AS reseller_margin_cost,
  SUM(net_cost) AS billed_cost,
  currency,
  currency_conversion_rate,
  'provider' AS cost_source,
  CAST(NULL AS STRING) AS price_version,
  MAX(ingestion_timestamp) AS rows_loaded_at
FROM (
  SELECT
    r.usage_date,
    r.invoice.month AS invoice_month,
    r.billing_account_id,
    r.project.id AS project_id,
    r.project.name AS project_name,
    r.service.id AS service_id,
    r.service.description AS service,
    r.sku.id AS sku_id,
    r.sku.description AS sku,
    r.location.location AS location,
    r.location.country AS country,
    r.location.region AS region,
    r.location.zone AS zone,
    r.resource.name AS resource,
    r.resource.global_name AS resource_global_name,
    TO_JSON_STRING(r.labels) AS labels,
    TO_JSON_STRING(r.project.labels) AS project_labels,
    TO_JSON_STRING(r.tags) AS tags,
    r.transaction_type,
    r.seller_name,
    r.cost_type,
    r.adjustment_info.type AS adjustment_type,
    r.adjustment_info.mode AS adjustment_mode,
    r.usage.amount AS usage_amount,
    r.usage.unit AS unit,
    r.usage.amount_in_pricing_units AS amount_in_pricing_units,
    r.usage.pricing_unit AS pricing_unit,
    r.price.list_price AS list_unit_price,
    r.cost_at_list,
    r.cost,
    r.net_cost,
    COALESCE((SELECT SUM(c.amount) FROM UNNEST(r.credits) AS c WHERE c.type IN ('PROMOTION', 'FREE_TIER')), 0)
      AS promotions,
    COALESCE((SELECT SUM(c.amount) FROM UNNEST(r.credits) AS c WHERE c.type = 'RESELLER_MARGIN'), 0)
      AS reseller_margins,
    r.currency,
    r.ingestion_timestamp,
    COALESCE(r.currency_conversion_rate, IF(r.currency = 'USD', 1, NULL)) AS currency_conversion_rate
  FROM gcp_billing_daily_raw AS r
  WHERE r.usage_date >= @start_date AND r.usage_date < @end_date
) AS billing
GROUP BY
  usage_date, invoice_month, billing_account_id, project_id, project_name, service_id, service, sku_id, sku,
  location, country, region, zone, resource, resource_global_name, labels, project_labels, tags,
  transaction_type, seller_name, cost_type, adjustment_type, adjustment_mode,
  unit, pricing_unit, list_unit_price, currency, currency_conversion_rate
