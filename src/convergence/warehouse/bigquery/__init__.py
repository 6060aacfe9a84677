"""BigQuery as the warehouse."""

from convergence.warehouse.bigquery.limits import ReadLimits
from convergence.warehouse.bigquery.warehouse import BigQueryWarehouse

__all__ = ["BigQueryWarehouse", "ReadLimits"]
