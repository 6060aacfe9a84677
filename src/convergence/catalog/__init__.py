"""The files under configs/ as typed models: pipelines, table schemas, templates. Nothing escapes the configs root."""

from convergence.catalog.catalog import Catalog
from convergence.catalog.pipelines import Pipeline, Step
from convergence.catalog.schemas import LINEAGE_COLUMNS, Column, Mode, TableSchema

__all__ = ["LINEAGE_COLUMNS", "Catalog", "Column", "Mode", "Pipeline", "Step", "TableSchema"]
