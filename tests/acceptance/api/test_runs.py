from __future__ import annotations

import asyncio
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from .conftest import ADMIN_KEY, FIRST, LAST, ROOT, TODAY, Api, days, open_api

RUN = "/pipelines/run/openai-usage-cost"
BACKFILL = "/pipelines/backfill/acme/openai/usage_cost"


@pytest.fixture
async def key(api: Api) -> str:
    return await api.onboard("acme", "PROFESSIONAL")


async def _load(api: Api, key: str) -> dict[str, Any]:
    """A run that has loaded all of the provider's days."""
    setup = await api.send("POST", "/integrations/acme/openai/setup", key, json={"credential": ADMIN_KEY})
    setup.raise_for_status()
    accepted = await api.send("POST", RUN, key, json=days())
    return await api.wait_for(key, accepted.json()["pipeline_logging_id"])


@pytest.mark.parametrize(
    "path",
    [
        RUN,
        "/pipelines/run/cost_billing",
        "/pipelines/run/acme/openai/usage_cost",
        "/pipelines/run/acme/openai/subscriptions",
    ],
)
async def test_a_run_is_accepted_by_path_id_or_file_name(api: Api, key: str, path: str) -> None:
    answer = await api.send("POST", path, key, json={"date": LAST.isoformat()})

    assert (answer.status_code, answer.json()["status"], answer.json()["org_slug"]) == (202, "PENDING", "acme")
    assert set(answer.json()) == {"pipeline_logging_id", "pipeline_id", "org_slug", "status"}


async def test_a_file_name_that_two_providers_use_is_a_conflict_that_names_both(api: Api, key: str) -> None:
    answer = await api.send("POST", "/pipelines/run/usage_cost", key, json={})

    assert answer.status_code == 409
    assert {"anthropic/usage_cost", "openai/usage_cost"} <= set(answer.json()["candidates"])


@pytest.mark.parametrize("arguments", [{}, {"json": {}}, {"json": None}, {"content": b""}])
async def test_without_a_date_it_is_yesterday(api: Api, key: str, arguments: dict[str, Any]) -> None:
    accepted = (await api.send("POST", RUN, key, **arguments)).json()
    run = (await api.send("GET", f"/pipelines/runs/{accepted['pipeline_logging_id']}", key)).json()

    assert (run["start_date"], run["end_date"]) == (LAST.isoformat(), LAST.isoformat())


@pytest.mark.parametrize(
    "body",
    [
        {"date": (TODAY + timedelta(days=2)).isoformat()},
        {"date": LAST.isoformat(), "start_date": FIRST.isoformat()},
        {"start_date": FIRST.isoformat()},
        {"end_date": LAST.isoformat()},
        days(LAST, FIRST),
        days(LAST - timedelta(days=366), LAST),
        {"date": "yesterday"},
        {"date": "2026-02-30"},
        {"date": "20261120"} | {"date": 20261120},
        {"date": f"{LAST}T00:00:01"},
        {"parameters": []},
        {"parameters": {"api_key": "x"}},
        {"parameters": {"a": "x" * 70_000}},
        {"days": 3},
    ],
)
async def test_what_cannot_be_run_is_refused_and_not_counted(api: Api, key: str, body: dict[str, Any]) -> None:
    answer = await api.send("POST", RUN, key, json=body)
    usage = (await api.send("GET", "/organizations/acme", key)).json()["usage"]

    assert (answer.status_code, usage["pipelines_today"]) == (422, 0)


async def test_366_days_and_today_are_allowed(api: Api, key: str) -> None:
    answers = [
        await api.send("POST", RUN, key, json=days(TODAY - timedelta(days=365), TODAY)),
        await api.send("POST", RUN, key, json={"date": TODAY.isoformat()}),
    ]

    assert [answer.status_code for answer in answers] == [202, 202]


@pytest.mark.parametrize(
    "path",
    [
        "/pipelines/run/nothing",
        "/pipelines/run/acme/openai/nothing",
        "/pipelines/run/acme/nothing/usage_cost",
        "/pipelines/run/acme/openai/usage/cost",
        "/pipelines/run/onetime-bootstrap",
        "/pipelines/run/acme/platform/bootstrap",
        "/pipelines/run/acme/integrations/openai/setup",
        "/pipelines/run/acme/openai/..%2F..%2Fplatform%2Fbootstrap",
        "/pipelines/run/acme/openai/%2e%2e",
        "/pipelines/run/%00",
        "/pipelines/run/*",
        "/pipelines/run/acme/openai/usage_cost.yml",
    ],
)
async def test_what_is_no_pipeline_is_not_found(api: Api, key: str, path: str) -> None:
    answer = await api.send("POST", path, key, json={})

    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


