"""Google Cloud over HTTP: a service account that is asked before it is kept, and an export from a file."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from fake_bigquery import faking, refused
from gcp_bench import service_account

from convergence.simulator.gcp import GcpBillingWorld

from .conftest import open_api

TABLE = "gcp_billing_export_v1_01A2B3_C4D5E6_F7A8B9"
PLACE = {"project": "customer-project", "dataset": "billing", "table": TABLE}
PATH = "/integrations/acme/gcp"


def table_resource() -> dict[str, Any]:
    columns = ("billing_account_id", "usage_start_time", "cost", "currency", "credits", "invoice")
    return {
        "tableReference": {"projectId": "customer-project", "datasetId": "billing", "tableId": TABLE},
        "location": "EU",
        "numRows": "0",
        "timePartitioning": {"type": "DAY"},
        "schema": {"fields": [{"name": name, "type": "STRING"} for name in columns]},
    }


async def test_a_service_account_is_asked_before_it_is_kept_and_again_on_request(folder: Path) -> None:
    with faking(tables={TABLE: table_resource()}) as fake:
        endpoint = f"http://127.0.0.1:{fake.port}"
        async with open_api(folder, BIGQUERY_API_ENDPOINT=endpoint) as api:
            key = await api.onboard("acme")
            person = {"credential": '{"type": "authorized_user"}', "metadata": PLACE}
            as_person = await api.send("POST", f"{PATH}/setup", key, json=person)
            nowhere = await api.send("POST", f"{PATH}/setup", key, json={"credential": service_account()})
            accepted = {"credential": service_account(), "metadata": PLACE}
            setup = await api.send("POST", f"{PATH}/setup", key, json=accepted)
            fake.tables.clear()
            fake.fail("get", refused(403, "accessDenied", "Access Denied: Permission bigquery.tables.get denied"))
            again = await api.send("POST", f"{PATH}/validate", key)
            shown = await api.send("GET", PATH, key)

    assert [answer.json()["code"] for answer in (as_person, nowhere)] == ["credential_invalid", "credential_invalid"]
    assert "metadata.project is missing" in nowhere.json()["detail"]
    assert (setup.status_code, setup.json()["validation_status"]) == (200, "VALID")
    assert again.json()["validation_status"] == "INVALID"
    assert "roles/bigquery.dataViewer" in shown.text
    assert "PRIVATE KEY" not in shown.text + setup.text


async def test_an_uploaded_export_is_in_the_costs(folder: Path) -> None:
    now = datetime(2026, 11, 20, 12, tzinfo=UTC)
    world = GcpBillingWorld(6, end_day=date(2026, 11, 20), days=5, rows_per_day=8)
    lines = "".join(json.dumps(row) + "\n" for row in world.rows(now))
    async with open_api(folder, work=True) as api:
        key = await api.onboard("acme")
        form = {"files": {"file": ("export.ndjson", lines.encode(), "application/x-ndjson")}}
        accepted = await api.send("POST", "/files/acme/gcp", key, **form)
        run = await api.wait_for(key, accepted.json()["pipeline_logging_id"])
        params = {"start_date": "2026-11-01", "end_date": "2026-11-20", "granularity": "total", "group_by": "service"}
        costs = await api.send("GET", "/costs/acme", key, params=params)
        sql = "SELECT SUM(BilledCost) AS billed, COUNT(DISTINCT BillingCurrency) AS currencies FROM focus_cost_daily"
        focus = await api.send("POST", "/query/acme", key, json={"sql": sql})

    truth = world.truth(now)["cost"]
    assert run["status"] == "COMPLETED", run["error_message"]
    found = {row["service"]: Decimal(row["billed_cost"]) for row in costs.json()["rows"]}
    assert found == truth["by_service"]
    (row,) = focus.json()["rows"]
    assert (Decimal(row["billed"]), row["currencies"]) == (truth["total"], 1)
