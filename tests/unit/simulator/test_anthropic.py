"""The simulated Admin API: strict where the vendor is, and equal to its truth."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import httpx2
import pytest

from convergence.kit import jsontext
from convergence.kit.clock import ManualClock
from convergence.simulator import AnthropicWorld, FaultRule, Simulator, create_simulator_app, rate_limited

KEY = "sk-ant-admin01-test-0123456789"
END_DAY = date(2026, 11, 20)
HEADERS = {"x-api-key": KEY, "anthropic-version": "2023-06-01"}
THIRTY_DAYS = [("starting_at", "2026-10-21T00:00:00Z"), ("ending_at", "2026-11-20T00:00:00Z")]
GROUPED = [("group_by[]", "workspace_id"), ("group_by[]", "description")]


class Api:
    """Asks a simulator over ASGI, without a socket."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self._app = create_simulator_app(simulator)

    def get(self, path: str, params: Any = None, headers: Any = None) -> httpx2.Response:
        return asyncio.run(self._get(f"/anthropic/v1/organizations/{path}", params, headers or HEADERS))

    def pages(self, path: str, params: Any) -> Iterator[dict[str, Any]]:
        page: list[tuple[str, str]] = []
        while True:
            response = self.get(path, [*params, *page])
            assert response.status_code == 200, response.text
            found = jsontext.loads(response.content)
            yield found
            if not found["has_more"]:
                return
            page = [("page", found["next_page"])]

    def rows(self, path: str, params: Any) -> list[dict[str, Any]]:
        return [row for page in self.pages(path, params) for bucket in page["data"] for row in bucket["results"]]

    async def _get(self, path: str, params: Any, headers: Any) -> httpx2.Response:
        transport = httpx2.ASGITransport(app=self._app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://simulator") as client:
            return await client.get(path, params=params, headers=headers)


@pytest.fixture
def world() -> AnthropicWorld:
    return AnthropicWorld(7, end_day=END_DAY, days=30, rows_per_day=30)


@pytest.fixture
def api(world: AnthropicWorld) -> Api:
    simulator = Simulator(clock=ManualClock(datetime(2026, 11, 20, 12, tzinfo=UTC)))
    simulator.add_account(KEY, world, provider="anthropic")
    return Api(simulator)


def truth(api: Api) -> dict[str, Any]:
    found: dict[str, Any] = api.simulator.truth(KEY)
    return found


def test_reported_amounts_are_the_truth_in_cents(api: Api) -> None:
    rows = api.rows("cost_report", [*THIRTY_DAYS, *GROUPED])
    assert {type(row["amount"]) for row in rows} == {str}
    assert sum(Decimal(row["amount"]) for row in rows) / 100 == truth(api)["cost"]["total"]


def test_an_ungrouped_report_has_the_same_sum_and_says_nothing_else(api: Api) -> None:
    rows = api.rows("cost_report", THIRTY_DAYS)
    assert sum(Decimal(row["amount"]) for row in rows) / 100 == truth(api)["cost"]["total"]
    assert {row["description"] for row in rows} == {None}
    assert {row["model"] for row in rows} == {None}


def test_usage_is_the_truth_under_any_grouping(api: Api) -> None:
    for groups in ((), ("model",), ("workspace_id", "api_key_id", "model", "service_tier", "context_window")):
        rows = api.rows("usage_report/messages", [*THIRTY_DAYS, *(("group_by[]", name) for name in groups)])
        assert sum(row["output_tokens"] for row in rows) == truth(api)["usage"]["output_tokens"]
        assert (
            sum(row["cache_creation"]["ephemeral_1h_input_tokens"] for row in rows)
            == (truth(api)["usage"]["cache_creation.ephemeral_1h_input_tokens"])
        )


def test_hours_of_a_day_add_up_to_it(api: Api) -> None:
    day = [("starting_at", "2026-11-18T00:00:00Z"), ("ending_at", "2026-11-19T00:00:00Z")]
    whole = api.rows("usage_report/messages", day)
    hours = api.rows("usage_report/messages", [*day, ("bucket_width", "1h")])
    assert sum(row["output_tokens"] for row in hours) == sum(row["output_tokens"] for row in whole) > 0


def test_a_page_has_seven_buckets_unless_more_are_asked_for(api: Api) -> None:
    default = [len(page["data"]) for page in api.pages("cost_report", [*THIRTY_DAYS, *GROUPED])]
    most = [len(page["data"]) for page in api.pages("cost_report", [*THIRTY_DAYS, *GROUPED, ("limit", "31")])]
    assert (default, most) == ([7, 7, 7, 7, 2], [30])


def test_days_without_usage_are_there_and_empty(api: Api) -> None:
    buckets = [bucket for page in api.pages("usage_report/messages", THIRTY_DAYS) for bucket in page["data"]]
    assert len(buckets) == 30
    assert any(bucket["results"] == [] for bucket in buckets)


@pytest.mark.parametrize(
    ("path", "params", "named"),
    [
        ("cost_report", [], "starting_at"),
        ("cost_report", [("starting_at", "yesterday")], "starting_at"),
        ("cost_report", [*THIRTY_DAYS, ("limit", "32")], "limit"),
        ("cost_report", [*THIRTY_DAYS, ("bucket_width", "1h")], "bucket_width"),
        ("cost_report", [*THIRTY_DAYS, ("group_by[]", "api_key_id")], "group_by[]"),
        ("cost_report", [*THIRTY_DAYS, ("group_by", "description")], "group_by"),
        ("cost_report", [*THIRTY_DAYS, ("page", "page_nonsense")], "page"),
        ("cost_report", [THIRTY_DAYS[1], ("starting_at", "2026-12-01T00:00:00Z")], "ending_at"),
        (
            "usage_report/messages",
            [
                *THIRTY_DAYS,
                *(
                    ("group_by[]", name)
                    for name in (
                        "workspace_id",
                        "api_key_id",
                        "model",
                        "service_tier",
                        "context_window",
                        "inference_geo",
                    )
                ),
            ],
            "group_by[]",
        ),
        ("usage_report/claude_code", [("starting_at", "2026-11-18T00:00:00Z")], "starting_at"),
        ("usage_report/claude_code", [("starting_at", "2026-11-18"), ("ending_at", "2026-11-19")], "ending_at"),
        ("usage_report/claude_code", [("starting_at", "2026-11-18"), ("limit", "1001")], "limit"),
        ("api_keys", [("after_id", "apikey_unknown")], "after_id"),
        ("workspaces", [("include_archived", "maybe")], "include_archived"),
    ],
)
def test_a_wrong_parameter_is_a_400_that_names_it(api: Api, path: str, params: Any, named: str) -> None:
    response = api.get(path, params)
    body = jsontext.loads(response.content)
    assert (response.status_code, body["type"], body["error"]["type"]) == (400, "error", "invalid_request_error")
    assert body["error"]["message"].startswith(f"{named}:")
    assert body["request_id"].startswith("req_")


def test_a_cursor_holds_for_its_own_parameters_only(api: Api) -> None:
    first = next(api.pages("cost_report", [*THIRTY_DAYS, *GROUPED]))
    other = api.get("cost_report", [*THIRTY_DAYS, ("page", first["next_page"])])
    assert (first["has_more"], first["next_page"][:5], other.status_code) == (True, "page_", 400)


@pytest.mark.parametrize(
    ("headers", "status", "kind"),
    [
        ({"anthropic-version": "2023-06-01"}, 401, "authentication_error"),
        ({"x-api-key": "sk-ant-api03-wrong", "anthropic-version": "2023-06-01"}, 401, "authentication_error"),
        ({"authorization": f"Bearer {KEY}", "anthropic-version": "2023-06-01"}, 401, "authentication_error"),
        ({"x-api-key": KEY}, 400, "invalid_request_error"),
    ],
)
def test_who_may_ask(api: Api, headers: Any, status: int, kind: str) -> None:
    response = api.get("me", headers=headers)
    assert (response.status_code, jsontext.loads(response.content)["error"]["type"]) == (status, kind)


def test_the_default_workspace_is_in_no_list_and_in_the_costs(api: Api) -> None:
    listed = jsontext.loads(api.get("workspaces", {"include_archived": "true"}).content)["data"]
    rows = api.rows("cost_report", [*THIRTY_DAYS, *GROUPED])
    assert None in {row["workspace_id"] for row in rows}
    assert {row["workspace_id"] for row in rows} - {None} <= {item["id"] for item in listed}


def test_lists_are_paged_by_the_last_id(api: Api) -> None:
    whole = jsontext.loads(api.get("api_keys", {"limit": 1000}).content)
    first = jsontext.loads(api.get("api_keys", {"limit": 10}).content)
    second = jsontext.loads(api.get("api_keys", {"limit": 1000, "after_id": first["last_id"]}).content)
    assert first["data"] + second["data"] == whole["data"]
    assert (first["has_more"], second["has_more"]) == (True, False)


def test_claude_code_of_a_day_is_paged_by_records(api: Api) -> None:
    day = ("starting_at", "2026-11-18")
    whole = next(api.pages("usage_report/claude_code", [day, ("limit", "1000")]))["data"]
    paged = [item for page in api.pages("usage_report/claude_code", [day, ("limit", "4")]) for item in page["data"]]
    assert paged == whole
    assert len(whole) > 8


@pytest.mark.parametrize(
    ("rule", "kind"),
    [
        (rate_limited(retry_after=3), "rate_limit_error"),
        (FaultRule(kind="status", status=529), "overloaded_error"),
        (FaultRule(kind="status", status=500), "api_error"),
    ],
)
def test_a_fault_has_the_vendor_s_shape(api: Api, rule: FaultRule, kind: str) -> None:
    api.simulator.faults.add(rule)
    response = api.get("me")
    body = jsontext.loads(response.content)
    assert response.status_code == rule.status
    assert (body["type"], body["request_id"][:4]) == ("error", "req_")
    assert body["error"]["type"] == kind


def test_a_rule_strikes_one_key_only(api: Api) -> None:
    api.simulator.faults.add(FaultRule(kind="status", status=529, key="sk-ant-admin01-another"))
    assert api.get("me").status_code == 200


@pytest.mark.parametrize("kind", ["restate", "remove", "clear"])
def test_costs_and_truth_follow_a_revision(api: Api, world: AnthropicWorld, kind: str) -> None:
    before = truth(api)["cost"]["total"]
    world.revise(kind, [date(2026, 11, 17), date(2026, 11, 18)], share=0.5)
    rows = api.rows("cost_report", [*THIRTY_DAYS, *GROUPED])
    assert sum(Decimal(row["amount"]) for row in rows) / 100 == truth(api)["cost"]["total"] != before
    world.revise("restore", [date(2026, 11, 17), date(2026, 11, 18)])
    assert truth(api)["cost"]["total"] == before


def test_equal_seeds_make_equal_worlds() -> None:
    now = datetime(2026, 11, 20, 12, tzinfo=UTC)
    one, two, other = (AnthropicWorld(seed, end_day=END_DAY, days=3, rows_per_day=10).truth(now) for seed in (7, 7, 8))
    assert one == two != other
