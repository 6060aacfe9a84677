"""A provider that no code knows, added by the two files of docs/howto/add-a-provider.md and nothing else."""

from __future__ import annotations

import re
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from bigquery_emulator import BigQueryEmulator
from larkspur import KEY, Larkspur, serve_larkspur

from convergence.catalog import Catalog
from convergence.steps.registry import check_step

from .conftest import LAST, Api, days, on_bigquery, open_api

REPOSITORY = Path(__file__).parents[3]
PAGE = (REPOSITORY / "docs" / "howto" / "add-a-provider.md").read_text(encoding="utf-8")
FIRST = LAST - timedelta(days=29)


def files_of_the_page() -> dict[str, str]:
    """Each file that the page has us write, by its place below the configs folder."""
    found = re.findall(r"`my-configs/(larkspur/[^`]+)`:\n\n```\w+\n(.*?)```", PAGE, re.DOTALL)
    return dict(found)


@pytest.fixture
def larkspur() -> Larkspur:
    return Larkspur(FIRST, LAST)


@pytest.fixture
def base_url(larkspur: Larkspur) -> Iterator[str]:
    with serve_larkspur(larkspur) as url:
        yield url


@pytest.fixture
def configs(tmp_path: Path, base_url: str) -> Path:
    """What the page says to make; the API's address is the one on loopback."""
    folder = tmp_path / "my-configs"
    shutil.copytree(REPOSITORY / "configs", folder)
    for place, text in files_of_the_page().items():
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("https://api.larkspur.example/v2", base_url), encoding="utf-8")
    return folder


@dataclass
class Customer:
    """An organization that has set Larkspur up."""

    api: Api
    key: str

    async def setup(self, credential: str = KEY) -> Any:
        return await self.api.send(
            "POST", "/integrations/acme/larkspur/setup", self.key, json={"credential": credential}
        )

    async def load(self, **body: Any) -> dict[str, Any]:
        answer = await self.api.send("POST", "/pipelines/run/acme/larkspur/billed_cost", self.key, json=body)
        return await self.api.wait_for(self.key, answer.json()["pipeline_logging_id"])

    async def costs(self, **asked: str) -> dict[str, Any]:
        return (await self.api.send("GET", "/costs/acme", self.key, params={**days(FIRST, LAST), **asked})).json()

    async def by_day(self) -> dict[str, Decimal]:
        rows = (await self.costs(granularity="day", group_by="provider"))["rows"]
        assert {row["provider"] for row in rows} <= {"larkspur"}
        return {row["day"]: Decimal(row["billed_cost"]) for row in rows}

    async def query(self, sql: str) -> list[dict[str, Any]]:
        return (await self.api.send("POST", "/query/acme", self.key, json={"sql": sql})).json()["rows"]


@pytest.fixture
async def customer(folder: Path, configs: Path) -> AsyncIterator[Customer]:
    async with open_api(folder, work=True, CONFIGS_DIR=str(configs)) as api:
        yield Customer(api, await api.onboard("acme", "SCALE"))


def test_the_page_names_two_files() -> None:
    assert sorted(files_of_the_page()) == ["larkspur/billed_cost.yml", "larkspur/schemas/larkspur_cost_daily.json"]


def test_the_files_of_the_page_have_no_faults(configs: Path) -> None:
    catalog = Catalog(configs)
    assert catalog.faults(partial(check_step, find_schema=catalog.schema)) == []


async def test_thirty_days_with_a_restatement_are_the_truth_to_the_cent(customer: Customer, larkspur: Larkspur) -> None:
    setup = (await customer.setup()).json()
    whole = await customer.load(**days(FIRST, LAST))
    first = await customer.by_day()
    truth = larkspur.truth()
    again = await customer.load(**days(FIRST, LAST))
    second = await customer.by_day()
    larkspur.restate(LAST - timedelta(days=2))
    daily = await customer.load(date=LAST.isoformat())
    restated = await customer.by_day()
    by_model = await customer.costs(granularity="total", group_by="provider,model,project,user")
    focus = await customer.query(
        "SELECT x_UsageDate AS day, SUM(BilledCost) AS cost FROM focus_cost_daily"
        " WHERE ServiceProviderName = 'larkspur' GROUP BY 1"
    )
    credit = await customer.query(
        "SELECT BilledCost, ConsumedQuantity, ServiceName FROM focus_cost_daily WHERE ChargeCategory = 'Credit'"
    )
    proofs = await customer.query("SELECT DISTINCT status FROM cost_conservation_daily WHERE provider = 'larkspur'")
    listed = (await customer.api.send("GET", "/integrations/acme", customer.key)).json()["integrations"]

    assert (setup["validation_status"], listed["LARKSPUR"]["status"]) == ("VALID", "VALID")
    assert [run["status"] for run in (whole, again, daily)] == ["COMPLETED"] * 3
    assert len(truth) == 30
    assert first == second == truth
    assert again["steps"][0]["metadata"]["days_unchanged"] == 30
    assert daily["steps"][0]["metadata"]["days_replaced"] == 1
    assert restated == larkspur.truth() != truth
    assert {row["day"]: Decimal(row["cost"]) for row in focus} == larkspur.truth()
    assert credit == [{"BilledCost": "-2.505", "ConsumedQuantity": None, "ServiceName": "larkspur"}]
    assert proofs == [{"status": "CONSERVED"}]
    total = sum(larkspur.truth().values())
    assert Decimal(by_model["total"]["billed_cost"]) == total
    assert sum(Decimal(row["billed_cost"]) for row in by_model["rows"]) == total
    assert Decimal(by_model["total"]["list_cost"]) == total * 2
    assert {row["model"] for row in by_model["rows"]} == {"researcher", "coder", "reviewer", "credit"}


