"""FOCUS files over HTTP; what is in them: tests/integration/focus."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from typing import Any

import pyarrow.parquet
import pytest
import pytest_asyncio

from .conftest import Api, open_api

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def acme(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Api, str]]:
    async with open_api(tmp_path_factory.mktemp("export")) as api:
        await api.bootstrap()
        yield api, await api.onboard("acme")


async def test_days_without_rows_are_a_header(acme: tuple[Api, str]) -> None:
    api, key = acme
    days = {"start_date": "2026-10-01", "end_date": "2026-10-31"}

    answer = await api.send("GET", "/export/acme/focus", key, params={"version": "1.2", **days})

    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/csv; charset=utf-8")
    assert answer.headers["content-disposition"] == ('attachment; filename="focus_1.2_acme_2026-10-01_2026-10-31.csv"')
    assert len(answer.text.splitlines()) == 1
    assert answer.text.startswith("AvailabilityZone,BilledCost,BillingAccountId,")


async def test_parquet_has_the_columns_too(acme: tuple[Api, str]) -> None:
    api, key = acme

    answer = await api.send("GET", "/export/acme/focus", key, params={"format": "parquet"})

    schema = pyarrow.parquet.read_schema(io.BytesIO(answer.content))
    assert answer.headers["content-type"] == "application/vnd.apache.parquet"
    assert str(schema.field("BilledCost").type) == "decimal128(38, 9)"
    assert str(schema.field("ChargePeriodStart").type) == "timestamp[us, tz=UTC]"


@pytest.mark.parametrize(
    "params",
    [
        {"version": "1.3"},
        {"format": "xlsx"},
        {"start_date": "2026-10-01"},
        {"start_date": "2026-10-02", "end_date": "2026-10-01"},
        {"start_date": "2020-01-01", "end_date": "2026-10-01"},
        {"surprise": "1"},
    ],
)
async def test_what_cannot_be_exported_is_refused(acme: tuple[Api, str], params: dict[str, Any]) -> None:
    api, key = acme

    answer = await api.send("GET", "/export/acme/focus", key, params=params)

    assert answer.status_code == 422
