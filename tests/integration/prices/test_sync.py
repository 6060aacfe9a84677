"""The published price list against the shipped price books, and in an organization's own."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from step_bench import CONFIGS, TODAY

from convergence.catalog import Catalog
from convergence.costs.prices.service import OWN, delete_price, find_overlaps, list_prices, sync_prices, update_price
from convergence.tenancy import OrgScope
from convergence.warehouse.duckdb import DuckDBWarehouse


@pytest.fixture
async def books(tmp_path: Path) -> Any:
    warehouse, org = DuckDBWarehouse(tmp_path), OrgScope("acme")
    await warehouse.ensure_dataset(org.dataset)
    yield warehouse, Catalog(CONFIGS), org
    await warehouse.close()


@pytest.mark.parametrize("provider", ["openai", "anthropic", "deepseek", "cursor"])
async def test_the_shipped_prices_are_the_published_ones(books: tuple[Any, ...], provider: str) -> None:
    found = await sync_prices(*books, provider, TODAY, apply=False)

    assert (found.proposals, found.kept) == ((), ())


async def test_what_is_applied_is_there_once_and_own_prices_stay(books: tuple[Any, ...]) -> None:
    await sync_prices(*books, "openai", TODAY, apply=False)
    await delete_price(*books, "openai", "gpt-5-mini")
    await update_price(*books, "openai", "o3", values={"input_per_million": "1.75"})
    shown = await sync_prices(*books, "openai", TODAY, apply=False)
    before = await list_prices(*books, "openai")
    applied = await sync_prices(*books, "openai", TODAY, apply=True)
    again = await sync_prices(*books, "openai", TODAY, apply=True)

    book = await list_prices(*books, "openai")
    assert not any(price.model_id == "gpt-5-mini" for price in before)
    assert shown.proposals == applied.proposals
    assert {proposal.price.model_id for proposal in applied.proposals} == {"gpt-5-mini"}
    assert {price.service_tier for price in book if price.model_id == "gpt-5-mini"} >= {"default", "flex", "priority"}
    assert (again.proposals, find_overlaps(book)) == ((), [])
    assert [(kept.price.source, kept.price.rates["input_per_million"]) for kept in again.kept] == [
        (OWN, Decimal("1.75"))
    ]
