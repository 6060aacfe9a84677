SELECT
  DATE_TRUNC(DATE(BillingPeriodStart), MONTH) AS billing_month,
  x_Provider AS provider,
  ServiceName AS service,
  ChargeCategory AS charge_category,
  BillingCurrency AS currency,
  SUM(BilledCost) AS billed_cost,
  SUM(EffectiveCost) AS effective_cost,
  SUM(ListCost) AS list_cost
FROM focus_cost_daily
GROUP BY billing_month, provider, service, charge_category, currency
