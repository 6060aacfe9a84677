from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from convergence.kit import jsontext
from convergence.simulator import FaultRule, rate_limited
from convergence.simulator.faults import FaultScript

PATH = "usage/completions"


@pytest.fixture
def asked(api: Any) -> dict[str, Any]:
    return {"start_time": api.start, "end_time": api.end, "limit": 2, "group_by": "model"}


def script(api: Any, **rule: Any) -> None:
    api.simulator.faults.add(FaultRule(**rule))


def first_rows(response: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(response.content)["data"][0]["results"]
    return rows


@pytest.mark.parametrize("status", [401, 403, 429, 500, 502, 503, 504, 529])
def test_any_status(api: Any, asked: dict[str, Any], status: int) -> None:
    script(api, kind="status", status=status, code="chosen")

    response = api.get(PATH, asked)

    assert response.status_code == status
    assert response.json()["error"]["code"] == "chosen"
    assert "retry-after" not in response.headers


def test_retry_after_in_seconds(api: Any, asked: dict[str, Any]) -> None:
    api.simulator.faults.add(rate_limited(retry_after=3))

    response = api.get(PATH, asked)

    assert (response.status_code, response.headers["retry-after"]) == (429, "3")


def test_retry_after_as_a_date(api: Any, asked: dict[str, Any], clock: Any) -> None:
    script(api, kind="status", status=503, retry_after=60, retry_after_as_date=True)

    response = api.get(PATH, asked)

    assert parsedate_to_datetime(response.headers["retry-after"]) == clock.now() + timedelta(seconds=60)
    assert clock.now() == datetime(2026, 11, 20, 12, tzinfo=UTC)


def test_a_rule_is_spent_after_its_count(api: Any, asked: dict[str, Any]) -> None:
    script(api, kind="status", status=500, count=2)

    assert [api.get(PATH, asked).status_code for _ in range(4)] == [500, 500, 200, 200]


def test_a_revoked_key_fails_from_page_n_on(api: Any, asked: dict[str, Any]) -> None:
    script(api, kind="status", status=401, path=f"/organization/{PATH}", skip=2)

    assert [api.get(PATH, asked).status_code for _ in range(4)] == [200, 200, 401, 401]
    assert api.get("projects").status_code == 200


def test_one_key_can_fail_alone(api: Any, asked: dict[str, Any], world: Any) -> None:
    api.simulator.add_account("sk-admin-other", world)
    script(api, kind="status", status=503, key="sk-admin-other")

    assert [api.get(PATH, asked, key=key).status_code for key in (None, "sk-admin-other")] == [200, 503]


def test_probability_is_seeded() -> None:
    def strikes(seed: int) -> list[bool]:
        chance = FaultScript(seed)
        chance.add(FaultRule(kind="html", probability=0.2))
        return [chance.choose("/any", None) is not None for _ in range(500)]

    assert strikes(1) == strikes(1)
    assert strikes(1) != strikes(2)
    assert 70 < sum(strikes(1)) < 130


def test_the_first_rule_that_strikes_decides_and_strikes_are_counted() -> None:
    chance = FaultScript(1)
    first, second = FaultRule(kind="html", path="/costs"), FaultRule(kind="reset")
    chance.add(first, second)

    chosen = [chance.choose(path, None) for path in ("/v1/costs", "/v1/users", "/v1/costs")]

    assert chosen == [first, second, first]
    assert list(chance.struck()) == [(first, 2), (second, 1)]


def test_html_with_status_200(api: Any, asked: dict[str, Any]) -> None:
    script(api, kind="html")

    response = api.get(PATH, asked)

    assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")


def test_a_redirect_to_the_metadata_service(api: Any, asked: dict[str, Any]) -> None:
    script(api, kind="redirect")

    response = api.get(PATH, asked)

    assert (response.status_code, response.headers["location"][:22]) == (302, "http://169.254.169.254")


def test_json_that_is_cut(api: Any, asked: dict[str, Any]) -> None:
    whole = api.get(PATH, asked).content
    script(api, kind="cut_json")

    assert api.get(PATH, asked).content == whole[: len(whole) // 2]


def test_json_too_deep(api: Any, asked: dict[str, Any]) -> None:
    script(api, kind="deep_json")

    assert api.get(PATH, asked).content.startswith(b"[" * 100_000)


def test_a_bomb_and_a_huge_body(api: Any, asked: dict[str, Any]) -> None:
    script(api, kind="gzip_bomb", count=1)
    script(api, kind="huge_body")

    sizes = [len(api.get(PATH, asked).content) for _ in range(2)]

    assert min(sizes) > 64_000_000


def test_an_endless_cursor_never_repeats_and_never_stops(api: Any, asked: dict[str, Any]) -> None:
    script(api, kind="endless_cursor")
    cursors: list[str] = []
    for _ in range(50):
        page = {"page": cursors[-1]} if cursors else {}
        response = api.get(PATH, asked | page)
        found = jsontext.loads(response.content)
        assert (response.status_code, found["has_more"]) == (200, True)
        cursors.append(found["next_page"])

    assert len(set(cursors)) == 50


def test_a_repeated_cursor(api: Any, asked: dict[str, Any]) -> None:
    script(api, kind="repeated_cursor")
    first = jsontext.loads(api.get(PATH, asked).content)

    again = jsontext.loads(api.get(PATH, asked | {"page": first["next_page"]}).content)

    assert again["next_page"] == first["next_page"]
    assert again["has_more"] is True


def test_more_without_a_cursor(api: Any, asked: dict[str, Any]) -> None:
    script(api, kind="missing_cursor")

    found = jsontext.loads(api.get(PATH, asked).content)

    assert (found["has_more"], found["next_page"]) == (True, None)


def test_an_empty_page_with_more_to_come(api: Any, asked: dict[str, Any]) -> None:
    script(api, kind="empty_page", count=1)
    empty = jsontext.loads(api.get(PATH, asked).content)

    following = api.get(PATH, asked | {"page": empty["next_page"]})

    assert (empty["data"], empty["has_more"], following.status_code) == ([], True, 200)


@pytest.mark.parametrize(
    ("kind", "value"),
    [("changed_type", "many"), ("huge_integer", 99999999999999999999)],
)
def test_a_figure_of_the_wrong_kind(api: Any, asked: dict[str, Any], kind: str, value: object) -> None:
    script(api, kind=kind)

    rows = first_rows(api.get(PATH, asked))

    assert [row["input_tokens"] for row in rows].count(value) == 1


def test_nan_in_a_figure(api: Any, asked: dict[str, Any]) -> None:
    script(api, kind="nan")

    body = api.get("costs", {"start_time": api.start, "limit": 1, "group_by": "line_item"}).content

    assert body.count(b'"value":NaN') == 1


def test_negative_tokens(api: Any, asked: dict[str, Any]) -> None:
    before = first_rows(api.get(PATH, asked))
    script(api, kind="negative", share=1)

    after = first_rows(api.get(PATH, asked))

    assert [row["input_tokens"] for row in after] == [-row["input_tokens"] for row in before]


def test_a_new_field_and_a_missing_one(api: Any, asked: dict[str, Any]) -> None:
    script(api, kind="new_field", share=1, count=1)
    script(api, kind="missing_field", share=1)

    new, missing = (first_rows(api.get(PATH, asked)) for _ in range(2))

    assert all(row["surprise"] == {"level": 1} for row in new)
    assert not any("input_tokens" in row for row in missing)


@pytest.mark.parametrize(
    ("kind", "model"), [("unknown_model", "gpt-unheard-of"), ("nul_text", "gpt\0mini"), ("long_text", "m" * 1_000_000)]
)
def test_a_strange_model(api: Any, asked: dict[str, Any], kind: str, model: str) -> None:
    script(api, kind=kind)

    assert [row["model"] for row in first_rows(api.get(PATH, asked))].count(model) == 1


def test_shrink_duplicate_and_reorder(api: Any, asked: dict[str, Any]) -> None:
    true = first_rows(api.get(PATH, asked))
    for kind in ("shrink", "duplicate", "reorder"):
        script(api, kind=kind, share=0.5, count=1)

    shrunk, doubled, shuffled = (first_rows(api.get(PATH, asked)) for _ in range(3))

    half = round(len(true) / 2)
    assert (len(shrunk), len(doubled)) == (len(true) - half, len(true) + half)
    assert shuffled != true
    assert sorted(shuffled, key=str) == sorted(true, key=str)


def test_untouched_rows_stay_byte_for_byte(api: Any) -> None:
    asked = {"start_time": api.start, "limit": 1, "group_by": "line_item"}
    true = api.get("costs", asked).content
    script(api, kind="new_field")

    damaged = api.get("costs", asked).content

    assert damaged.replace(b',"surprise":{"level":1}', b"") == true


def test_a_list_can_be_damaged_too(api: Any) -> None:
    script(api, kind="shrink", share=0.5)

    assert len(jsontext.loads(api.get("users").content)["data"]) == 5


def test_rules_come_over_http_and_show_their_strikes(api: Any, asked: dict[str, Any]) -> None:
    posted = api.control(
        "POST", "faults", [{"kind": "status", "status": 503, "count": 1}, {"kind": "html", "count": 0}]
    )

    statuses = [api.get(PATH, asked).status_code for _ in range(2)]

    assert posted.status_code == 200
    assert statuses == [503, 200]
    assert [rule["struck"] for rule in api.control("GET", "faults").json()["faults"]] == [1, 0]


def test_the_journal_tells_faults_and_times(api: Any, asked: dict[str, Any]) -> None:
    script(api, kind="status", status=503, count=1)
    api.get(PATH, asked)
    api.get(PATH, asked)

    entries = api.simulator.journal.entries()

    assert [(entry.status, entry.fault) for entry in entries] == [(503, "status"), (200, None)]
    assert entries[0].at <= entries[1].at
    assert entries[0].path == f"/openai/v1/organization/{PATH}"


def test_the_control_paths_never_fail(api: Any) -> None:
    script(api, kind="status", status=500)

    assert api.control("GET", "truth").status_code == 200


@pytest.mark.parametrize("kind", ["reset", "truncated"])
def test_without_a_socket_a_broken_line_is_an_error(api: Any, asked: dict[str, Any], kind: str) -> None:
    script(api, kind=kind)

    with pytest.raises(ConnectionResetError, match=kind):
        api.get(PATH, asked)
