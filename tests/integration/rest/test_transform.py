"""Days of a table from a statement over the organization's own tables."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from convergence.errors import ConfigError, QueryRejected, SchemaMismatch
from convergence.kit.window import Window

from .conftest import SCHEMA, Acme, Asked, RestBench

WINDOW = Window.inclusive(date(2026, 11, 16), date(2026, 11, 18))
PIPELINE = """\
pipeline_id: acme-cost
parameters: {least: "0.5"}
source:
  base_url: BASE_URL
  auth: {type: none}
  allow_unvalidated: true
steps:
  - step_id: extract_cost
    ps_type: rest.extract
    request: {path: /costs, params: {from: "{start_date}", to: "{end_date}"}}
    columns: {usage_date: day, id: id, cost: {field: cost, unit: whole}}
    table: acme_cost
  - step_id: transform_total
    ps_type: sql.transform
    depends_on: [extract_cost]
    sql: sql/total.sql
    table: acme_total
    amount_column: cost
"""
TOTAL = """\
SELECT usage_date, 'total' AS id, SUM(cost) AS cost FROM acme_cost
WHERE usage_date BETWEEN {start_date} AND {end_date} AND cost >= CAST({parameters.least} AS NUMERIC) GROUP BY usage_date
"""


def costs(asked: Asked) -> list[dict[str, Any]]:
    days = [day for day in ("2026-11-16", "2026-11-18") if asked.query["from"][0] <= day <= asked.query["to"][0]]
    return [{"day": day, "id": f"{cost}", "cost": cost} for day in days for cost in (0.1, 0.7, 2)]


async def transform(bench: RestBench, acme: Acme, sql: str = TOTAL) -> None:
    bench.write(PIPELINE, **{"schemas/acme_total.json": SCHEMA, "sql/total.sql": sql})
    acme.answer = lambda asked: {"data": costs(asked)}
    await bench.run(WINDOW, 0)
    await bench.run(WINDOW, 1)


async def test_whole_days_are_replaced_and_nothing_else(bench: RestBench, acme: Acme) -> None:
    await transform(bench, acme)
    acme.answer = lambda _asked: {"data": [{"day": "2026-11-17", "id": "a", "cost": 5}]}
    later = Window.day(date(2026, 11, 17))
    await bench.run(later, 0)
    await bench.run(later, 1)
    again = await bench.run(later, 1)
    rows = await bench.rows("SELECT usage_date, cost FROM acme_total ORDER BY usage_date")
    assert [(row["usage_date"].day, row["cost"]) for row in rows] == [
        (16, Decimal("2.7")),
        (17, Decimal(5)),
        (18, Decimal("2.7")),
    ]
    assert again.metadata["days_unchanged"] == 1


@pytest.mark.parametrize(
    ("sql", "error"),
    [
        ("DELETE FROM acme_cost", QueryRejected),
        ("SELECT * FROM organizations.org_profiles", QueryRejected),
        ("SELECT * FROM other_dev.acme_cost", QueryRejected),
        ("SELECT 1; SELECT 2", QueryRejected),
        ("SELECT {end_dat} AS usage_date", ConfigError),
        ("SELECT usage_date, id, cost, 1 AS extra FROM acme_cost", SchemaMismatch),
        ("SELECT usage_date, id, 'x' AS cost FROM acme_cost", SchemaMismatch),
    ],
)
async def test_what_is_no_select_of_those_columns_is_refused(
    bench: RestBench, acme: Acme, sql: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await transform(bench, acme, sql)


@pytest.mark.parametrize("table", ["openai_cost_daily", "acme_team_cost_daily"])
async def test_money_of_another_provider_s_table_is_not_counted_twice(bench: RestBench, acme: Acme, table: str) -> None:
    bench.write(PIPELINE.replace("acme_total", table), **{f"schemas/{table}.json": SCHEMA, "sql/total.sql": TOTAL})
    acme.answer = lambda asked: {"data": costs(asked)}
    await bench.run(WINDOW, 0)
    with pytest.raises(ConfigError, match="cost table of another provider"):
        await bench.run(WINDOW, 1)