async def test_a_refused_key_is_not_stored_and_never_shown(customer: Customer, larkspur: Larkspur) -> None:
    answer = await customer.setup("lk-live-wrong-0123456789")
    shown = (await customer.api.send("GET", "/integrations/acme/larkspur", customer.key)).json()

    assert (answer.status_code, answer.json()["code"]) == (400, "credential_invalid")
    assert "lk-live-wrong" not in answer.text
    assert shown["status"] == "NOT_CONFIGURED"
    assert larkspur.asked == ["/v2/account"]


async def test_setup_is_validated_again_and_removed(customer: Customer) -> None:
    await customer.setup()
    validated = (await customer.api.send("POST", "/integrations/acme/larkspur/validate", customer.key)).json()
    removed = await customer.api.send("DELETE", "/integrations/acme/LARKSPUR", customer.key)
    run = await customer.load(date=LAST.isoformat())

    assert (validated["success"], validated["provider"]) == (True, "LARKSPUR")
    assert removed.json() == {"success": True, "provider": "LARKSPUR"}
    assert (run["status"], "larkspur/setup" in run["error_message"]) == ("FAILED", True)


async def test_a_bad_row_is_kept_apart_on_its_own_day_and_a_busy_api_is_asked_again(
    customer: Customer, larkspur: Larkspur
) -> None:
    await customer.setup()
    bad = larkspur.rows(LAST, LAST)[0]
    larkspur.bad_rows.append({**bad, "charge": {**bad["charge"], "amount": "many"}})
    larkspur.busy = 1
    run = await customer.load(**days(LAST - timedelta(days=1), LAST))
    rejected = await customer.query("SELECT usage_date, reason, error_path FROM larkspur_cost_daily_rejects")

    assert run["status"] == "COMPLETED"
    assert rejected == [
        {"usage_date": LAST.isoformat(), "reason": "not a finite number below 1e29"}
        | {"error_path": rejected[0]["error_path"]}
    ]
    assert rejected[0]["error_path"].endswith("charge.amount")
    assert (await customer.by_day())[LAST.isoformat()] == larkspur.truth()[LAST.isoformat()]


@pytest.mark.slow
async def test_a_day_is_the_truth_on_bigquery_too(
    folder: Path, configs: Path, larkspur: Larkspur, bigquery_emulator: BigQueryEmulator
) -> None:
    day = LAST - timedelta(days=1)  # of yesterday the days before it are read again
    async with open_api(folder, work=True, CONFIGS_DIR=str(configs), **on_bigquery(bigquery_emulator)) as api:
        await api.bootstrap()
        customer = Customer(api, await api.onboard("acme", "SCALE"))
        await customer.setup()
        run = await customer.load(**days(day, day))
        costs = await customer.by_day()
        focus = await customer.query("SELECT SUM(BilledCost) AS cost FROM focus_cost_daily")

    truth = larkspur.truth()[day.isoformat()]
    assert run["status"] == "COMPLETED", run["error_message"]
    assert (costs, Decimal(focus[0]["cost"])) == ({day.isoformat(): truth}, truth)


def place_for_each(configs: Path) -> None:
    """Each organization has its own host, and the API offers no request to try a key with."""
    path = configs / "larkspur" / "billed_cost.yml"
    text = re.sub(r"  base_url: .*\n", "  base_url_from: site\n  hosts: ['127.0.0.*']\n", path.read_text())
    path.write_text(re.sub(r"  validation:\n(    .*\n)+", "  allow_unvalidated: true\n", text))


async def test_a_host_of_its_own_a_key_that_cannot_be_tried_and_a_provider_that_goes(
    customer: Customer, configs: Path, base_url: str, larkspur: Larkspur
) -> None:
    place_for_each(configs)
    api, path, integrations = customer.api, "/integrations/acme/larkspur", customer.api.app.state.platform.integrations
    given = [{}, {"site": "http://localhost:1"}, {"site": "http://127.0.0.1@evil.example"}, {"site": base_url}]
    answers = [
        await api.send("POST", f"{path}/setup", customer.key, json={"credential": KEY, "metadata": metadata})
        for metadata in given
    ]
    shown = (await api.send("GET", path, customer.key)).json()
    validated = (await api.send("POST", f"{path}/validate", customer.key)).json()
    run = await customer.load(date=LAST.isoformat())
    scheduled = await integrations.valid_providers(api.app.state.platform.scope.org("acme"))
    asked = len(larkspur.asked)
    shutil.rmtree(configs / "larkspur")
    left = await integrations.valid_providers(api.app.state.platform.scope.org("acme"))
    listed = (await api.send("GET", "/integrations/acme", customer.key)).json()["integrations"]
    removed = await api.send("DELETE", path, customer.key)
    after = await api.send("GET", path, customer.key)

    assert [answer.status_code for answer in answers] == [400, 400, 400, 200]
    assert "was not asked" in answers[3].json()["warnings"][0]
    assert (shown["status"], shown["last_validated_at"]) == ("VALID", None)
    assert (validated["success"], len(validated["warnings"])) == (True, 1)
    assert (run["status"], asked > 0) == ("COMPLETED", True)
    assert (scheduled, left) == ({"larkspur"}, set())
    assert listed["LARKSPUR"]["status"] == "VALID"
    assert (removed.status_code, after.status_code) == (200, 404)
