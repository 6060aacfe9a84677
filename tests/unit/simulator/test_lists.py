from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from convergence.kit import jsontext


def items(api: Any, path: str, **parameters: Any) -> list[dict[str, Any]]:
    """Page by the id of the last item."""
    found: list[dict[str, Any]] = []
    while True:
        after = {"after": found[-1]["id"]} if found else {}
        page = jsontext.loads(api.get(path, {**parameters, **after}).content)
        found.extend(page["data"])
        if not page["has_more"]:
            return found


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 100])
def test_every_page_size_lists_the_same_users(api: Any, limit: int) -> None:
    found = items(api, "users", limit=limit)

    assert [user["id"] for user in found] == [user["id"] for user in items(api, "users")]
    assert len({user["id"] for user in found}) == len(found) == 11


def test_last_id_is_not_the_last_item(api: Any) -> None:
    page = jsontext.loads(api.get("projects").content)

    assert page["first_id"] == page["data"][0]["id"]
    assert page["last_id"] != page["data"][-1]["id"]


def test_archived_projects_are_listed_when_asked(api: Any) -> None:
    active, every = items(api, "projects"), items(api, "projects", include_archived="true")

    assert {project["status"] for project in active} == {"active"}
    assert [project["name"] for project in every if project not in active] == ["Legacy chatbot"]
    assert [project["archived_at"] is None for project in every].count(False) == 1


def test_a_project_is_active_until_it_is_archived(api: Any, clock: Any) -> None:
    clock.advance(timedelta(days=-20))

    assert len(items(api, "projects")) == 6


def test_history_holds_ids_that_no_list_shows(api: Any) -> None:
    projects = items(api, "projects", include_archived="true")
    listed_keys = {
        key["id"]
        for project in projects
        for key in items(api, f"projects/{project['id']}/api_keys", owner_project_access="any")
    }
    listed_users = {user["id"] for user in items(api, "users")}
    rows = api.rows("usage/completions", [("group_by", "api_key_id"), ("group_by", "user_id")])

    assert {row["api_key_id"] for row in rows} - listed_keys - {None}
    assert {row["user_id"] for row in rows if row["user_id"] and row["user_id"].startswith("user-")} - listed_users


def test_traffic_without_a_key_has_a_user_or_none(api: Any) -> None:
    groups = [("group_by", name) for name in ("project_id", "api_key_id", "user_id")]
    users: dict[str, set[str | None]] = {}
    for row in api.rows("usage/completions", groups):
        if row["api_key_id"] is None:
            users.setdefault(row["project_id"], set()).add(row["user_id"])

    assert {len(found) for found in users.values()} == {1}
    assert {None} in users.values()
    assert any(found != {None} for found in users.values())


def test_keys_without_access_hide_unless_asked_for(api: Any, world: Any) -> None:
    hidden = next(key for key in world.directory.keys if not key.has_project_access)
    path = f"projects/{hidden.project_id}/api_keys"

    seen = {
        access: hidden.id in {key["id"] for key in items(api, path, owner_project_access=access)}
        for access in ("active", "inactive", "any")
    }

    assert seen == {"active": False, "inactive": True, "any": True}
    assert hidden.id not in {key["id"] for key in items(api, path)}


def test_keys_belong_to_people_and_machines(api: Any) -> None:
    owners = [
        key["owner"]
        for project in items(api, "projects")
        for key in items(api, f"projects/{project['id']}/api_keys", owner_project_access="any")
    ]

    assert {owner["type"] for owner in owners} == {"user", "service_account"}
    assert all(owner[owner["type"]]["id"] for owner in owners)


def test_users_can_be_found_by_email_and_one_has_none(api: Any) -> None:
    users = items(api, "users")

    found = jsontext.loads(api.get("users", [("emails[]", users[1]["email"])]).content)["data"]

    assert [user["id"] for user in found] == [users[1]["id"]]
    assert [user["email"] for user in users].count(None) == 1


def test_the_other_lists(api: Any, world: Any) -> None:
    project = world.directory.projects[0]

    machines = items(api, f"projects/{project.id}/service_accounts")
    people = items(api, f"projects/{project.id}/users")

    assert [machine["name"] for machine in machines] == ["default-project-worker"]
    assert {person["object"] for person in people} == {"organization.project.user"}
    assert items(api, "admin_api_keys")[0]["object"] == "organization.admin_api_key"
    assert jsontext.loads(api.get("spend_limit").content)["currency"] == "USD"
    assert jsontext.loads(api.get(f"projects/{project.id}").content)["name"] == "Default project"


@pytest.mark.parametrize(
    ("path", "parameters", "param"),
    [
        ("projects", {"limit": 0}, "limit"),
        ("projects", {"limit": 101}, "limit"),
        ("projects", {"limit": "ten"}, "limit"),
        ("projects", {"after": "proj_unknown"}, "after"),
        ("projects", {"include_archived": "maybe"}, "include_archived"),
        ("projects", {"archived": "true"}, "archived"),
        ("users", {"page": "2"}, "page"),
        ("admin_api_keys", {"order": "up"}, "order"),
        ("spend_limit", {"limit": 1}, "limit"),
    ],
)
def test_a_wrong_parameter_is_a_400_that_names_it(api: Any, path: str, parameters: dict[str, Any], param: str) -> None:
    response = api.get(path, parameters)

    assert response.status_code == 400
    assert jsontext.loads(response.content)["error"]["param"] == param


@pytest.mark.parametrize("tail", ["", "/api_keys", "/users", "/service_accounts"])
def test_an_unknown_project_is_a_404(api: Any, tail: str) -> None:
    assert api.get(f"projects/proj_unknown{tail}").status_code == 404
