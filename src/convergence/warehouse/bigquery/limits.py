"""What one statement of a user may use."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """Beyond what BigQuery's own service holds it to; bytes are billed bytes where there is a cap for them."""

    seconds: float = 30.0
    billed_bytes: int | None = None
    result_bytes: int = 256 * 2**20
