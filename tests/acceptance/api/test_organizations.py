from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from .conftest import ROOT, Api, open_api

BODY = {"org_slug": "acme", "company_name": "Acme", "admin_email": "ann@acme.example"}


async def test_bootstrap_is_idempotent_and_needs_no_body(api: Api) -> None:
    first = await api.send("POST", "/admin/bootstrap", headers=ROOT)
    second = await api.send("POST", "/admin/bootstrap", headers=ROOT, json={"force_recreate_dataset": False})

    assert [answer.status_code for answer in (first, second)] == [200, 200]
    assert (second.json()["status"], second.json()["dataset"], second.json()["tables_created"]) == (
        "SUCCESS",
        "organizations",
        [],
    )
    assert len(second.json()["tables_existing"]) == 11


async def test_a_new_dataset_has_all_tables(tmp_path) -> None:
    async with open_api(tmp_path) as api:
        answer = await api.send("POST", "/admin/bootstrap", headers=ROOT, json={})

    assert len(answer.json()["tables_created"]) == 11


async def test_force_needs_a_boolean(api: Api) -> None:
    answer = await api.send("POST", "/admin/bootstrap", headers=ROOT, json={"force_recreate_dataset": "yes"})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["location"] == "body.force_recreate_dataset"


async def test_onboarding_before_bootstrap_says_what_to_do(tmp_path) -> None:
    async with open_api(tmp_path) as api:
        answer = await api.send("POST", "/organizations/onboard", headers=ROOT, json=BODY)

    assert (answer.status_code, answer.json()["code"]) == (409, "not_bootstrapped")
    assert "bootstrap" in answer.json()["hint"]


async def test_a_dryrun_creates_nothing(api: Api) -> None:
    first = await api.send("POST", "/organizations/dryrun", headers=ROOT, json=BODY)
    second = await api.send("POST", "/organizations/dryrun", headers=ROOT, json=BODY)

    assert first.json()["ready_for_onboarding"] is second.json()["ready_for_onboarding"] is True
    assert {"name", "passed", "message"} == set(first.json()["checks"][0])


async def test_a_dryrun_names_every_failed_check(api: Api) -> None:
    body = {"org_slug": "has-hyphen", "company_name": " ", "admin_email": "nobody", "subscription_plan": "GOLD"}
    answer = await api.send("POST", "/organizations/dryrun", headers=ROOT, json=body)

    assert (answer.status_code, answer.json()["ready_for_onboarding"]) == (200, False)
    assert sum(not check["passed"] for check in answer.json()["checks"]) == 4


async def test_onboarding_shows_the_key_once(api: Api) -> None:
    made = await api.send("POST", "/organizations/onboard", headers=ROOT, json=BODY)
    key = made.json()["api_key"]
    shown = await api.send("GET", "/organizations/acme", key)
    keys = await api.send("GET", "/organizations/acme/api-keys", key)
    runs = await api.send("GET", "/pipelines/runs", key)

    assert made.status_code == 201
    assert made.json()["dataset_id"] == "acme_dev"
    assert made.json()["dataset_created"] is True
    assert made.json()["subscription_plan"] == "STARTER"
    assert key.startswith("acme_api_")
    assert not any(key in answer.text for answer in (shown, keys, runs))


@pytest.mark.parametrize("slug", ["acme", "ACME", "Acme"])
async def test_a_slug_is_taken_in_any_case(api: Api, slug: str) -> None:
    await api.onboard("acme")
    answer = await api.send("POST", "/organizations/onboard", headers=ROOT, json={**BODY, "org_slug": slug})

    assert answer.status_code == 409


async def test_of_many_at_once_exactly_one_wins(api: Api) -> None:
    answers = await asyncio.gather(
        *(api.send("POST", "/organizations/onboard", headers=ROOT, json=BODY) for _ in range(8))
    )

    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("org_slug", "a"),
        ("org_slug", "has-hyphen"),
        ("org_slug", "acme\n"),
        ("org_slug", "асме"),
        ("org_slug", "organizations"),
        ("org_slug", "a" * 51),
        ("org_slug", 7),
        ("admin_email", "nobody"),
        ("subscription_plan", "GOLD"),
        ("company_name", ""),
        ("api_key", "mine"),
        ("plan", "SCALE"),
    ],
)
async def test_onboarding_refuses(api: Api, field: str, value: object) -> None:
    answer = await api.send("POST", "/organizations/onboard", headers=ROOT, json={**BODY, field: value})

    assert answer.status_code == 422


