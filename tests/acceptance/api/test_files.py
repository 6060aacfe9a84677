"""Files over HTTP: uploaded as they stream, loaded by a run, each content once, each organization alone."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from convergence.kit.window import Window
from convergence.simulator import DeepSeekWorld, build_export, zip_export

from .conftest import FIRST, LAST, TODAY, Api, days, open_api

NOW = datetime.now(UTC)
WORLD = DeepSeekWorld(end_day=TODAY, days=3, rows_per_day=4, steady=True)
EXPORT = zip_export(build_export(WORLD, Window.inclusive(FIRST, LAST), NOW))


async def upload(api: Api, key: str, content: bytes = EXPORT, path: str = "/files/acme/deepseek", **fields: str) -> Any:
    return await api.send("POST", path, key, files={"file": ("usage_data.zip", content)}, data=fields)


async def run_of(api: Api, key: str, answer: Any) -> dict[str, Any]:
    assert answer.status_code == 202, answer.text
    return await api.wait_for(key, answer.json()["pipeline_logging_id"])


@pytest.fixture
async def working(folder: Path) -> AsyncIterator[Api]:
    async with open_api(folder, work=True, MAX_REQUEST_SIZE_BYTES="1000", MAX_UPLOAD_SIZE_BYTES="100000") as opened:
        yield opened


async def test_an_export_becomes_costs_to_the_last_digit(working: Api) -> None:
    api = working
    key = await api.onboard("acme")
    run = await run_of(api, key, await upload(api, key))
    costs = await api.send("GET", "/costs/acme", key, params={**days(), "granularity": "total", "group_by": "provider"})
    spent = await api.send(
        "POST", "/query/acme", key, json={"sql": "SELECT SUM(BilledCost) AS spent FROM focus_cost_daily"}
    )

    total = WORLD.truth(NOW)["cost"]["total"]
    assert {step["status"] for step in run["steps"]} == {"COMPLETED"}, run
    assert [(row["provider"], Decimal(row["billed_cost"])) for row in costs.json()["rows"]] == [("deepseek", total)]
    assert Decimal(spent.json()["rows"][0]["spent"]) == total
    assert run["parameters"] == {
        "upload": hashlib.sha256(EXPORT).hexdigest(),
        "filename": "usage_data.zip",
        "provider": "deepseek",
    }


async def test_the_same_content_is_the_same_run_also_at_once_and_under_another_name(working: Api) -> None:
    key = await working.onboard("acme")
    answers = await asyncio.gather(*(upload(working, key) for _ in range(3)))
    renamed = await working.send("POST", "/files/acme/deepseek", key, files={"file": ("again.zip", EXPORT)})
    runs = {answer.json()["pipeline_logging_id"] for answer in (*answers, renamed)}
    profile = await working.send("GET", "/organizations/acme", key)

    assert len(runs) == 1
    assert (await run_of(working, key, renamed))["status"] == "COMPLETED"
    assert "runs_today" not in profile.json() or profile.json()["runs_today"] == 1


async def test_a_run_that_failed_is_tried_again_by_uploading_again(working: Api) -> None:
    key = await working.onboard("acme")
    first = await run_of(working, key, await upload(working, key, b"a,b\n1,2\n"))
    second = await run_of(working, key, await upload(working, key, b"a,b\n1,2\n"))

    assert (first["status"], second["status"]) == ("FAILED", "FAILED")
    assert first["pipeline_logging_id"] != second["pipeline_logging_id"]
    assert "no file of DeepSeek's usage export" in first["error_message"]


async def test_an_upload_can_be_loaded_again_and_another_organization_s_cannot(working: Api) -> None:
    ours, theirs = await working.onboard("acme"), await working.onboard("rival")
    await run_of(working, ours, await upload(working, ours))
    stolen = await working.send(
        "POST",
        "/pipelines/run/rival/deepseek/export",
        theirs,
        json={"parameters": {"upload": hashlib.sha256(EXPORT).hexdigest(), "filename": "usage_data.zip"}},
    )
    run = await run_of(working, theirs, stolen)
    own = await upload(working, theirs, path="/files/rival/deepseek")
    again = await working.send(
        "POST",
        "/pipelines/run/acme/deepseek/export",
        ours,
        json={"parameters": {"upload": hashlib.sha256(EXPORT).hexdigest(), "filename": "usage_data.zip"}},
    )

    assert (await run_of(working, ours, again))["steps"][1]["metadata"]["days_unchanged"] == 3
    assert (run["status"], "there is no uploaded file" in run["error_message"]) == ("FAILED", True)
    assert (await run_of(working, theirs, own))["status"] == "COMPLETED"


FOCUS = (
    b"BilledCost,BillingAccountId,BillingCurrency,BillingPeriodStart,BillingPeriodEnd,ChargeCategory,"
    b"ChargePeriodStart,ChargePeriodEnd,ContractedCost,EffectiveCost,InvoiceIssuerName,ListCost,ProviderName,"
    b"ServiceCategory,ServiceName\n1.5,1,USD,2026-11-01,2026-12-01,Usage,2026-11-02,2026-11-03,1.5,1.5,AWS,2,AWS,"
    b"Compute,EC2\n"
)


async def load_focus(api: Api, key: str, *, org: str = "acme", kind: str = "focus") -> dict[str, Any]:
    run = await run_of(api, key, await upload(api, key, FOCUS, f"/files/{org}/AWS", kind=kind))
    assert run["status"] == "COMPLETED", run
    return run


async def read_focus(api: Api, key: str, *, org: str = "acme") -> Any:
    sql = "SELECT x_Provider, BilledCost FROM focus_cost_daily"
    return (await api.send("POST", f"/query/{org}", key, json={"sql": sql})).json()["rows"]


async def test_a_focus_file_of_another_cloud_stands_beside_the_rest(working: Api) -> None:
    key = await working.onboard("acme")
    await load_focus(working, key)

    assert await read_focus(working, key) == [{"x_Provider": "aws", "BilledCost": "1.5"}]


async def test_a_focus_file_is_taken_back_and_loaded_again_and_another_organization_keeps_its_own(working: Api) -> None:
    ours, theirs = await working.onboard("acme"), await working.onboard("rival")
    await load_focus(working, theirs, org="rival")
    seen, runs = [], set()
    for kind in ("focus", "focus_removal", "focus", "focus_removal"):
        runs.add((await load_focus(working, ours, kind=kind))["pipeline_logging_id"])
        seen.append(len(await read_focus(working, ours)))

    assert (seen, len(runs)) == ([1, 0, 1, 0], 4)
    assert await read_focus(working, theirs, org="rival") == [{"x_Provider": "aws", "BilledCost": "1.5"}]


async def test_an_upload_has_a_cap_of_its_own(working: Api) -> None:
    key = await working.onboard("acme")
    above_the_request = await upload(working, key)
    above = await upload(working, key, b"x" * 100_001)
    far_above = await upload(working, key, b"x" * 1_000_000)
    chunked = await working.send(
        "POST",
        "/files/acme/deepseek",
        key,
        content=_endless(),
        headers={"Content-Type": "multipart/form-data; boundary=b"},
    )

    assert len(EXPORT) > 1000
    assert [answer.status_code for answer in (above_the_request, above, far_above, chunked)] == [202, 413, 413, 413]
    assert "MAX_UPLOAD_SIZE_BYTES" in above.json()["hint"]
    await run_of(working, key, above_the_request)


async def _endless() -> AsyncIterator[bytes]:
    yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
    for _ in range(1000):
        yield b"x" * 1000


BAD_FORMS = {
    "json": {"content": b"{}", "headers": {"Content-Type": "application/json"}},
    "nothing": {},
    "no-boundary": {"content": b"", "headers": {"Content-Type": "multipart/form-data"}},
    "no-file": {"files": {"kind": (None, "export")}},
    "other-part": {"files": {"data": ("x.csv", b"1")}},
    "two-files": {"files": [("file", ("a.csv", b"1")), ("file", ("b.csv", b"2"))]},
    "empty-file": {"files": {"file": ("x.csv", b"")}},
    "cut-short": {
        "content": b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\nabc',
        "headers": {"Content-Type": "multipart/form-data; boundary=b"},
    },
    "unknown-field": {"files": {"file": ("x.csv", b"1")}, "data": {"provider": "gcp"}},
    "unknown-kind": {"files": {"file": ("x.csv", b"1")}, "data": {"kind": "backup"}},
    "long-field": {"files": {"file": ("x.csv", b"1")}, "data": {"kind": "x" * 2000}},
    "hostile-zip": {"files": {"file": ("x.zip", zip_export({"../x.csv": b"1"}))}},
}


async def test_a_form_that_is_none_is_refused_and_starts_nothing(api: Api) -> None:
    key = await api.onboard("acme")
    answers = {name: await api.send("POST", "/files/acme/deepseek", key, **form) for name, form in BAD_FORMS.items()}
    runs = await api.send("GET", "/pipelines/runs", key)

    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(BAD_FORMS, 422)
    assert all(answer.headers["content-type"] == "application/problem+json" for answer in answers.values())
    assert answers["hostile-zip"].json()["code"] == "archive_refused"
    assert runs.json()["items"] == []


async def test_a_provider_without_an_export_is_not_there(api: Api) -> None:
    key = await api.onboard("acme")
    answers = [await upload(api, key, b"a\n", f"/files/acme/{name}") for name in ("openai", "nobody", "No-Name")]
    assert [answer.status_code for answer in answers] == [404, 404, 404]