async def test_the_same_idempotency_key_is_the_same_run(api: Api, key: str) -> None:
    headers = {"Idempotency-Key": "monday"}
    answers = await asyncio.gather(
        *(api.send("POST", RUN, key, json={"date": LAST.isoformat()}, headers=headers) for _ in range(5))
    )
    other = await api.send("POST", RUN, key, json={"date": FIRST.isoformat()}, headers=headers)
    usage = (await api.send("GET", "/organizations/acme", key)).json()["usage"]

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["pipeline_logging_id"] for answer in answers}) == 1
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_mismatch")
    assert usage["pipelines_today"] == 1


async def test_an_idempotency_key_is_the_organizations_own(api: Api, key: str) -> None:
    rival = await api.onboard("rival")
    headers = {"Idempotency-Key": "monday"}
    answers = [await api.send("POST", RUN, one, json={}, headers=headers) for one in (key, rival)]

    assert answers[0].json()["pipeline_logging_id"] != answers[1].json()["pipeline_logging_id"]


async def test_an_idempotency_key_survives_a_restart(folder: Path) -> None:
    headers = {"Idempotency-Key": "monday"}
    async with open_api(folder) as api:
        key = await api.onboard("acme")
        first = await api.send("POST", RUN, key, json={}, headers=headers)
    async with open_api(folder) as api:
        second = await api.send("POST", RUN, key, json={}, headers=headers)

    assert first.json()["pipeline_logging_id"] == second.json()["pipeline_logging_id"]


@pytest.mark.parametrize("value", ["", " ", "a b", "x" * 256])
async def test_an_idempotency_key_that_cannot_be(api: Api, key: str, value: str) -> None:
    answer = await api.send("POST", RUN, key, json={}, headers={"Idempotency-Key": value})

    assert answer.status_code == 422


async def test_over_the_concurrency_of_the_plan_is_429(api: Api, key: str) -> None:
    answers = [await api.send("POST", RUN, key, json={"date": LAST.isoformat()}) for _ in range(4)]

    assert [answer.status_code for answer in answers] == [202, 202, 202, 429]
    assert answers[3].json()["code"] == "quota_concurrency"
    assert int(answers[3].headers["Retry-After"]) >= 1


async def test_of_many_at_once_the_plan_lets_exactly_as_many_in(api: Api) -> None:
    key = await api.onboard("starter")
    answers = await asyncio.gather(*(api.send("POST", RUN, key, json={}) for _ in range(20)))

    assert sorted(answer.status_code for answer in answers) == [202] + [429] * 19


async def test_over_the_runs_of_the_day_is_429(api: Api) -> None:
    key = await api.onboard("starter")
    for _ in range(6):
        accepted = await api.send("POST", RUN, key, json={})
        await api.send("POST", f"/pipelines/runs/{accepted.json()['pipeline_logging_id']}/cancel", key)
    answer = await api.send("POST", RUN, key, json={})

    assert (answer.status_code, answer.json()["code"]) == (429, "quota_daily")
    assert int(answer.headers["Retry-After"]) <= 24 * 3600


async def test_a_backfill_counts_once_and_its_chunks_wait(api: Api) -> None:
    key = await api.onboard("acme")
    first = TODAY - timedelta(days=20)
    answer = await api.send("POST", BACKFILL, key, json={**days(first, LAST), "chunk_days": 7})
    usage = (await api.send("GET", "/organizations/acme", key)).json()["usage"]

    assert answer.status_code == 202
    assert [(run["start_date"], run["end_date"]) for run in answer.json()["runs"]] == [
        (day.isoformat(), min(day + timedelta(days=6), LAST).isoformat()) for day in _every(first, LAST, 7)
    ]
    assert {run["status"] for run in answer.json()["runs"]} == {"PENDING"}
    assert (usage["pipelines_today"], usage["pipelines_running"]) == (1, 0)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"start_date": FIRST.isoformat()},
        {**days(), "chunk_days": 0},
        {**days(), "chunk_days": "7"},
        days(LAST, FIRST),
    ],
)
async def test_a_backfill_that_cannot_be(api: Api, key: str, body: dict[str, Any]) -> None:
    assert (await api.send("POST", BACKFILL, key, json=body)).status_code == 422


async def test_a_waiting_run_is_cancelled_at_once_and_only_once(api: Api, key: str) -> None:
    run_id = (await api.send("POST", RUN, key, json={})).json()["pipeline_logging_id"]
    first = await api.send("POST", f"/pipelines/runs/{run_id}/cancel", key)
    second = await api.send("POST", f"/pipelines/runs/{run_id}/cancel", key)

    assert (first.status_code, first.json()["status"]) == (200, "CANCELLED")
    assert (second.status_code, second.json()["code"]) == (409, "run_ended")


