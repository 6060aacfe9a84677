"""What the company uses on Google Cloud, and what a unit of it costs in billionths of a dollar."""

from __future__ import annotations

from dataclasses import dataclass

COMMITMENT = "COMMITTED_USAGE_DISCOUNT"
SUSTAINED = "SUSTAINED_USAGE_DISCOUNT"
FREE_TIER = "FREE_TIER"
PROMOTION = "PROMOTION"


@dataclass(frozen=True, slots=True)
class Sku:
    """`list_nano` and `price_nano` are for one pricing unit, of which there are `units_each` usage units."""

    service_id: str
    service: str
    sku_id: str
    description: str
    unit: str
    pricing_unit: str
    units_each: int
    price_nano: int
    list_nano: int
    credit: str | None = None


_VERTEX = ("C7E2-9256-1C43", "Vertex AI")
_COMPUTE = ("6F81-5844-456A", "Compute Engine")
_BIGQUERY = ("24E6-581D-38E5", "BigQuery")

SKUS = (
    Sku(*_VERTEX, "A121-E2B5-1418", "Gemini Text Input - Predictions", "count", "count", 1, 310, 310),
    Sku(*_VERTEX, "5DA2-3F77-1CA5", "Gemini Text Output - Predictions", "count", "count", 1, 2_480, 2_500),
    Sku(*_VERTEX, "9F41-88B0-7E21", "Claude Sonnet Input Tokens", "count", "count", 1, 3_000, 3_000, PROMOTION),
    Sku(*_COMPUTE, "2E27-4F75-95CD", "N1 Core", "seconds", "hour", 3_600, 31_611_000, 31_611_000, SUSTAINED),
    Sku(*_COMPUTE, "D0AA-3C5D-7B11", "A2 Core", "seconds", "hour", 3_600, 31_600_000, 32_000_000, COMMITMENT),
    Sku(*_BIGQUERY, "3362-E469-6BEF", "Analysis", "bytes", "gibibyte", 2**30, 6_103_516, 6_103_516, FREE_TIER),
)
