-- What Google Cloud charges: each row of gcp_cost_daily, and its promotions, free tier and reseller margin as a credit of
-- its own. Other credits (commitments, sustained use, negotiated discounts) lower the price and stay with the usage.
SELECT
  g.usage_date,
  'gcp' AS provider,
  COALESCE(g.seller_name, 'Google Cloud') AS service_provider,
  'Google Cloud' AS host_provider,
  IF(g.transaction_type = 'THIRD_PARTY_RESELLER', COALESCE(g.seller_name, 'Google Cloud'), 'Google Cloud') AS issuer,
  COALESCE(g.service, 'Google Cloud') AS service_name,
  g.service_category,
  CASE g.service_category
    WHEN 'AI and Machine Learning' THEN 'AI Platforms'
    WHEN 'Analytics' THEN 'Data Processing'
    WHEN 'Compute' THEN IF(REGEXP_CONTAINS(g.service, r'^Compute'), 'Virtual Machines', 'Serverless Compute')
    WHEN 'Databases' THEN IF(g.service = 'BigQuery', 'Data Warehouses', 'Other (Databases)')
    WHEN 'Management and Governance' THEN IF(g.service = 'Support', 'Support', 'Observability')
    WHEN 'Networking' THEN 'Network Infrastructure'
    WHEN 'Security' THEN 'Other (Security)'
    WHEN 'Storage' THEN IF(g.service = 'Cloud Storage', 'Object Storage', 'Other (Storage)')
    ELSE 'Other (Other)'
  END AS service_subcategory,
  g.billing_account_id AS account,
  'Billing Account' AS account_type,
  g.project_id AS project,
  'Project' AS project_type,
  g.project_name,
  CAST(NULL AS STRING) AS api_key,
  CAST(NULL AS STRING) AS `user`,
  TIMESTAMP(g.month, 'America/Los_Angeles') AS period_start,
  TIMESTAMP(DATE_ADD(g.month, INTERVAL 1 MONTH), 'America/Los_Angeles') AS period_end,
  IF(is_credit, 'Credit', g.category) AS category,
  IF(NOT is_credit AND g.category = 'Adjustment' AND g.month > DATE_TRUNC(g.usage_date, MONTH), 'Correction', NULL)
    AS charge_class,
  IF(is_credit OR g.category != 'Usage', 'One-Time', 'Usage-Based') AS frequency,
  CASE
    WHEN is_credit THEN CONCAT('Credits for ', COALESCE(g.sku, g.service, 'Google Cloud'))
    ELSE COALESCE(g.sku, g.service, g.cost_type)
  END AS description,
  COALESCE(g.sku, g.service) AS meter,
  g.sku_id AS sku,
  g.sku_id AS sku_price,
  CAST(NULL AS STRING) AS details,
  g.sku AS model,
  CAST(NULL AS STRING) AS token_class,
  CAST(NULL AS STRING) AS service_tier,
  CASE WHEN is_credit THEN NULL WHEN g.unit IS NULL THEN 1 ELSE g.quantity END AS quantity,
  COALESCE(g.unit, 'Charges') AS unit,
  CASE WHEN is_credit THEN NULL WHEN g.pricing_unit IS NULL THEN 1 ELSE g.pricing_quantity END AS pricing_quantity,
  IF(is_credit, NULL, COALESCE(g.pricing_unit, 'Charges')) AS pricing_unit,
  IF(is_credit OR g.category != 'Usage', NULL, g.list_unit_price) AS list_unit_price,
  IF(is_credit OR g.category != 'Usage', NULL, g.list_unit_price) AS contracted_unit_price,
  IF(is_credit, g.granted, COALESCE(g.list_cost, g.gross_cost)) AS list_cost,
  IF(is_credit, g.granted, COALESCE(g.list_cost, g.gross_cost)) AS contracted_cost,
  IF(is_credit, g.granted, g.billed_cost - g.granted) AS billed_cost,
  IF(is_credit, g.granted, g.billed_cost - g.granted) AS effective_cost,
  g.currency,
  IF(is_credit OR g.category != 'Usage', NULL, 'Standard') AS pricing_category,
  g.cost_source,
  g.price_version,
  NOT is_credit AND g.list_cost IS NULL AND g.quantity != 0 AS is_unpriced,
  COALESCE(g.region, g.location) AS region,
  g.zone,
  COALESCE(g.resource_global_name, g.resource) AS resource,
  g.resource AS resource_name,
  CAST(NULL AS STRING) AS resource_type,
  g.tags,
  g.pipeline_logging_id AS run_id
FROM (
  SELECT
    * EXCEPT (tags),
    COALESCE(PARSE_DATE('%Y%m', invoice_month), DATE_TRUNC(usage_date, MONTH)) AS month,
    promotion_cost + reseller_margin_cost AS granted,
    CASE cost_type WHEN 'tax' THEN 'Tax' WHEN 'regular' THEN 'Usage' ELSE 'Adjustment' END AS category,
    COALESCE(TO_JSON_STRING(labels), TO_JSON_STRING(project_labels)) AS tags,
    CASE
      WHEN REGEXP_CONTAINS(service, r'Vertex|Gemini|Claude|AI|Speech|Translation|Vision') THEN 'AI and Machine Learning'
      WHEN REGEXP_CONTAINS(service, r'^(Compute Engine|Kubernetes|Cloud Run|App Engine|Cloud Functions)') THEN 'Compute'
      WHEN REGEXP_CONTAINS(service, r'SQL|Spanner|Bigtable|Firestore|Memorystore|^BigQuery$') THEN 'Databases'
      WHEN REGEXP_CONTAINS(service, r'^BigQuery|Dataflow|Dataproc|Pub/Sub|Composer') THEN 'Analytics'
      WHEN REGEXP_CONTAINS(service, r'Storage|Filestore|Backup') THEN 'Storage'
      WHEN REGEXP_CONTAINS(service, r'Network|DNS|VPN|CDN|Load Balanc|Interconnect') THEN 'Networking'
      WHEN REGEXP_CONTAINS(service, r'Key Management|Secret|Security|Armor') THEN 'Security'
      WHEN REGEXP_CONTAINS(service, r'Logging|Monitoring|Trace|Support') THEN 'Management and Governance'
      ELSE 'Other'
    END AS service_category
  FROM gcp_cost_daily
  WHERE usage_date >= @start_date AND usage_date < @end_date
) AS g
CROSS JOIN UNNEST([FALSE, TRUE]) AS is_credit
WHERE NOT is_credit OR g.granted != 0
