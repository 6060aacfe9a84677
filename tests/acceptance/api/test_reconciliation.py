"""Over HTTP: costs are loaded, invoices uploaded, and the three figures compared."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio

from convergence.simulator import SimulatorServer

from .conftest import ADMIN_KEY, FIRST, LAST, Api, days, open_api

pytestmark = pytest.mark.asyncio(loop_scope="module")
MONTH = FIRST.replace(day=1)


@dataclass
class Payer:
    api: Api
    key: str
    other: str
    truth: dict[str, Any]

    async def reconcile(self, org: str = "acme", **params: Any) -> Any:
        key = self.key if org == "acme" else self.other
        return await self.api.send("GET", f"/reconciliation/{org}", key, params={**days(), **params})

    async def month(self, **params: Any) -> dict[str, Any]:
        """The month of the first day."""
        answer = (await self.reconcile(granularity="month", **params)).json()
        return next(row for row in answer["rows"] if row["period"] == MONTH.isoformat())

    async def upload(self, *lines: str) -> dict[str, Any]:
        text = "\n".join(["InvoiceId,ReferenceInvoiceId,BilledCost,ChargeCategory,InvoiceIssueStatus", *lines])
        end = (MONTH + timedelta(days=31)).replace(day=1)
        rows = [f"{row},{MONTH},{end},USD" for row in text.splitlines()[1:]]
        csv = "\n".join([f"{text.splitlines()[0]},BillingPeriodStart,BillingPeriodEnd,BillingCurrency", *rows])
        files = {"file": ("invoice.csv", csv.encode(), "text/csv")}
        answer = await self.api.send("POST", "/files/acme/openai", self.key, data={"kind": "invoice"}, files=files)
        answer.raise_for_status()
        return await self.api.wait_for(self.key, answer.json()["pipeline_logging_id"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def payer(tmp_path_factory: pytest.TempPathFactory, simulator: SimulatorServer) -> AsyncIterator[Payer]:
    folder = tmp_path_factory.mktemp("reconciliation")
    async with open_api(folder, work=True, OPENAI_BASE_URL=simulator.base_urls["openai"]) as api:
        await api.bootstrap()
        key, other = await api.onboard("acme", "SCALE"), await api.onboard("rival")
        body = {"credential": ADMIN_KEY}
        (await api.send("POST", "/integrations/acme/openai/setup", key, json=body)).raise_for_status()
        for pipeline in ("openai-usage-cost", "reconciliation-daily"):
            accepted = await api.send("POST", f"/pipelines/run/{pipeline}", key, json=days())
            run = await api.wait_for(key, accepted.json()["pipeline_logging_id"])
            assert run["status"] == "COMPLETED", run["error_message"]
        yield Payer(api, key, other, simulator.simulator.truth(ADMIN_KEY))


def cost_of_month(truth: dict[str, Any]) -> Decimal:
    found = {date.fromisoformat(day): Decimal(amount) for day, amount in truth["cost"]["by_day"].items()}
    return sum((amount for day, amount in found.items() if day.replace(day=1) == MONTH), Decimal(0))


async def test_days_carry_what_the_provider_reports(payer: Payer) -> None:
    answer = (await payer.reconcile()).json()
    assert {row["period"]: Decimal(row["provider_reported"]) for row in answer["rows"]} == {
        day: Decimal(amount) for day, amount in payer.truth["cost"]["by_day"].items()
    }
    assert (answer["start_date"], answer["end_date"]) == (FIRST.isoformat(), LAST.isoformat())
    assert sum(answer["statuses"].values()) == len(answer["rows"])
    assert answer["statuses"]["DIVERGED"] == 0


async def test_conservation_is_proved_as_far_as_focus(payer: Payer) -> None:
    sql = (
        "SELECT usage_date, raw, daily, focus, status, attributed + unattributed AS owned FROM cost_conservation_daily"
    )
    rows = (await payer.api.send("POST", "/query/acme", payer.key, json={"sql": sql})).json()["rows"]
    assert {row["usage_date"]: Decimal(row["raw"]) for row in rows} == {
        day: Decimal(amount) for day, amount in payer.truth["cost"]["by_day"].items()
    }
    assert all(row["raw"] == row["daily"] == row["owned"] == row["focus"] for row in rows)
    assert {row["status"] for row in rows} == {"CONSERVED"}


async def test_the_pipeline_writes_the_same_rows(payer: Payer) -> None:
    sql = "SELECT period, provider_reported, status FROM reconciliation_daily ORDER BY period"
    table = (await payer.api.send("POST", "/query/acme", payer.key, json={"sql": sql})).json()["rows"]
    shown = (await payer.reconcile()).json()["rows"]
    assert table == [{name: row[name] for name in ("period", "provider_reported", "status")} for row in shown]


async def test_an_invoice_is_held_against_the_report_and_its_successor_replaces_it(payer: Payer) -> None:
    reported = cost_of_month(payer.truth)
    first = await payer.upload(f"INV-1,INV-1,{reported + 50},Usage,Issued", "INV-1,INV-1,9.50,Tax,Issued")
    wrong = await payer.month()
    again = await payer.upload(f"INV-1,INV-1,{reported + 50},Usage,Issued", "INV-1,INV-1,9.50,Tax,Issued")
    await payer.upload(f"INV-2,INV-1,{reported},Usage,Issued", "INV-2,INV-1,9.50,Tax,Issued")
    right = await payer.month()

    assert (wrong["status"], Decimal(wrong["invoiced"])) == ("DIVERGED", reported + Decimal("59.5"))
    assert Decimal(wrong["invoice"]["explained_by"]["unknown"]) == 50
    assert again["pipeline_logging_id"] == first["pipeline_logging_id"]
    assert (right["status"], Decimal(right["invoiced"])) == ("EXPLAINED", reported + Decimal("9.5"))
    assert right["invoice"]["explained_by"] == {"tax": "9.5"}


async def test_a_growing_month_to_date_is_replaced_and_never_summed(payer: Payer) -> None:
    """Elastic summed a cumulative month total once a day."""
    for total in ("10", "20", "30"):
        await payer.upload("INV-2,INV-1,1,Usage,Voided", f"INV-3,INV-2,{total},Usage,Open")
    assert (await payer.month())["invoiced"] == "30"


async def test_a_file_that_is_no_invoice_fails_its_run_and_changes_nothing(payer: Payer) -> None:
    before = await payer.month()
    run = await payer.upload("INV-9,INV-9,$1,Usage,Issued")
    assert run["status"] == "FAILED"
    assert "line 2: BilledCost" in run["error_message"]
    assert await payer.month() == before


async def test_another_organization_sees_nothing_of_it(payer: Payer) -> None:
    assert (await payer.reconcile("rival", granularity="month")).json()["rows"] == []
    assert (await payer.api.send("GET", "/reconciliation/acme", payer.other)).status_code == 404


@pytest.mark.parametrize(
    "params",
    [{"granularity": "week"}, {"tolerance": "2"}, {"tolerance": "NaN"}, {"provider": "nobody"}, {"provider": "a,,b"}],
)
async def test_what_makes_no_sense_is_refused(payer: Payer, params: dict[str, str]) -> None:
    assert (await payer.reconcile(**params)).status_code == 422
