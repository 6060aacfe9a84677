"""FOCUS files of other clouds: every version and form, beside what the platform builds and beside each other."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from convergence.costs.focus.build import SCOPE_COLUMN, TABLE
from convergence.errors import DataQualityError, StepFailed

from .conftest import Loader

SHARED = {
    "BilledCost": "1.25",
    "BillingAccountId": "1234",
    "BillingCurrency": "USD",
    "BillingPeriodStart": "2026-11-01T00:00:00Z",
    "BillingPeriodEnd": "2026-12-01T00:00:00Z",
    "ChargeCategory": "Usage",
    "ChargePeriodStart": "2026-11-02T00:00:00Z",
    "ChargePeriodEnd": "2026-11-03T00:00:00Z",
    "ContractedCost": "1.5",
    "EffectiveCost": "1.25",
    "InvoiceIssuerName": "AWS",
    "ListCost": "2",
    "ServiceCategory": "Compute",
    "ServiceName": "AmazonEC2",
    "Tags": '{"team": "search"}',
}
OLDER = {**SHARED, "ProviderName": "AWS", "PublisherName": "Amazon"}
VERSIONS = {
    "1.0": {
        **OLDER,
        "Tags": "NULL",
        "ChargePeriodStart": "2026-11-02 00:00:00",
        "ChargePeriodEnd": "2026-11-03 00:00:00",
        "BillingPeriodStart": "2026-11-01 00:00:00",
        "BillingPeriodEnd": "2026-12-01",
    },
    "1.2": {**OLDER, "SkuMeter": "Compute", "InvoiceId": "INV-1", "PricingCurrency": "USD"},
    "1.3": {**OLDER, "ServiceProviderName": "AWS", "HostProviderName": "Amazon", "AllocatedMethodId": "even"},
    "1.4": {**SHARED, "ServiceProviderName": "AWS", "HostProviderName": "Amazon", "InvoiceDetailId": "D-1"},
}


def as_csv(*rows: dict[str, str]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return b"\xef\xbb\xbf" + text.getvalue().encode()


def as_zip(*contents: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for place, content in enumerate(contents):
            archive.writestr(f"part-{place}.csv", content)
    return packed.getvalue()


def as_parquet(row: dict[str, str]) -> bytes:
    """As a cloud writes it: typed, with tags as a map and days as timestamps without a zone."""
    columns: dict[str, Any] = {name: pa.array([value]) for name, value in row.items()}
    for name in ("BilledCost", "EffectiveCost"):
        columns[name] = pa.array([float(row[name])])
    for name in ("ChargePeriodStart", "ChargePeriodEnd"):
        columns[name] = pa.array([row[name].rstrip("Z")]).cast(pa.timestamp("ms"))
    columns["Tags"] = pa.array([[("team", "search")]], pa.map_(pa.string(), pa.string()))
    content = io.BytesIO()
    pq.write_table(pa.table(columns), content)
    return content.getvalue()


def forms() -> Iterator[tuple[str, bytes]]:
    for version, row in VERSIONS.items():
        yield version, as_csv(row)
    yield "zip", as_zip(as_csv(VERSIONS["1.4"]))
    yield "parquet", as_parquet(VERSIONS["1.4"])


async def load(loader: Loader, content: bytes, provider: str = "aws") -> Any:
    return await loader.load("files.focus", content, provider=provider)


async def billed(loader: Loader) -> dict[tuple[str, date], Decimal]:
    rows = await loader.rows(
        f"SELECT {SCOPE_COLUMN} AS scope, x_UsageDate AS day, SUM(BilledCost) AS cost FROM {TABLE} GROUP BY 1, 2"
    )
    return {(row["scope"], row["day"]): row["cost"] for row in rows}


async def test_every_version_and_form_is_the_same_row(loader: Loader) -> None:
    found = []
    for name, content in forms():
        await load(loader, content)
        rows = await loader.rows(
            "SELECT BilledCost, ContractedCost, ListCost, ServiceProviderName, HostProviderName, ChargePeriodStart,"
            f" x_Provider, {SCOPE_COLUMN}, x_UsageDate, x_Unpriced FROM {TABLE}"
        )
        found.append((name, [tuple(row.values()) for row in rows]))
    expected = found[0][1]

    assert expected[0][:3] == (Decimal("1.25"), Decimal("1.5"), 2)
    assert expected[0][3:5] == ("AWS", "Amazon")
    assert expected[0][6:] == ("aws", "file/aws/1234", date(2026, 11, 2), False)
    assert [rows == expected for _, rows in found] == [True] * 6


async def test_only_the_days_the_provider_and_the_account_of_the_file_are_replaced(loader: Loader) -> None:
    row = VERSIONS["1.4"]
    second = {**row, "ChargePeriodStart": "2026-11-05T00:00:00Z", "ChargePeriodEnd": "2026-11-06T00:00:00Z"}
    other = {**row, "BillingAccountId": "99", "BilledCost": "7"}
    await load(loader, as_csv(row, second, other))
    await load(loader, as_csv(row), "azure")
    await load(loader, as_csv({**second, "BilledCost": "4"}))

    assert await billed(loader) == {
        ("file/aws/1234", date(2026, 11, 2)): Decimal("1.25"),
        ("file/aws/1234", date(2026, 11, 5)): Decimal(4),
        ("file/aws/99", date(2026, 11, 2)): Decimal(7),
        ("file/azure/1234", date(2026, 11, 2)): Decimal("1.25"),
    }


async def test_the_parts_of_one_delivery_in_a_zip_are_one_day(loader: Loader) -> None:
    first, second = (as_csv({**VERSIONS["1.2"], "BilledCost": cost}) for cost in ("1.10", "2.20"))
    await load(loader, as_zip(first, second))
    assert await billed(loader) == {("file/aws/1234", date(2026, 11, 2)): Decimal("3.30")}


async def test_what_the_platform_builds_itself_is_not_counted_twice(loader: Loader) -> None:
    await load(loader, as_csv(VERSIONS["1.4"]), "openai")
    await loader.warehouse.execute(_statement(loader, f"UPDATE {TABLE} SET {SCOPE_COLUMN} = 'openai' WHERE TRUE"))
    with pytest.raises(StepFailed) as twice:
        await load(loader, as_csv(VERSIONS["1.2"]), "openai")
    assert twice.value.code == "focus_counted_twice"
    assert await billed(loader) == {("openai", date(2026, 11, 2)): Decimal("1.25")}


async def test_a_removal_leaves_nothing_of_the_file_and_everything_of_others(loader: Loader) -> None:
    row = VERSIONS["1.4"]
    second = {**row, "ChargePeriodStart": "2026-11-05T00:00:00Z", "ChargePeriodEnd": "2026-11-06T00:00:00Z"}
    other = {**row, "BillingAccountId": "99", "BilledCost": "7"}
    await load(loader, as_csv(row, second, other))
    await load(loader, as_csv(row), "azure")
    await loader.load("files.focus", as_csv(row), {"remove": True}, provider="aws")
    left = await billed(loader)
    await loader.load("files.focus", as_csv(row), {"remove": True}, provider="aws")

    assert left == {
        ("file/aws/1234", date(2026, 11, 5)): Decimal("1.25"),
        ("file/aws/99", date(2026, 11, 2)): Decimal(7),
        ("file/azure/1234", date(2026, 11, 2)): Decimal("1.25"),
    }
    assert await billed(loader) == left

    await load(loader, as_csv(row))
    assert await billed(loader) == {**left, ("file/aws/1234", date(2026, 11, 2)): Decimal("1.25")}


def _statement(loader: Loader, sql: str) -> Any:
    from convergence.sql import Statement

    return Statement(sql, loader.org.dataset)


async def test_who_is_behind_a_charge_is_taken_from_columns_of_the_platform_and_of_the_next_version(
    loader: Loader,
) -> None:
    own = {"x_Team": "Search", "x_Model": "m-1", "x_RunId": "theirs", "CredentialId": "key-1", "PrincipalId": "ann"}
    await load(loader, as_csv({**VERSIONS["1.4"], **own}))
    rows = await loader.rows(f"SELECT x_Team, x_Model, x_CredentialId, x_PrincipalId, x_RunId FROM {TABLE}")
    assert [tuple(row.values()) for row in rows] == [("Search", "m-1", "key-1", "ann", "run_1")]


async def test_what_has_no_list_price_says_so(loader: Loader) -> None:
    await load(loader, as_csv({**VERSIONS["1.0"], "ListCost": "NULL", "ContractedCost": ""}))
    rows = await loader.rows(f"SELECT ListCost, ContractedCost, x_Unpriced FROM {TABLE}")
    assert rows == [{"ListCost": Decimal("1.25"), "ContractedCost": Decimal("1.25"), "x_Unpriced": True}]


async def test_text_that_is_no_json_is_kept_and_breaks_nothing(loader: Loader) -> None:
    await load(loader, as_csv({**VERSIONS["1.4"], "Tags": "team=search"}))
    (row,) = await loader.rows(f"SELECT Tags FROM {TABLE}")
    assert "team=search" in row["Tags"]


async def test_rows_without_an_account_or_a_readable_time_are_refused_by_the_day(loader: Loader) -> None:
    row = VERSIONS["1.4"]
    bad = [{**row, "BillingAccountId": ""}, {**row, "ChargePeriodStart": "11/2/26"}]
    await load(loader, as_csv(row, *bad))
    rejects = await loader.rows(f"SELECT x_UsageDate AS day, reason, {SCOPE_COLUMN} AS scope FROM {TABLE}_rejects")
    assert [(row["day"], row["scope"]) for row in rejects] == [(date(2026, 11, 2), "file/aws/1234")] * 2

    with pytest.raises(DataQualityError):
        await load(loader, as_csv(row, *(bad * 4)))
