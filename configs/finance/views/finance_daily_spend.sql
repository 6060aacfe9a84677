SELECT
  x_UsageDate AS usage_date,
  x_Provider AS provider,
  ServiceName AS service,
  BillingCurrency AS currency,
  SUM(BilledCost) AS billed_cost,
  SUM(EffectiveCost) AS effective_cost,
  SUM(ListCost) AS list_cost
FROM focus_cost_daily
GROUP BY usage_date, provider, service, currency
