"""The embedded warehouse: one process, one DuckDB instance, one file for each dataset."""

from convergence.warehouse.duckdb.warehouse import DuckDBWarehouse

__all__ = ["DuckDBWarehouse"]
