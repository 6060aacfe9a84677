-- What is to be split: what events of a kind were charged (chargedCents, which contains the token fee already) and what
-- Cursor values them at before its discount. What the plan includes is valued and charged nothing.
SELECT
  usage_date, user_email, service_account_id, model, kind, is_chargeable, max_mode, counted_in, currency,
  COALESCE(SUM(IF(is_chargeable, charged_amount, 0)), 0) AS amount,
  SUM(COALESCE(total_amount + COALESCE(cursor_token_fee, 0), charged_amount)) AS listed,
  COUNT(charged_amount) > 0 OR NOT is_chargeable AS is_stated
FROM (
  SELECT
    usage_date,
    LOWER(user_email) AS user_email,
    service_account_id, model, kind, is_chargeable, max_mode, currency, charged_amount, total_amount,
    cursor_token_fee,
    IF(
      COALESCE(input_tokens, 0) + COALESCE(cache_read_tokens, 0) + COALESCE(cache_write_tokens, 0)
        + COALESCE(output_tokens, 0) > 0,
      'tokens', 'requests'
    ) AS counted_in
  FROM cursor_usage_events_raw
  WHERE usage_date >= @start_date AND usage_date < @end_date
) AS events
GROUP BY
  usage_date, user_email, service_account_id, model, kind, is_chargeable, max_mode, counted_in, currency
ORDER BY
  usage_date, user_email, service_account_id, model, kind, is_chargeable, max_mode, counted_in, currency
