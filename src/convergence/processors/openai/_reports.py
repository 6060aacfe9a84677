"""The usage and cost reports of the organization API: what each is asked for and what its rows hold."""

from __future__ import annotations

from convergence.connectors.layout import FieldSpec, PageLayout
from convergence.kit.window import Window, midnight
from convergence.processors.openai._client import PROVIDER
from convergence.steps.reports import BUCKET_START, Report

_COMPLETION_TOKENS = (
    "input_tokens", "output_tokens", "input_cached_tokens", "input_cache_write_tokens", "input_uncached_tokens",
    "input_text_tokens", "input_audio_tokens", "input_image_tokens", "input_cached_text_tokens",
    "input_cached_audio_tokens", "input_cached_image_tokens", "output_text_tokens", "output_audio_tokens",
    "output_image_tokens", "num_model_requests",
)  # fmt: skip
_CALLER = ("project_id", "user_id", "api_key_id")
_BUCKET = (FieldSpec(BUCKET_START, type="TIMESTAMP", required=True),)
_EXPECTED = frozenset({"object", "end_time", "organization_id"})


def _build_params(dimensions: tuple[str, ...], window: Window) -> list[tuple[str, str]]:
    """One bucket a day, as many as the window has: the parameters stay the same from page to page."""
    return [
        ("start_time", str(int(midnight(window.start).timestamp()))),
        ("end_time", str(int(midnight(window.end).timestamp()))),
        ("bucket_width", "1d"),
        ("limit", str(len(window))),
        *(("group_by", dimension) for dimension in dimensions),
    ]


def _report(name: str, path: str, dimensions: tuple[str, ...], fields: tuple[FieldSpec, ...]) -> Report:
    layout = PageLayout(result_fields=fields, bucket_fields=_BUCKET, expected=_EXPECTED)
    return Report(PROVIDER, name, path, dimensions, layout, _build_params)


def _usage(name: str, dimensions: tuple[str, ...], measures: tuple[str, ...]) -> Report:
    texts = tuple(FieldSpec(column, type="BOOL" if column == "batch" else "STRING") for column in dimensions)
    counts = tuple(FieldSpec(column, type="INT64", non_negative=True) for column in measures)
    return _report(name, f"/organization/usage/{name}", dimensions, texts + counts)


USAGE_REPORTS = (
    _usage("completions", (*_CALLER, "model", "batch", "service_tier"), _COMPLETION_TOKENS),
    _usage("embeddings", (*_CALLER, "model"), ("input_tokens", "num_model_requests")),
    _usage("moderations", (*_CALLER, "model"), ("input_tokens", "num_model_requests")),
    _usage("images", (*_CALLER, "model", "size", "source"), ("images", "num_model_requests")),
    _usage("audio_speeches", (*_CALLER, "model"), ("characters", "num_model_requests")),
    _usage("audio_transcriptions", (*_CALLER, "model"), ("seconds", "num_model_requests")),
    _usage("vector_stores", ("project_id",), ("usage_bytes",)),
    _usage("code_interpreter_sessions", ("project_id",), ("num_sessions",)),
    _usage("file_search_calls", (*_CALLER, "vector_store_id"), ("num_requests",)),
    _usage("web_search_calls", (*_CALLER, "model", "context_level"), ("num_requests", "num_model_requests")),
)


def build_cost_report(dimensions: tuple[str, ...]) -> Report:
    """The cost report. Amounts are whole dollars, as a number or as text, and may be negative."""
    fields = (
        FieldSpec("project_id"),
        FieldSpec("api_key_id"),
        FieldSpec("line_item"),
        FieldSpec("amount", "amount.value", "NUMERIC", required=True),
        FieldSpec("currency", "amount.currency", required=True),
        FieldSpec("quantity", type="NUMERIC"),
        FieldSpec("quantity_unit"),
    )
    return _report("costs", "/organization/costs", dimensions, fields)


COSTS_BY_KEY = build_cost_report(("project_id", "api_key_id", "line_item"))
COSTS_BY_PROJECT = build_cost_report(("project_id", "line_item"))
