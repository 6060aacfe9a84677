from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from convergence.simulator.openai.streams import STREAMS

DAY = date(2026, 11, 17)
GROUPS = [("group_by", name) for name in STREAMS["completions"].group_by]
DIMENSIONS = STREAMS["completions"].group_by


def by_day(api: Any) -> dict[int, dict[tuple[Any, ...], dict[str, Any]]]:
    return {
        bucket["start_time"]: {tuple(row[name] for name in DIMENSIONS): row for row in bucket["results"]}
        for bucket in api.buckets("usage/completions", GROUPS)
    }


def test_a_restatement_changes_a_share_of_rows_of_its_days(api: Any, world: Any) -> None:
    before = by_day(api)
    world.revise("restate", [DAY], share=0.25)
    after = by_day(api)

    changed = [start for start in before if before[start] != after[start]]
    rows = [key for key in before[changed[0]] if before[changed[0]][key] != after[changed[0]][key]]

    assert len(changed) == 1
    assert before[changed[0]].keys() == after[changed[0]].keys()
    assert 4 <= len(rows) <= 18


def test_truth_and_costs_follow_a_restatement(api: Any, world: Any) -> None:
    before = api.simulator.truth()
    world.revise("restate", [DAY], share=0.5)
    after = api.simulator.truth()

    reported = sum(Decimal(row["amount"]["value"]) for row in api.rows("costs"))

    assert after["revision"] == 1
    assert after["cost"]["by_day"][DAY.isoformat()] > before["cost"]["by_day"][DAY.isoformat()]
    assert reported == after["cost"]["total"]


def test_removed_rows_are_gone_from_rows_and_truth(api: Any, world: Any) -> None:
    world.revise("remove", [DAY], share=0.3)

    rows = api.rows("usage/completions", GROUPS)

    truth = api.simulator.truth()["rows"]["completions"]
    assert len(rows) == sum(truth.values())
    assert 0 < truth[DAY.isoformat()] < 40


def test_a_day_goes_to_zero_and_comes_back(api: Any, world: Any) -> None:
    before = api.simulator.truth()
    world.revise("clear", [DAY])
    cleared = api.simulator.truth()
    world.revise("restore", [DAY])
    restored = api.simulator.truth()

    assert cleared["rows"]["completions"][DAY.isoformat()] == cleared["rows"]["costs"][DAY.isoformat()] == 0
    assert DAY.isoformat() not in cleared["cost"]["by_day"]
    assert {**restored, "revision": 0} == before


def test_two_restatements_of_a_day_add_up(world: Any) -> None:
    world.revise("restate", [DAY], share=1)
    once = world.rows(STREAMS["completions"], DAY)
    world.revise("restate", [DAY], share=1)

    assert all(a.measures != b.measures for a, b in zip(once, world.rows(STREAMS["completions"], DAY), strict=True))


def test_reset_forgets_revisions_faults_and_requests(api: Any, world: Any) -> None:
    before = api.simulator.truth()
    api.get("projects")
    api.control("POST", "revision", {"kind": "clear", "days": ["2026-11-17"]})
    api.control("POST", "faults", {"kind": "html"})

    api.control("POST", "reset")

    assert api.simulator.truth() == before
    assert api.control("GET", "requests").json() == {"total": 0, "paths": {}}
    assert api.get("projects").headers["content-type"] == "application/json"


@pytest.mark.parametrize(("kind", "share"), [("explode", 0.1), ("restate", 1.5), ("remove", -0.1)])
def test_an_unknown_revision_is_refused(world: Any, kind: str, share: float) -> None:
    with pytest.raises(ValueError, match="a revision is one of"):
        world.revise(kind, [DAY], share=share)


def test_control_answers_about_truth_and_revision(api: Any) -> None:
    api.get("projects")
    api.get("users")
    api.get("users")

    truth = api.control("GET", "truth").json()
    revision = api.control("POST", "revision", {"kind": "restate", "days": ["2026-11-17", "2026-11-18"]})

    assert Decimal(truth["cost"]["total"]) > 0
    assert truth["revision"] == 0
    assert revision.json() == {"revision": 1}
    assert api.control("GET", "requests").json() == {
        "total": 3,
        "paths": {"/openai/v1/organization/projects": 1, "/openai/v1/organization/users": 2},
    }


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("faults", {"kind": "nonsense"}),
        ("faults", {"kind": "html", "colour": "red"}),
        ("faults", {"kind": "html", "probability": 2}),
        ("revision", {"kind": "nonsense", "days": []}),
        ("revision", {"kind": "clear", "days": ["tomorrow"]}),
        ("revision", {"kind": "clear", "days": [], "key": "sk-admin-unknown"}),
    ],
)
def test_control_refuses_what_it_does_not_know(api: Any, path: str, body: dict[str, Any]) -> None:
    assert api.control("POST", path, body).status_code == 400
