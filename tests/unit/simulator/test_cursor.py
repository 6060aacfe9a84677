"""The simulated Admin API: strict where the vendor is, and equal to its truth."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import httpx2
import pytest

from convergence.kit import jsontext
from convergence.kit.clock import ManualClock
from convergence.simulator import CursorWorld, FaultRule, Simulator, create_simulator_app

KEY = "crsr_test0123456789"
END_DAY = date(2026, 11, 20)
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
END = int(datetime(2026, 11, 20, tzinfo=UTC).timestamp()) * 1_000 - 1
START = END + 1 - 30 * 86_400_000
THIRTY_DAYS = {"startDate": START, "endDate": END}


def basic(text: str) -> dict[str, str]:
    return {"authorization": f"Basic {b64encode(text.encode()).decode()}"}


class Api:
    """Asks a simulator over ASGI, without a socket."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self._app = create_simulator_app(simulator)

    def ask(self, method: str, path: str, body: Any = None, headers: Any = None) -> httpx2.Response:
        return asyncio.run(self._ask(method, f"/cursor/teams/{path}", body, headers or basic(f"{KEY}:")))

    def post(self, path: str, **body: Any) -> Any:
        response = self.ask("POST", path, body)
        assert response.status_code == 200, response.text
        return jsontext.loads(response.content)

    def events(self, **body: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for page in range(1, 100):
            answer = self.post("filtered-usage-events", **{**THIRTY_DAYS, "pageSize": 500, **body, "page": page})
            found += answer["usageEvents"]
            if not answer["pagination"]["hasNextPage"]:
                return found
        raise AssertionError("it does not end")

    async def _ask(self, method: str, path: str, body: Any, headers: Any) -> httpx2.Response:
        transport = httpx2.ASGITransport(app=self._app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://simulator") as client:
            return await client.request(method, path, json=body, headers=headers)


@pytest.fixture
def world() -> CursorWorld:
    return CursorWorld(7, end_day=END_DAY, days=30, rows_per_day=30)


@pytest.fixture
def api(world: CursorWorld) -> Api:
    simulator = Simulator(clock=ManualClock(NOW))
    simulator.add_account(KEY, world, provider="cursor")
    return Api(simulator)


def charged(events: list[dict[str, Any]], *, chargeable: bool) -> Decimal:
    return (
        sum(
            (Decimal(str(event["chargedCents"])) for event in events if event["isChargeable"] == chargeable), Decimal(0)
        )
        / 100
    )


def test_events_are_the_truth_in_cents(api: Api) -> None:
    truth, events = api.simulator.truth(KEY), api.events()
    assert len(events) == sum(truth["rows"]["usage_events"].values())
    assert charged(events, chargeable=True) == truth["cost"]["total"]
    assert charged(events, chargeable=False) == truth["included"]["total"]
    assert {type(event["timestamp"]) for event in events} == {str}


def test_both_ends_of_a_range_are_inside(api: Api) -> None:
    moment = int(api.events()[10]["timestamp"])
    found = api.post("filtered-usage-events", startDate=moment, endDate=moment)
    assert {event["timestamp"] for event in found["usageEvents"]} == {str(moment)}


def test_pages_are_numbered_from_one_and_cut_the_same_list(api: Api) -> None:
    whole = api.events()
    second = api.post("filtered-usage-events", **THIRTY_DAYS, page=2, pageSize=10)
    assert second["usageEvents"] == whole[10:20]
    assert second["totalUsageEventsCount"] == len(whole)
    assert second["pagination"]["hasPreviousPage"] is True


def test_an_event_without_tokens_has_no_member_for_them(api: Api) -> None:
    without = [event for event in api.events() if not event["isTokenBasedCall"]]
    assert without
    assert not any("tokenUsage" in event or "cursorTokenFee" in event for event in without)


def test_a_service_account_can_be_asked_for(api: Api) -> None:
    identity = next(event["serviceAccountId"] for event in api.events() if "serviceAccountId" in event)
    found = api.events(serviceAccountId=identity)
    assert {event["userEmail"] for event in found} == {"agent-runner@example.com"}


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("filtered-usage-events", {"startDate": START - 86_400_000, "endDate": END}, "30 days"),
        ("daily-usage-data", {"startDate": START - 86_400_000, "endDate": END}, "30 days"),
        ("filtered-usage-events", {"startDate": END, "endDate": START}, "endDate"),
        ("filtered-usage-events", {"startDate": "2026-11-01"}, "startDate"),
        ("filtered-usage-events", {"page": 0}, "page"),
        ("filtered-usage-events", {"pageSize": 1_001}, "pageSize"),
        ("spend", {"startDate": START}, "startDate"),
    ],
)
def test_a_wrong_body_is_a_400_that_says_what(api: Api, path: str, body: Any, named: str) -> None:
    response = api.ask("POST", path, body)
    assert response.status_code == 400
    assert response.json()["error"] == "Bad Request"
    assert named in response.json()["message"]


