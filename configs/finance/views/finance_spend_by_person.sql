SELECT
  x_UsageDate AS usage_date,
  x_Person AS person,
  x_Team AS team,
  x_Provider AS provider,
  BillingCurrency AS currency,
  SUM(BilledCost) AS billed_cost,
  SUM(EffectiveCost) AS effective_cost,
  SUM(ListCost) AS list_cost
FROM focus_cost_daily
GROUP BY usage_date, person, team, provider, currency
