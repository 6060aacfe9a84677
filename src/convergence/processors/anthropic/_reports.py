"""The usage and cost reports of the Admin API: what each is asked for and what its rows hold."""

from __future__ import annotations

from convergence.connectors.layout import AmountUnit, FieldSpec, PageLayout
from convergence.kit.window import Window, midnight
from convergence.processors.anthropic._client import PROVIDER
from convergence.steps.reports import BUCKET_START, Report

MOST_DAYS = 31  # buckets of one page; without a limit a page has seven
USAGE_DIMENSIONS = ("workspace_id", "api_key_id", "model", "service_tier", "context_window")
"""As many as a request may group by: a sixth, inference_geo, is refused."""

COST_DIMENSIONS = ("workspace_id", "description")
"""All that there is: costs are not told by key. Without description the other columns would be null."""

_BUCKET = (FieldSpec(BUCKET_START, "starting_at", "TIMESTAMP", required=True, time_format="rfc3339"),)
_EXPECTED = frozenset({"ending_at", "account_id", "service_account_id", "speed"})
_COUNTS = {
    "uncached_input_tokens": "uncached_input_tokens",
    "cache_creation_5m_input_tokens": "cache_creation.ephemeral_5m_input_tokens",
    "cache_creation_1h_input_tokens": "cache_creation.ephemeral_1h_input_tokens",
    "cache_read_input_tokens": "cache_read_input_tokens",
    "output_tokens": "output_tokens",
    "web_search_requests": "server_tool_use.web_search_requests",
}


def _build_params(dimensions: tuple[str, ...], window: Window) -> list[tuple[str, str]]:
    """One bucket a day, as many as the window has: the parameters stay the same from page to page."""
    return [
        ("starting_at", f"{midnight(window.start):%Y-%m-%dT%H:%M:%SZ}"),
        ("ending_at", f"{midnight(window.end):%Y-%m-%dT%H:%M:%SZ}"),
        ("bucket_width", "1d"),
        ("limit", str(len(window))),
        *(("group_by[]", dimension) for dimension in dimensions),
    ]


def _report(name: str, path: str, dimensions: tuple[str, ...], fields: tuple[FieldSpec, ...]) -> Report:
    layout = PageLayout(result_fields=fields, bucket_fields=_BUCKET, expected=_EXPECTED)
    return Report(PROVIDER, name, path, dimensions, layout, _build_params)


USAGE = _report(
    "messages",
    "/v1/organizations/usage_report/messages",
    USAGE_DIMENSIONS,
    (
        *(FieldSpec(name) for name in (*USAGE_DIMENSIONS, "inference_geo")),
        *(FieldSpec(name, source, "INT64", non_negative=True) for name, source in _COUNTS.items()),
    ),
)


def build_cost_report(unit: AmountUnit) -> Report:
    """The cost report. Amounts are text in `unit`, and may be negative."""
    words = ("description", "model", "cost_type", "token_type", "service_tier", "context_window", "inference_geo")
    fields = (
        FieldSpec("workspace_id"),
        *(FieldSpec(name) for name in words),
        FieldSpec("amount", type="NUMERIC", required=True, unit=unit),
        FieldSpec("currency", required=True),
    )
    return _report("costs", "/v1/organizations/cost_report", COST_DIMENSIONS, fields)
