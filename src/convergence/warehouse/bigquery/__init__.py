"""BigQuery: the warehouse of production."""
