"""What the owner of an export is told when BigQuery refuses, with Google's own client against a server on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from fake_bigquery import FakeBigQuery, Fault, failing, faking, refused
from gcp_bench import billing_row, open_gcp_bench, service_account

from convergence.errors import ProviderRejected, StepFailed
from convergence.integrations.service_account import parse_key
from convergence.kit.window import Window
from convergence.processors.gcp.bq_etl import Config, choose_partitions
from convergence.warehouse.bigquery.exports import ExportReader, ExportTable, Reading

WINDOW = Window(date(2026, 11, 1), date(2026, 11, 3))
TABLE = ExportTable("customer", "billing", "gcp_billing_export_v1_A", "EU", ("cost",), "_PARTITIONTIME")
READING = Reading(TABLE, ["cost"], WINDOW)
EMAIL = "billing-reader@customer-project.iam.gserviceaccount.com"


@pytest.fixture
def fake() -> Iterator[FakeBigQuery]:
    with faking() as server:
        yield server


def open_reader(fake: FakeBigQuery, max_bytes: int | None = None) -> ExportReader:
    key = parse_key(service_account())
    return ExportReader(key, "customer", endpoint=f"http://127.0.0.1:{fake.port}", max_bytes=max_bytes)


@pytest.mark.parametrize(
    ("fault", "code", "status", "says"),
    [
        (
            refused(403, "accessDenied", "Access Denied: Permission bigquery.tables.get denied on table"),
            "export_denied",
            403,
            f"Grant {EMAIL} roles/bigquery.dataViewer on the export's dataset and roles/bigquery.jobUser on customer",
        ),
        (
            refused(404, "notFound", "Not found: Table"),
            "export_not_found",
            404,
            "from another location it is not found",
        ),
        (refused(401, "authError", "Invalid Credentials"), "export_unauthenticated", 401, f"the key of {EMAIL}"),
        (
            refused(403, "accessNotConfigured", "BigQuery API has not been used in project customer"),
            "export_disabled",
            403,
            "gcloud services enable bigquery.googleapis.com --project customer",
        ),
        (refused(400, "invalid", "Invalid table name"), "export_refused", 400, "is a Cloud Billing export"),
    ],
)
async def test_each_refusal_says_what_to_do(
    fake: FakeBigQuery, fault: Fault, code: str, status: int, says: str
) -> None:
    fake.fail("get", fault)
    reader = open_reader(fake)

    with pytest.raises(ProviderRejected) as caught:
        await reader.describe("customer", "billing", "gcp_billing_export_v1_A")
    await reader.close()

    assert (caught.value.code, caught.value.status) == (code, status)
    assert says in (caught.value.hint or "")


async def test_a_wrong_location_is_named(fake: FakeBigQuery) -> None:
    fake.fail("insert", failing("notFound", "Not found: Dataset customer:billing was not found in location EU"))
    reader = open_reader(fake)

    with pytest.raises(ProviderRejected) as caught:
        await reader.read(READING)
    await reader.close()

    assert caught.value.code == "export_not_found"
    assert "lies in EU" in (caught.value.hint or "")


async def test_a_query_over_the_limit_reads_nothing(fake: FakeBigQuery) -> None:
    fake.bytes_processed = 10**12
    reader = open_reader(fake, max_bytes=10**9)

    with pytest.raises(StepFailed) as caught:
        await reader.read(READING)
    await reader.close()

    assert (caught.value.code, fake.effects) == ("export_too_large", [])
    assert "max_bytes_billed" in (caught.value.hint or "")


async def test_whole_partitions_are_read_by_their_time_of_load(fake: FakeBigQuery) -> None:
    reader = open_reader(fake)
    await reader.read(READING)
    await reader.close()

    (read,) = fake.effects
    assert read == (
        "SELECT `cost`, DATE(_PARTITIONTIME) AS partition_date FROM `customer.billing.gcp_billing_export_v1_A`"
        " WHERE _PARTITIONTIME >= @load_start AND _PARTITIONTIME < @load_end"
    )


def test_a_private_key_that_is_none_is_refused_without_being_shown() -> None:
    with pytest.raises(ProviderRejected) as caught:
        ExportReader(parse_key(service_account()), "customer")

    assert caught.value.code == "export_unauthenticated"
    assert "bm90IGEga2V5" not in f"{caught.value!r} {caught.value.hint} {caught.value.__cause__!r}"


async def test_a_real_key_opens_a_reader_and_nothing_is_asked_yet() -> None:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    reader = ExportReader(parse_key(service_account(private_key=private.decode())), "customer")
    await reader.close()

    assert private.decode().splitlines()[1] not in repr(vars(reader))


async def test_partitions_are_read_from_a_day_before_the_last_and_once_a_week_from_far_back(tmp_path: Path) -> None:
    async with open_gcp_bench(tmp_path) as bench:  # Friday, 20 November

        async def choose(first: date, last: date, trigger_type: str = "scheduler") -> tuple[date, date]:
            context = bench.context("gcp-cost-billing", "extract_billing", Window.inclusive(first, last), trigger_type)
            chosen = await choose_partitions(context, Config(reload_days=40, late_days=30))
            return chosen.start, chosen.last

        thursday = date(2026, 11, 19)
        first_of_all = await choose(thursday, thursday)
        await bench.load_rows([billing_row()])  # of Tuesday, 17 November
        daily = await choose(thursday, thursday)
        weekly = await choose(date(2026, 11, 15), date(2026, 11, 15))  # a Sunday
        past = await choose(date(2026, 9, 1), date(2026, 9, 5), "api")
        recent = await choose(date(2026, 11, 1), date(2026, 11, 5), "api")

    assert first_of_all == (date(2026, 10, 10), date(2026, 11, 20))
    assert daily == (date(2026, 11, 16), date(2026, 11, 20))
    assert weekly == (date(2026, 10, 6), date(2026, 11, 20))
    assert past == (date(2026, 9, 1), date(2026, 10, 5))
    assert recent == (date(2026, 11, 1), date(2026, 11, 20))
