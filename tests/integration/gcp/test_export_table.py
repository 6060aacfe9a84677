"""The export's table in the customer's own project, read with Google's client from the emulator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from gcp_bench import Integration, open_gcp_bench, service_account

from convergence.errors import CredentialInvalid
from convergence.integrations.validators.gcp import check_place
from convergence.kit.window import DAY, Window
from convergence.simulator.gcp import GcpBillingWorld
from convergence.warehouse.bigquery import BigQueryWarehouse

LABELS = [("key", "STRING"), ("value", "STRING")]
COLUMNS: dict[str, Any] = {
    "billing_account_id": "STRING",
    "service": [("id", "STRING"), ("description", "STRING")],
    "sku": [("id", "STRING"), ("description", "STRING")],
    "usage_start_time": "TIMESTAMP",
    "usage_end_time": "TIMESTAMP",
    "labels*": LABELS,
    "location": [(name, "STRING") for name in ("location", "country", "region", "zone")],
    "export_time": "TIMESTAMP",
    "cost": "FLOAT",
    "currency": "STRING",
    "currency_conversion_rate": "FLOAT",
    "usage": [
        ("amount", "FLOAT"),
        ("unit", "STRING"),
        ("amount_in_pricing_units", "FLOAT"),
        ("pricing_unit", "STRING"),
    ],
    "credits*": [
        ("name", "STRING"),
        ("amount", "FLOAT"),
        ("full_name", "STRING"),
        ("id", "STRING"),
        ("type", "STRING"),
    ],
    "invoice": [("month", "STRING"), ("publisher_type", "STRING")],
    "cost_type": "STRING",
    "cost_at_list": "FLOAT",
}


def build_field(name: str, kind: Any) -> Any:
    from google.cloud import bigquery

    mode = "REPEATED" if name.endswith("*") else "NULLABLE"
    if isinstance(kind, str):
        return bigquery.SchemaField(name, kind, mode)
    return bigquery.SchemaField(name.rstrip("*"), "RECORD", mode, fields=[build_field(*part) for part in kind])


def make_table(client: Any, path: str) -> None:
    """The export's table as Google makes it, partitioned by its time of load. It has no project column: it is old."""
    from google.cloud import bigquery

    client.create_dataset(bigquery.Dataset(path.rpartition(".")[0]))
    table = bigquery.Table(path, schema=[build_field(name, kind) for name, kind in COLUMNS.items()])
    table.time_partitioning = bigquery.TimePartitioning(type_=bigquery.TimePartitioningType.DAY)
    client.create_table(table)


def add_rows(client: Any, path: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Google appends; to the emulator every row was loaded today."""
    from google.cloud import bigquery

    names = {name.rstrip("*") for name in COLUMNS}
    config = bigquery.LoadJobConfig(
        schema=[build_field(name, kind) for name, kind in COLUMNS.items()], source_format="NEWLINE_DELIMITED_JSON"
    )
    known = [{name: value for name, value in row.items() if name in names} for row in rows]
    client.load_table_from_json(known, path, job_config=config).result()


async def test_an_export_table_is_validated_then_copied_with_the_customers_own_key(
    bigquery_emulator: Any, tmp_path: Path
) -> None:
    """Twice, with rows that came late in between, then once more without a change."""
    if bigquery_emulator.endpoint is None:
        pytest.skip("a real project wants the key of a real service account")
    now = datetime.now(UTC)
    project = bigquery_emulator.project()
    world = GcpBillingWorld(3, end_day=now.date(), days=3, rows_per_day=6)
    early = world.rows(now - 2 * DAY)
    place = {"project": project, "dataset": "billing"}
    path, window = f"{project}.billing.{world.table}", Window(now.date() - DAY, now.date())
    ours = BigQueryWarehouse(bigquery_emulator.project(), endpoint=bigquery_emulator.endpoint)
    endpoint = bigquery_emulator.endpoint
    with bigquery_emulator.client(project) as client:
        async with open_gcp_bench(tmp_path, now=now, endpoint=endpoint, warehouse=ours) as bench:
            make_table(client, path)
            add_rows(client, path, early)
            found = await check_place(bench.http, "acme", service_account(), place, now=now)
            with pytest.raises(CredentialInvalid) as missing:
                await check_place(bench.http, "acme", service_account(), {**place, "table": "nothing"}, now=now)
            bench.integration = Integration(service_account(), place)
            first = await bench.run("gcp-cost-billing", window)
            before = await bench.sums("gcp_cost_daily", "usage_date", "billed_cost")
            add_rows(client, path, world.rows(now)[len(early) :])
            second = await bench.run("gcp-cost-billing", window)
            after = await bench.sums("gcp_cost_daily", "usage_date", "billed_cost")
            third = await bench.run("gcp-cost-billing", window)

    assert found.account == {
        "id": f"{project}.billing",
        "service_account": "billing-reader@customer-project.iam.gserviceaccount.com",
    }
    assert missing.value.fields["reason"] == "export_not_found"
    assert before == world.truth(now - 2 * DAY)["cost"]["by_day"]
    assert after == world.truth(now)["cost"]["by_day"] != before
    assert [run["gcp.bq_etl"].metadata["rows"] for run in (first, second)] == [len(early), len(world.rows(now))]
    assert third["gcp.bq_etl"].metadata["days_replaced"] == 0
    assert "project" in third["gcp.bq_etl"].metadata["columns_missing"]
    assert third["gcp.bq_etl"].metadata["first_partition"] == (now.date() - DAY).isoformat()