async def test_runs_of_another_organization_are_not_there(api: Api, key: str) -> None:
    rival = await api.onboard("rival")
    run_id = (await api.send("POST", RUN, key, json={})).json()["pipeline_logging_id"]
    answers = [
        await api.send("GET", f"/pipelines/runs/{run_id}", rival),
        await api.send("POST", f"/pipelines/runs/{run_id}/cancel", rival),
        await api.send("GET", "/pipelines/runs", rival),
    ]

    assert [answer.status_code for answer in answers] == [404, 404, 200]
    assert answers[2].json() == {"items": [], "next_cursor": None}


async def test_runs_are_listed_page_by_page_newest_first(api: Api, key: str) -> None:
    made = [(await api.send("POST", RUN, key, json={})).json()["pipeline_logging_id"] for _ in range(3)]
    found, cursor = [], None
    while True:
        params = {"limit": 2, "cursor": cursor} if cursor else {"limit": 2}
        page = (await api.send("GET", "/pipelines/runs", key, params=params)).json()
        found += [run["pipeline_logging_id"] for run in page["items"]]
        if (cursor := page["next_cursor"]) is None:
            break

    assert found == made[::-1]


async def test_runs_are_listed_by_status_and_pipeline(api: Api, key: str) -> None:
    run_id = (await api.send("POST", RUN, key, json={})).json()["pipeline_logging_id"]
    await api.send("POST", f"/pipelines/runs/{run_id}/cancel", key)
    await api.send("POST", "/pipelines/run/openai-subscriptions", key, json={})
    asked = ({"status": "CANCELLED"}, {"pipeline_id": "openai-subscriptions"}, {"status": "RUNNING"})
    counts = [len((await api.send("GET", "/pipelines/runs", key, params=one)).json()["items"]) for one in asked]

    assert counts == [1, 1, 0]


@pytest.mark.parametrize(
    "params",
    [
        {"status": "DONE"},
        {"limit": 0},
        {"limit": 1001},
        {"limit": "many"},
        {"cursor": "x"},
        {"cursor": "%%%"},
        {"cursor": "bm90IG9uZQ=="},
        {"cursor": "é"},
        {"unheard_of": "1"},
    ],
)
async def test_a_list_that_cannot_be(api: Api, key: str, params: dict[str, Any]) -> None:
    assert (await api.send("GET", "/pipelines/runs", key, params=params)).status_code == 422


async def test_a_run_that_ended_shows_its_steps(working_api: Api) -> None:
    key = await working_api.onboard("acme")
    run = await _load(working_api, key)

    assert (run["status"], run["trigger_type"], run["error_message"]) == ("COMPLETED", "api", None)
    assert run["trigger_by"]
    assert run["trigger_by"] in key
    assert run["start_time"].endswith("Z")
    assert run["duration_ms"] > 0
    assert run["worker_instance"]
    assert run["config_version"]
    assert {step["status"] for step in run["steps"]} == {"COMPLETED"}
    assert sum(step["rows_processed"] for step in run["steps"]) > 0


async def test_a_run_without_a_credential_fails_and_says_what_to_do(working_api: Api) -> None:
    key = await working_api.onboard("acme")
    accepted = await working_api.send("POST", RUN, key, json={})
    run = await working_api.wait_for(key, accepted.json()["pipeline_logging_id"])

    assert (run["status"], run["error_code"]) == ("FAILED", "integration_missing")
    assert "/integrations/acme/openai/setup" in run["error_message"]


async def test_what_a_completed_run_wrote_is_visible_at_once_and_has_no_gaps(working_api: Api) -> None:
    key = await working_api.onboard("acme")
    await _load(working_api, key)
    rows = await working_api.send(
        "POST", "/query/acme", key, json={"sql": "SELECT DISTINCT usage_date FROM openai_usage_daily_raw ORDER BY 1"}
    )
    gaps = (await working_api.send("GET", "/pipelines/gaps/acme", key, params=days())).json()

    assert [row["usage_date"] for row in rows.json()["rows"]] == [day.isoformat() for day in _every(FIRST, LAST, 1)]
    assert gaps["items"]
    assert not any(gap["missing"] for gap in gaps["items"])


async def test_pipelines_are_listed_without_the_platforms_own(api: Api, key: str) -> None:
    items = (await api.send("GET", "/pipelines", key)).json()["items"]
    by_id = {item["pipeline_id"]: item for item in items}

    assert {"openai-usage-cost", "openai-subscriptions"} <= set(by_id)
    assert not {"onetime-bootstrap", "integration-openai-setup"} & set(by_id)
    assert by_id["openai-usage-cost"]["steps"]


async def test_a_tick_is_idempotent(api: Api) -> None:
    answers = [await api.send("POST", "/scheduler/tick", headers=ROOT) for _ in range(2)]

    assert [answer.json() for answer in answers] == [{"due": 0, "enqueued": 0, "deferred": 0}] * 2


def _every(first: date, last: date, step: int) -> list[date]:
    return [first + timedelta(days=offset) for offset in range(0, (last - first).days + 1, step)]