@pytest.mark.parametrize(
    "headers", [basic(f"{KEY}:x"), basic("crsr_wrong:"), basic(KEY), {"authorization": f"Bearer {KEY}"}]
)
def test_the_key_is_a_user_name_with_an_empty_password(api: Api, headers: dict[str, str]) -> None:
    assert api.ask("GET", "members").status_code == 200
    response = api.ask("GET", "members", headers=headers)
    assert (response.status_code, response.json()) == (401, {"error": "Unauthorized", "message": "Invalid API key"})


def test_the_twenty_first_request_of_a_minute_is_too_many_and_events_have_their_own_count(api: Api) -> None:
    answers = [api.ask("GET", "members").status_code for _ in range(21)]
    refused = api.ask("POST", "spend", {})
    events = [api.ask("POST", "filtered-usage-events", {"pageSize": 1}).status_code for _ in range(61)]
    assert answers == [200] * 20 + [429]
    assert (refused.json()["error"], "retry-after" in refused.headers) == ("Too Many Requests", False)
    assert events == [200] * 60 + [429]


def test_spend_begins_with_the_cycle_and_holds_what_is_included_apart(api: Api) -> None:
    answer, cycle = api.post("spend"), api.simulator.truth(KEY)["cycle"]
    start = datetime.fromtimestamp(answer["subscriptionCycleStart"] / 1_000, UTC)
    assert start == cycle["start"] == datetime(2026, 11, 14, 9, tzinfo=UTC)
    for member in answer["teamMemberSpend"]:
        spent, included = (cycle[name].get(member["email"], Decimal(0)) for name in ("cost", "included"))
        assert Decimal(str(member["spendCents"])) / 100 == spent
        assert Decimal(str(member["overallSpendCents"])) / 100 == spent + included


def test_without_pages_only_the_active_are_told_and_the_moment_carries_the_time_of_day(api: Api) -> None:
    window = {"startDate": START + 3_600_000, "endDate": END}
    active = api.post("daily-usage-data", **window)
    everybody = api.post("daily-usage-data", **window, page=1, pageSize=1_000)
    assert {row["isActive"] for row in active["data"]} == {True}
    assert {row["isActive"] for row in everybody["data"]} == {True, False}
    assert {row["date"] % 86_400_000 for row in everybody["data"]} == {3_600_000}


def test_a_removed_member_is_still_listed(api: Api) -> None:
    members = jsontext.loads(api.ask("GET", "members").content)["teamMembers"]
    assert [member["role"] for member in members if member["isRemoved"]] == ["removed"]


def test_a_fault_has_the_vendor_s_shape_and_strikes_one_key_only(api: Api) -> None:
    api.simulator.faults.add(FaultRule(kind="status", status=503, key="crsr_another"))
    assert api.ask("GET", "members").status_code == 200
    api.simulator.faults.add(FaultRule(kind="status", status=503, key=KEY))
    response = api.ask("GET", "members")
    assert (response.status_code, response.json()["error"]) == (503, "Service Unavailable")


@pytest.mark.parametrize("kind", ["restate", "remove", "clear"])
def test_events_and_truth_follow_a_revision(api: Api, world: CursorWorld, kind: str) -> None:
    before = api.simulator.truth(KEY)["cost"]["total"]
    world.revise(kind, [date(2026, 11, 17), date(2026, 11, 18)], share=0.5)
    assert charged(api.events(), chargeable=True) == api.simulator.truth(KEY)["cost"]["total"] != before
    world.revise("restore", [date(2026, 11, 17), date(2026, 11, 18)])
    assert api.simulator.truth(KEY)["cost"]["total"] == before


def test_late_events_are_told_later() -> None:
    world = CursorWorld(7, end_day=END_DAY, days=2, rows_per_day=30, late_hours=30)
    early, late = (len(world.events(date(2026, 11, 19), datetime(2026, 11, day, 12, tzinfo=UTC))) for day in (20, 23))
    assert early < late


def test_equal_seeds_make_equal_worlds() -> None:
    one, two, other = (CursorWorld(seed, end_day=END_DAY, days=3, rows_per_day=10).truth(NOW) for seed in (7, 7, 8))
    assert one == two != other
