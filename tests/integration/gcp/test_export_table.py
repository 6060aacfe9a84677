"""The export's table in the customer's own project, read with Google's client from the emulator."""

from __future__ import annotations

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


def make_table(client: Any, project: str, world: GcpBillingWorld, now: datetime) -> None:
    """The export's table as Google makes it, partitioned by its time of load. It has no project column: it is old."""
    from google.cloud import bigquery

    def build(name: str, kind: Any) -> bigquery.SchemaField:
        mode = "REPEATED" if name.endswith("*") else "NULLABLE"
        if isinstance(kind, str):
            return bigquery.SchemaField(name, kind, mode)
        return bigquery.SchemaField(name.rstrip("*"), "RECORD", mode, fields=[build(*part) for part in kind])

    client.create_dataset(bigquery.Dataset(f"{project}.billing"))
    fields = [build(name, kind) for name, kind in COLUMNS.items()]
    table = bigquery.Table(f"{project}.billing.{world.table}", schema=fields)
    table.time_partitioning = bigquery.TimePartitioning(type_=bigquery.TimePartitioningType.DAY)
    client.create_table(table)
    names = {name.rstrip("*") for name in COLUMNS}
    rows = [{name: value for name, value in row.items() if name in names} for row in world.rows(now)]
    config = bigquery.LoadJobConfig(schema=fields, source_format="NEWLINE_DELIMITED_JSON")
    client.load_table_from_json(rows, table, job_config=config).result()


async def test_an_export_table_is_validated_then_copied_with_the_customers_own_key(
    bigquery_emulator: Any, tmp_path: Path
) -> None:
    if bigquery_emulator.endpoint is None:
        pytest.skip("a real project wants the key of a real service account")
    now = datetime.now(UTC)
    project = bigquery_emulator.project()
    world = GcpBillingWorld(3, end_day=now.date(), days=3, rows_per_day=6)
    with bigquery_emulator.client(project) as client:
        make_table(client, project, world, now)
    place = {"project": project, "dataset": "billing"}
    ours = BigQueryWarehouse(bigquery_emulator.project(), endpoint=bigquery_emulator.endpoint)
    async with open_gcp_bench(tmp_path, now=now, endpoint=bigquery_emulator.endpoint, warehouse=ours) as bench:
        found = await check_place(bench.http, "acme", service_account(), place, now=now)
        with pytest.raises(CredentialInvalid) as missing:
            await check_place(bench.http, "acme", service_account(), {**place, "table": "nothing"}, now=now)
        bench.integration = Integration(service_account(), place)
        for _ in range(2):
            results = await bench.run("gcp-cost-billing", Window(now.date() - DAY, now.date()))
        costs = await bench.sums("gcp_cost_daily", "usage_date", "billed_cost")

    assert found.account == {
        "id": f"{project}.billing",
        "service_account": "billing-reader@customer-project.iam.gserviceaccount.com",
    }
    assert missing.value.fields["reason"] == "export_not_found"
    assert costs == world.truth(now)["cost"]["by_day"]
    assert results["gcp.bq_etl"].metadata["days_replaced"] == 0
    assert "project" in results["gcp.bq_etl"].metadata["columns_missing"]
    assert results["gcp.bq_etl"].metadata["first_partition"] == (now.date() - DAY).isoformat()
