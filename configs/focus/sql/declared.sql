-- What a provider charges that only a pipeline's source knows: one row of its cost table each. What has no quantity is a
-- charge of its own; below zero it is a credit.
SELECT
  usage_date,
  @scope AS provider,
  @scope AS service_provider,
  COALESCE(service_name, @scope) AS service_name,
  COALESCE(service_category, 'Other') AS service_category,
  COALESCE(service_subcategory, 'Other (Other)') AS service_subcategory,
  account_id AS account,
  project_id AS project,
  IF(project_id IS NULL, NULL, 'Project') AS project_type,
  api_key_id AS api_key,
  COALESCE(user_id, user_email) AS `user`,
  model,
  token_class,
  service_tier,
  context_window,
  region,
  description,
  IF(COALESCE(quantity, 0) = 0, NULL, quantity) AS quantity,
  IF(COALESCE(quantity, 0) = 0, NULL, unit) AS unit,
  list_unit_price,
  list_unit_price AS contracted_unit_price,
  pricing_unit,
  list_cost,
  billed_cost,
  IF(cost_source = 'estimated', COALESCE(list_cost, 0), billed_cost) AS effective_cost,
  currency,
  COALESCE(cost_source, 'provider') AS cost_source,
  price_version,
  pipeline_logging_id AS run_id
FROM declared
WHERE usage_date >= @start_date AND usage_date < @end_date
