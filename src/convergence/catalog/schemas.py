"""Table schemas as BigQuery's Table resource describes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Mode = Literal["NULLABLE", "REQUIRED", "REPEATED"]

LINEAGE_COLUMNS: Final = ("ingestion_date", "ingestion_timestamp", "pipeline_logging_id")


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `type` is a canonical BigQuery type name (STRING, INT64, NUMERIC, TIMESTAMP, STRUCT, ...)."""

    name: str
    type: str
    mode: Mode = "NULLABLE"
    description: str = ""
    fields: tuple[Column, ...] = ()


@dataclass(frozen=True, slots=True)
class TableSchema:
    """A table: its columns, the DATE column of its daily partitions, clustering, retention."""

    name: str
    columns: tuple[Column, ...]
    description: str = ""
    partition_column: str | None = None
    partition_expiration_days: int | None = None
    clustering: tuple[str, ...] = ()

    def column(self, name: str) -> Column | None:
        return next((column for column in self.columns if column.name == name), None)

    @property
    def measures_and_dimensions(self) -> tuple[Column, ...]:
        """The columns without the lineage ones: what makes two rows the same."""
        return tuple(column for column in self.columns if column.name not in LINEAGE_COLUMNS)
