"""The warehouse: one protocol, one backend per engine."""

from convergence.warehouse.compaction import Compactable, erasing
from convergence.warehouse.protocol import (
    Claim,
    Estimate,
    Loaded,
    SchemaChange,
    ScopeState,
    Warehouse,
    WriteMode,
)

__all__ = [
    "Claim",
    "Compactable",
    "Estimate",
    "Loaded",
    "SchemaChange",
    "ScopeState",
    "Warehouse",
    "WriteMode",
    "erasing",
]
