SELECT
  x_UsageDate AS usage_date,
  x_Provider AS provider,
  COALESCE(x_Model, SkuMeter) AS model,
  x_TokenClass AS token_class,
  BillingCurrency AS currency,
  SUM(IF(ConsumedUnit = 'Tokens', ConsumedQuantity, 0)) AS tokens,
  SUM(BilledCost) AS billed_cost,
  SUM(EffectiveCost) AS effective_cost,
  SUM(ListCost) AS list_cost
FROM focus_cost_daily
GROUP BY usage_date, provider, model, token_class, currency
