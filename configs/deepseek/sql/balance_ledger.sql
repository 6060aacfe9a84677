-- What the balance lost and won from one snapshot to the next. Granted balance that expires looks like spend, and a
-- top-up hides it: this is a signal to compare the bill with, never a bill.
SELECT
  currency, snapshot_date, previous_date, total_balance, balance_change,
  topped_up_balance - previous_topped_up AS topped_up_change,
  granted_balance - previous_granted AS granted_change,
  IF(balance_change < 0, -balance_change, 0) AS apparent_spend
FROM (
  SELECT
    currency, snapshot_date, total_balance, granted_balance, topped_up_balance,
    LAG(snapshot_date) OVER (PARTITION BY currency ORDER BY snapshot_date) AS previous_date,
    LAG(topped_up_balance) OVER (PARTITION BY currency ORDER BY snapshot_date) AS previous_topped_up,
    LAG(granted_balance) OVER (PARTITION BY currency ORDER BY snapshot_date) AS previous_granted,
    total_balance - LAG(total_balance) OVER (PARTITION BY currency ORDER BY snapshot_date) AS balance_change
  FROM deepseek_balance_snapshot_raw
) AS steps
