"""Clock, ids, days, money, JSON: knows nothing of the product."""
