-- Charges for models in the words of FOCUS: what is counted, what it is sold as, what its price depends on. A charge
-- without a quantity counts as one charge; a negative one is a credit.
SELECT
  m.usage_date, m.provider, m.service_provider, m.service_provider AS host_provider, m.service_provider AS issuer,
  m.service_name, m.service_category, m.service_subcategory,
  m.account, 'Organization' AS account_type, m.project, m.project_type, CAST(NULL AS STRING) AS project_name,
  m.api_key, m.`user`,
  CAST(DATE_TRUNC(m.usage_date, MONTH) AS TIMESTAMP) AS period_start,
  CAST(DATE_ADD(DATE_TRUNC(m.usage_date, MONTH), INTERVAL 1 MONTH) AS TIMESTAMP) AS period_end,
  IF(m.is_credit, 'Credit', 'Usage') AS category,
  CAST(NULL AS STRING) AS charge_class,
  IF(m.is_credit, 'One-Time', 'Usage-Based') AS frequency,
  CASE
    WHEN m.token_class IS NULL THEN COALESCE(m.description, m.service_name)
    WHEN m.model IS NULL THEN m.meter
    ELSE CONCAT(m.meter, ' ', m.model)
  END AS description,
  m.meter,
  m.sku,
  CONCAT(
    m.sku, '/', COALESCE(m.service_tier, 'standard'),
    IF(m.context_window IS NULL, '', CONCAT('/', m.context_window))
  ) AS sku_price,
  IF(m.model IS NULL AND m.token_class IS NULL, NULL, CONCAT('{', ARRAY_TO_STRING([
    IF(m.developer IS NULL, NULL, CONCAT('"x_ModelDeveloper":"', m.developer, '"')),
    IF(m.family IS NULL, NULL, CONCAT('"x_ModelFamily":"', m.family, '"')),
    IF(m.model IS NULL, NULL, CONCAT('"x_ModelId":', TO_JSON_STRING(m.model))),
    IF(m.version IS NULL, NULL, CONCAT('"x_ModelVersion":"', m.version, '"')),
    IF(m.direction IS NULL, NULL, CONCAT('"x_TokenDirection":"', m.direction, '"')),
    CASE
      WHEN m.direction IS NULL OR m.direction = 'Output' THEN NULL
      WHEN STARTS_WITH(m.token_class, 'cached_') THEN '"x_TokenCacheAction":"Read"'
      WHEN STARTS_WITH(m.token_class, 'cache_write') THEN '"x_TokenCacheAction":"Write"'
      ELSE '"x_TokenCacheAction":"Uncached"'
    END,
    CASE m.token_class
      WHEN 'cache_write_5m' THEN '"x_CacheDuration":"5m"'
      WHEN 'cache_write_1h' THEN '"x_CacheDuration":"1h"'
    END,
    IF(m.service_tier IS NULL, NULL, CONCAT('"x_ServiceTier":', TO_JSON_STRING(m.service_tier))),
    IF(m.context_window IS NULL, NULL, CONCAT('"x_ContextWindow":', TO_JSON_STRING(m.context_window)))
  ], ','), '}')) AS details,
  m.model, m.token_class, m.service_tier,
  CASE WHEN m.is_credit THEN NULL WHEN m.is_bare THEN 1 ELSE m.quantity END AS quantity,
  CASE WHEN m.is_credit THEN NULL WHEN m.is_bare THEN 'Charges' ELSE m.unit END AS unit,
  CASE
    WHEN m.is_credit THEN NULL
    WHEN m.is_bare THEN 1
    WHEN m.pricing_unit LIKE '1000000 %' OR (m.pricing_unit IS NULL AND m.unit = 'Tokens') THEN m.quantity / 1000000
    WHEN m.pricing_unit LIKE '1000 %' THEN m.quantity / 1000
    WHEN m.pricing_unit = 'Minutes' THEN m.quantity / 60
    WHEN m.pricing_unit = 'GiB-Days' THEN m.quantity / 1073741824
    ELSE m.quantity
  END AS pricing_quantity,
  CASE
    WHEN m.is_credit THEN NULL
    WHEN m.is_bare THEN 'Charges'
    ELSE COALESCE(m.pricing_unit, IF(m.unit = 'Tokens', '1000000 Tokens', m.unit))
  END AS pricing_unit,
  m.list_unit_price, m.contracted_unit_price,
  COALESCE(m.list_cost, m.billed_cost) AS list_cost,
  COALESCE(m.list_cost, m.billed_cost) AS contracted_cost,
  m.billed_cost, m.effective_cost, m.currency,
  CASE WHEN m.is_credit THEN NULL WHEN m.service_tier = 'priority' THEN 'Other' ELSE 'Standard' END AS pricing_category,
  m.cost_source, m.price_version,
  m.list_cost IS NULL AND NOT m.is_bare AS is_unpriced,
  m.region, CAST(NULL AS STRING) AS zone,
  CAST(NULL AS STRING) AS resource, CAST(NULL AS STRING) AS resource_name, CAST(NULL AS STRING) AS resource_type,
  CAST(NULL AS STRING) AS tags,
  m.run_id
