"""A mapping says who, never how much: whatever overlaps in it or in the directory, each cost is somebody's once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from cost_ledger import CONFIGS, FIRST, Ledger
from hypothesis import given, settings
from hypothesis import strategies as st

from convergence.catalog import Catalog
from convergence.costs.identity.people import build_attribution, describe_identity
from convergence.kit.jsontext import dumps
from convergence.kit.money import QUANTUM
from convergence.sql import Statement
from convergence.tenancy import OrgScope
from convergence.warehouse.duckdb import DuckDBWarehouse

Row = dict[str, Any]
Attribute = Callable[[list[Row], list[Row]], list[Row]]

PROVIDERS, KEYS, USERS = ["openai", "cursor"], ["key_1", "key_2"], ["user_1", "ada@example.com"]
PEOPLE, TEAMS = ["ada@example.com", "bob@example.com"], ["A", "B"]
_TEXTS = ("provider", "project", "api_key", "user", "currency")
_COSTS = (
    "SELECT CAST(JSON_VALUE(cost, '$.id') AS INT64) AS id,"
    " CAST(JSON_VALUE(cost, '$.usage_date') AS DATE) AS usage_date,"
    + ", ".join(f" JSON_VALUE(cost, '$.{name}') AS `{name}`" for name in _TEXTS)
    + ", CAST(JSON_VALUE(cost, '$.billed_cost') AS NUMERIC) AS billed_cost FROM UNNEST(@costs) AS cost"
)
_MAPPING = ", ".join(
    [
        *(
            f"JSON_VALUE(line, '$.{name}') AS {name}"
            for name in (
                *("provider", "api_key_id", "masked_key", "key_name", "user_id", "project_id"),
                *("person", "team", "cost_center"),
            )
        ),
        *(f"CAST(JSON_VALUE(line, '$.{name}') AS DATE) AS {name}" for name in ("valid_from", "valid_to")),
    ]
)


def maybe(values: list[str]) -> st.SearchStrategy[str | None]:
    return st.sampled_from([None, *values])


days = st.integers(0, 3).map(lambda day: (FIRST + timedelta(days=day)).isoformat())
costs = st.fixed_dictionaries(
    {
        "usage_date": days,
        "provider": st.sampled_from(PROVIDERS),
        "project": maybe(["proj_1", ""]),
        "api_key": maybe([*KEYS, ""]),
        "user": maybe(USERS),
        "currency": st.sampled_from(["USD", "EUR"]),
        "billed_cost": st.integers(-(10**12), 10**12).map(lambda nanos: str(nanos * QUANTUM)),
    }
)
mappings = st.fixed_dictionaries(
    {
        "provider": maybe(PROVIDERS),
        "api_key_id": maybe(KEYS),
        "masked_key": maybe(["sk-*a"]),
        "key_name": maybe(["Prod"]),
        "user_id": maybe(USERS),
        "project_id": maybe(["proj_1"]),
        "person": maybe(["", *PEOPLE]),
        "team": maybe(["", *TEAMS]),
        "cost_center": maybe(["1", "2"]),
        "valid_from": st.one_of(st.none(), days),
        "valid_to": st.one_of(st.none(), days),
    }
)


@pytest.fixture(scope="module")
def attribute(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attribute]:
    """Costs by whoever a mapping says, over a directory in which everything overlaps."""
    with asyncio.Runner() as runner:
        warehouse, org = DuckDBWarehouse(tmp_path_factory.mktemp("identity")), OrgScope("acme")
        ledger = Ledger(warehouse, Catalog(CONFIGS), org)
        runner.run(_open(ledger))
        identity = runner.run(describe_identity(warehouse, org, {"dim_api_keys", "dim_people"}))
        parts = build_attribution("costs", identity, mapping="mapping")
        inputs = [f"costs AS ({_COSTS})", f"mapping AS (SELECT {_MAPPING} FROM UNNEST(@mapping) AS line)"]
        sql = f"WITH {', '.join([*inputs, *parts])}"

        def read(spent: list[Row], mapped: list[Row]) -> list[Row]:
            values = {"costs": [dumps(row) for row in spent], "mapping": [dumps(row) for row in mapped]}
            statement = Statement(f"{sql} SELECT * FROM attributed ORDER BY id", org.dataset, values)
            return runner.run(warehouse.query(statement)).to_pylist()

        yield read
        runner.run(warehouse.close())


async def _open(ledger: Ledger) -> None:
    await ledger.warehouse.ensure_dataset(ledger.org.dataset)
    people = [(user, person) for user in USERS for person in (*PEOPLE, None)]
    await ledger.write(
        "dim_people",
        [{"provider": "openai", "user_id": user, "person": person, "type": "user"} for user, person in people],
    )
    keys = [(key, person, name) for key in KEYS for person in PEOPLE for name in ("Prod", "Batch")]
    await ledger.write(
        "dim_api_keys",
        [
            {
                "provider": provider,
                "api_key_id": key,
                "name": name,
                "masked_key": "sk-...a",
                "owner_id": "user_1",
                "person": person,
                "valid_from": date(2026, 11, 2) if name == "Prod" else None,
            }
            for provider in PROVIDERS
            for key, person, name in keys
        ],
    )


@given(st.lists(costs, min_size=1, max_size=15), st.lists(mappings, min_size=1, max_size=12))
@settings(deadline=None, max_examples=30)
def test_attributed_and_unattributed_are_what_was_billed(
    attribute: Attribute, spent: list[Row], mapped: list[Row]
) -> None:
    numbered = [{**row, "id": place} for place, row in enumerate(spent)]
    rows = attribute(numbered, mapped)
    assert [(row["id"], row["billed_cost"]) for row in rows] == [
        (row["id"], Decimal(row["billed_cost"])) for row in numbered
    ]
    assert {row["team"] for row in rows} <= {None, *TEAMS}
    assert {row["person"] for row in rows} <= {None, *PEOPLE}
