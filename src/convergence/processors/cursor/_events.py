"""What a usage event holds, and how events that have no id are told apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from convergence.connectors import FieldSpec, PageLayout
from convergence.connectors.layout import AmountUnit
from convergence.kit.hashing import digest
from convergence.processors.cursor._client import CURRENCY
from convergence.processors.cursor._lists import PostedList, arrange

if TYPE_CHECKING:
    import pyarrow as pa

    from convergence.catalog.schemas import TableSchema

_TEXTS = {
    "user_email": "userEmail",
    "service_account_id": "serviceAccountId",
    "service_account_name": "serviceAccountName",
    "cloud_agent_id": "cloudAgentId",
    "automation_id": "automationId",
    "conversation_id": "conversationId",
    "model": "model",
    "kind": "kind",
}
_FLAGS = {
    "max_mode": "maxMode",
    "is_token_based_call": "isTokenBasedCall",
    "is_headless": "isHeadless",
    "is_free_bugbot": "isFreeBugbot",
}
_TOKENS = {
    "input_tokens": "tokenUsage.inputTokens",
    "output_tokens": "tokenUsage.outputTokens",
    "cache_write_tokens": "tokenUsage.cacheWriteTokens",
    "cache_read_tokens": "tokenUsage.cacheReadTokens",
}
_AMOUNTS = {
    "total_amount": "tokenUsage.totalCents",
    "cursor_token_fee": "cursorTokenFee",
    "charged_amount": "chargedCents",
}
_IDENTITY = (
    *("event_timestamp", "user_email", "service_account_id", "model", "kind", "max_mode"),
    *_TOKENS,
    *("charged_amount", "conversation_id"),
)


def build_list(unit: AmountUnit) -> PostedList:
    """The list of events. Amounts are fractional numbers of `unit`."""
    fields = (
        FieldSpec("event_timestamp", "timestamp", "TIMESTAMP", required=True, time_format="unix_ms_text"),
        *(FieldSpec(name, source) for name, source in _TEXTS.items()),
        # Without it nobody can tell what is on the bill, and to guess is to be wrong by all that the plan includes.
        FieldSpec("is_chargeable", "isChargeable", "BOOL", required=True),
        *(FieldSpec(name, source, "BOOL") for name, source in _FLAGS.items()),
        FieldSpec("requests_costs", "requestsCosts", "NUMERIC", non_negative=True),
        *(FieldSpec(name, source, "INT64", non_negative=True) for name, source in _TOKENS.items()),
        *(FieldSpec(name, source, "NUMERIC", unit=unit) for name, source in _AMOUNTS.items()),
        FieldSpec("discount_percent_off", "tokenUsage.discountPercentOff", "NUMERIC"),
    )
    layout = PageLayout(
        result_fields=fields,
        rows=("usageEvents[]",),
        envelope=("totalUsageEventsCount", "pagination", "period"),
    )
    return PostedList("usage_events", "/teams/filtered-usage-events", layout)


def build_events(batches: Sequence[pa.RecordBatch], schema: TableSchema, first_open_day: date) -> pa.Table:
    """Rows of the table, without lineage. Equal events stay apart: each is one that happened."""
    import pyarrow as pa
    import pyarrow.compute as pc

    events = pa.Table.from_batches(batches)
    days = pc.cast(events["event_timestamp"], pa.date32())
    keys, occurrences = _identify(events)
    return arrange(
        batches,
        schema,
        usage_date=days,
        event_key=pa.array(keys, pa.string()),
        occurrence=pa.array(occurrences, pa.int64()),
        currency=CURRENCY,
        is_provisional=pc.greater_equal(days, pa.scalar(first_open_day, pa.date32())),
    )


def _identify(events: pa.Table) -> tuple[list[str], list[int]]:
    """A stable key of each event, and how many equal ones came before it and with it."""
    from convergence.costs.kinds import join_texts

    seen: Counter[str] = Counter()
    keys, occurrences = [], []
    for text in join_texts(events, _IDENTITY).to_pylist():
        seen[text] += 1
        occurrences.append(seen[text])
        keys.append(digest(text, str(seen[text])))
    return keys, occurrences


def read_day(event: Mapping[str, Any]) -> date:
    """
    Raises:
        ValueError, TypeError, KeyError, OverflowError, OSError: it does not tell.
    """
    return datetime.fromtimestamp(int(event["timestamp"]) / 1_000, UTC).date()