FROM (
  SELECT
    c.*,
    c.unit IS NULL AS is_bare,
    c.unit IS NULL AND c.billed_cost < 0 AS is_credit,
    COALESCE(classes.meter, c.token_class, 'Charges') AS meter,
    classes.direction,
    CONCAT(
      COALESCE(c.model, c.service_name), '/', COALESCE(c.token_class, c.description, 'charges')
    ) AS sku,
    CASE
      WHEN REGEXP_CONTAINS(c.model, r'^(gpt|o[0-9]|dall-e|text-embedding|whisper|tts|ft:)') THEN 'OpenAI'
      WHEN STARTS_WITH(c.model, 'claude') THEN 'Anthropic'
      WHEN STARTS_WITH(c.model, 'deepseek') THEN 'DeepSeek'
      WHEN STARTS_WITH(c.model, 'gemini') THEN 'Google'
      WHEN STARTS_WITH(c.model, 'grok') THEN 'xAI'
    END AS developer,
    CASE
      WHEN STARTS_WITH(c.model, 'gpt') THEN 'GPT'
      WHEN REGEXP_CONTAINS(c.model, r'^claude.*opus') THEN 'Claude Opus'
      WHEN REGEXP_CONTAINS(c.model, r'^claude.*sonnet') THEN 'Claude Sonnet'
      WHEN REGEXP_CONTAINS(c.model, r'^claude.*haiku') THEN 'Claude Haiku'
      WHEN STARTS_WITH(c.model, 'deepseek') THEN 'DeepSeek'
      WHEN STARTS_WITH(c.model, 'gemini') THEN 'Gemini'
    END AS family,
    REGEXP_EXTRACT(c.model, r'-([0-9]{4}-?[0-9]{2}-?[0-9]{2})$') AS version
  FROM charges AS c
  LEFT JOIN (
    SELECT 'input' AS token_class, 'Input Tokens' AS meter, 'Input' AS direction
    UNION ALL SELECT 'input_audio', 'Audio Input Tokens', 'Input'
    UNION ALL SELECT 'cached_input', 'Cache Read Input Tokens', 'Input'
    UNION ALL SELECT 'cached_input_audio', 'Cache Read Audio Input Tokens', 'Input'
    UNION ALL SELECT 'cache_write', 'Cache Write Input Tokens', 'Input'
    UNION ALL SELECT 'cache_write_5m', 'Cache Write Input Tokens', 'Input'
    UNION ALL SELECT 'cache_write_1h', 'Cache Write Input Tokens', 'Input'
    UNION ALL SELECT 'output', 'Output Tokens', 'Output'
    UNION ALL SELECT 'output_audio', 'Audio Output Tokens', 'Output'
    UNION ALL SELECT 'images', 'Images', NULL
    UNION ALL SELECT 'characters', 'Characters', NULL
    UNION ALL SELECT 'seconds', 'Audio Seconds', NULL
    UNION ALL SELECT 'storage', 'Vector Storage', NULL
    UNION ALL SELECT 'sessions', 'Sessions', NULL
    UNION ALL SELECT 'file_search', 'File Searches', NULL
    UNION ALL SELECT 'web_search', 'Web Searches', NULL
    UNION ALL SELECT 'request', 'Requests', NULL
  ) AS classes ON classes.token_class = c.token_class
) AS m
