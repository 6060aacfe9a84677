"""deepseek.balance: what is left of the account now. A signal beside the bill, and never a part of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict

from convergence.connectors import FieldSpec, PageLayout, decode_page
from convergence.errors import ProviderMisbehaved
from convergence.kit.clock import today
from convergence.kit.window import Window
from convergence.processors.deepseek._client import open_client
from convergence.sql import Statement
from convergence.steps import StepContext, StepResult
from convergence.steps.loading import DayLoad, Fetched, publish_days

if TYPE_CHECKING:
    import pyarrow as pa

TABLE: Final = "deepseek_balance_snapshot_raw"
LEDGER: Final = "deepseek_balance_ledger"
_LAYOUT: Final = PageLayout(
    result_fields=(
        FieldSpec("currency", required=True),
        FieldSpec("total_balance", type="NUMERIC", required=True),
        FieldSpec("granted_balance", type="NUMERIC"),
        FieldSpec("topped_up_balance", type="NUMERIC"),
    ),
    rows=("balance_infos[]",),
    envelope=("is_available",),
)


class Config(BaseModel):
    """There is nothing to set: the balance is always today's."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def get_engine() -> BalanceProcessor:
    return BalanceProcessor()


class BalanceProcessor:
    """One snapshot a UTC day and currency, the last one. Whatever days the run is for, a balance is of now."""

    async def execute(self, step_config: Mapping[str, Any], context: StepContext, /) -> StepResult:
        Config.model_validate(step_config)
        page = await (await open_client(context)).get("/user/balance")
        decoded = decode_page(page.body, _LAYOUT)
        if decoded.rejects:
            raise ProviderMisbehaved(
                f"the balance cannot be read: {decoded.rejects[0].reason}", code="balance_unreadable"
            )
        day = Window.day(today(context.clock))
        rows = _build(decoded.rows, context, is_available=decoded.envelope.get("is_available"))
        load = DayLoad(TABLE, "deepseek.balance", day_column="snapshot_date")
        published = await publish_days(context, load, Fetched(day, rows))
        await _ensure_ledger(context)
        return StepResult(published.rows, published.metadata)


def _build(rows: pa.RecordBatch, context: StepContext, *, is_available: Any) -> pa.Table:
    import pyarrow as pa

    values = {
        "snapshot_date": pa.scalar(today(context.clock), pa.date32()),
        "snapshot_time": pa.scalar(context.clock.now(), pa.timestamp("us", tz="UTC")),
        "is_available": pa.scalar(is_available if isinstance(is_available, bool) else None, pa.bool_()),
    }
    table = pa.Table.from_batches([rows])
    for name, value in values.items():
        table = table.append_column(name, pa.repeat(value, table.num_rows))
    return table


async def _ensure_ledger(context: StepContext) -> None:
    sql = context.catalog.text(context.catalog.root, "deepseek/sql/balance_ledger.sql")
    await context.warehouse.ensure_view(context.tenant.table(LEDGER), Statement(sql, context.tenant.dataset))