async def test_an_organization_with_its_limits_and_usage(api: Api) -> None:
    key = await api.onboard("acme", "SCALE")
    answer = (await api.send("GET", "/organizations/acme", key)).json()

    assert answer["limits"] == {
        "members": 11,
        "providers": 10,
        "pipelines_per_day": 100,
        "pipelines_per_month": 3000,
        "concurrent_pipelines": 10,
    }
    assert answer["usage"] == {"pipelines_today": 0, "pipelines_this_month": 0, "pipelines_running": 0}
    assert (answer["subscription_status"], answer["price_per_month"]) == ("ACTIVE", "199")
    assert answer["created_at"].endswith("Z")


async def test_the_root_key_sees_every_organization_that_is_there(api: Api) -> None:
    await api.onboard("acme")
    there = await api.send("GET", "/organizations/acme", headers=ROOT)
    absent = await api.send("GET", "/organizations/nobody", headers=ROOT)

    assert (there.status_code, absent.status_code) == (200, 404)


async def test_a_key_has_the_scopes_it_was_given_and_no_more(api: Api) -> None:
    key = await api.onboard("acme")
    body = {"name": "dashboard", "scopes": ["costs:read"], "expires_at": "2099-01-01T00:00:00Z"}
    made = await api.send("POST", "/organizations/acme/api-keys", key, json=body)
    costs = await api.send("GET", "/costs/acme", made.json()["api_key"])
    query = await api.send("POST", "/query/acme", made.json()["api_key"], json={"sql": "SELECT 1"})

    assert (made.status_code, made.json()["scopes"], made.json()["expires_at"]) == (
        201,
        ["costs:read"],
        "2099-01-01T00:00:00Z",
    )
    assert (costs.status_code, query.status_code) == (200, 403)


async def test_a_key_cannot_make_a_stronger_one(api: Api) -> None:
    key = await api.onboard("acme")
    body = {"name": "keeper", "scopes": ["keys:write"]}
    keeper = (await api.send("POST", "/organizations/acme/api-keys", key, json=body)).json()["api_key"]
    stronger = {"name": "more", "scopes": ["keys:write", "query:read"]}
    answer = await api.send("POST", "/organizations/acme/api-keys", keeper, json=stronger)

    assert answer.status_code == 403
    assert "query:read" in answer.json()["detail"]


@pytest.mark.parametrize(
    "body",
    [
        {"name": ""},
        {"name": "k", "scopes": []},
        {"name": "k", "scopes": ["everything"]},
        {"name": "k", "scopes": "costs:read"},
        {"name": "k", "expires_at": "2020-01-01T00:00:00Z"},
        {"name": "k", "expires_at": "2099-01-01T00:00:00"},
        {"name": "k", "expires_at": 4_000_000_000},
        {"name": "k", "org_slug": "rival"},
    ],
)
async def test_a_key_that_cannot_be(api: Api, body: dict[str, object]) -> None:
    key = await api.onboard("acme")
    answer = await api.send("POST", "/organizations/acme/api-keys", key, json=body)

    assert answer.status_code == 422


async def test_a_revoked_key_is_refused_at_once_and_stays_listed(api: Api) -> None:
    key = await api.onboard("acme")
    made = (await api.send("POST", "/organizations/acme/api-keys", headers=ROOT, json={"name": "ci"})).json()
    before = await api.send("GET", "/pipelines", made["api_key"])
    revoked = await api.send("DELETE", f"/organizations/acme/api-keys/{made['api_key_id']}", key)
    after = await api.send("GET", "/pipelines", made["api_key"])
    items = (await api.send("GET", "/organizations/acme/api-keys", key)).json()["items"]

    assert (before.status_code, revoked.status_code, after.status_code) == (200, 200, 401)
    assert [item["revoked_at"] is not None for item in items] == [False, True]


async def test_the_key_of_another_organization_cannot_be_revoked(api: Api) -> None:
    await api.onboard("acme")
    rival = await api.onboard("rival")
    victim = (await api.send("GET", "/organizations/acme/api-keys", headers=ROOT)).json()["items"][0]["api_key_id"]
    answer = await api.send("DELETE", f"/organizations/rival/api-keys/{victim}", rival)
    items = (await api.send("GET", "/organizations/acme/api-keys", headers=ROOT)).json()["items"]

    assert (answer.status_code, items[0]["revoked_at"]) == (404, None)


async def test_an_expired_key_is_refused(api: Api) -> None:
    await api.onboard("acme")
    soon = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    body = {"name": "short", "expires_at": soon}
    made = (await api.send("POST", "/organizations/acme/api-keys", headers=ROOT, json=body)).json()
    before = await api.send("GET", "/pipelines", made["api_key"])
    await asyncio.sleep(1.1)
    after = await api.send("GET", "/pipelines", made["api_key"])

    assert (before.status_code, after.status_code) == (200, 401)
