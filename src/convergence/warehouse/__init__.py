"""The warehouse: one protocol, one backend per engine."""

from convergence.warehouse.protocol import (
    Claim,
    Estimate,
    Loaded,
    SchemaChange,
    ScopeState,
    Warehouse,
    WriteMode,
)

__all__ = ["Claim", "Estimate", "Loaded", "SchemaChange", "ScopeState", "Warehouse", "WriteMode"]
