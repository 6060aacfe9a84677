from __future__ import annotations

import base64
from typing import Any

import pytest

from convergence.kit import jsontext
from convergence.simulator import OpenAIWorld
from convergence.simulator.openai.routes import MANAGEMENT_SCOPE, USAGE_SCOPE
from convergence.simulator.openai.streams import STREAMS

GROUPS = {
    "completions": {"project_id", "user_id", "api_key_id", "model", "batch", "service_tier"},
    "embeddings": {"project_id", "user_id", "api_key_id", "model"},
    "moderations": {"project_id", "user_id", "api_key_id", "model"},
    "images": {"project_id", "user_id", "api_key_id", "model", "size", "source"},
    "audio_speeches": {"project_id", "user_id", "api_key_id", "model"},
    "audio_transcriptions": {"project_id", "user_id", "api_key_id", "model"},
    "vector_stores": {"project_id"},
    "code_interpreter_sessions": {"project_id"},
    "file_search_calls": {"project_id", "user_id", "api_key_id", "vector_store_id"},
    "web_search_calls": {"project_id", "user_id", "api_key_id", "model", "context_level"},
}
EVERY_GROUP = sorted(set().union(*GROUPS.values()) | {"line_item", "nonsense"})


def error(response: Any) -> dict[str, Any]:
    found: dict[str, Any] = jsontext.loads(response.content)["error"]
    assert set(found) == {"message", "type", "param", "code"}
    return found


@pytest.mark.parametrize(
    ("path", "extra", "param"),
    [
        ("usage/completions", {"start_time": None}, "start_time"),
        ("costs", {"start_time": None}, "start_time"),
        ("usage/completions", {"start_time": "yesterday"}, "start_time"),
        ("usage/completions", {"start_time": "-5"}, "start_time"),
        ("usage/completions", {"start_time": "1.5"}, "start_time"),
        ("usage/completions", {"end_time": 1}, "end_time"),
        ("usage/completions", {"bucket_width": "1w"}, "bucket_width"),
        ("costs", {"bucket_width": "1h"}, "bucket_width"),
        ("usage/completions", {"limit": 0}, "limit"),
        ("usage/completions", {"limit": 32}, "limit"),
        ("usage/completions", {"limit": 169, "bucket_width": "1h"}, "limit"),
        ("usage/completions", {"limit": 1441, "bucket_width": "1m"}, "limit"),
        ("usage/completions", {"limit": "many"}, "limit"),
        ("costs", {"limit": 181}, "limit"),
        ("usage/completions", {"page": "page_nonsense"}, "page"),
        ("usage/completions", {"page": "nonsense"}, "page"),
        ("usage/completions", {"batch": "perhaps"}, "batch"),
        ("usage/embeddings", {"batch": "true"}, "batch"),
        ("usage/completions", {"colour": "red"}, "colour"),
        ("usage/completions", {"start_date": "2026-01-01"}, "start_date"),
        ("usage/vector_stores", {"user_ids": "user-1"}, "user_ids"),
        ("usage/completions", {"sizes": "256x256"}, "sizes"),
        ("costs", {"user_ids": "user-1"}, "user_ids"),
        ("costs", {"models": "gpt-5-mini"}, "models"),
        ("costs", {"group_by": "model"}, "group_by"),
        ("costs", {"group_by": "user_id"}, "group_by"),
    ],
)
def test_a_wrong_parameter_is_a_400_that_names_it(api: Any, path: str, extra: dict[str, Any], param: str) -> None:
    asked = {name: value for name, value in ({"start_time": api.start} | extra).items() if value is not None}

    response = api.get(path, asked)

    assert response.status_code == 400
    assert error(response)["param"] == param


def test_a_scalar_given_twice_is_a_400(api: Any) -> None:
    response = api.get("usage/completions", [("start_time", api.start), ("limit", 1), ("limit", 2)])

    assert (response.status_code, error(response)["param"]) == (400, "limit")


@pytest.mark.parametrize("group", EVERY_GROUP)
@pytest.mark.parametrize("name", STREAMS)
def test_group_by_takes_what_the_endpoint_documents(api: Any, name: str, group: str) -> None:
    response = api.get(f"usage/{name}", {"start_time": api.start, "group_by": group, "limit": 1})

    assert response.status_code == (200 if group in GROUPS[name] else 400)


@pytest.mark.parametrize(("width", "default", "highest"), [("1d", 7, 31), ("1h", 24, 168), ("1m", 60, 1440)])
def test_limits_of_usage(api: Any, width: str, default: int, highest: int) -> None:
    asked = {"start_time": api.start - 3 * 86_400, "bucket_width": width}

    counts = [
        len(jsontext.loads(api.get("usage/moderations", asked | extra).content)["data"])
        for extra in ({}, {"limit": highest})
    ]

    assert counts == [default, highest]


@pytest.mark.parametrize("change", [{"limit": 2}, {"group_by": "model"}, {"project_ids": "proj_1"}, {"start_time": 1}])
def test_a_cursor_holds_for_the_same_parameters_only(api: Any, change: dict[str, Any]) -> None:
    asked = {"start_time": api.start, "end_time": api.end, "limit": 1}
    cursor = jsontext.loads(api.get("usage/completions", asked).content)["next_page"]

    refused = api.get("usage/completions", asked | change | {"page": cursor})

    assert api.get("usage/completions", asked | {"page": cursor}).status_code == 200
    assert (refused.status_code, error(refused)["param"]) == (400, "page")


def test_a_cursor_of_another_length_is_refused(api: Any) -> None:
    cursor = "page_" + base64.urlsafe_b64encode(b"short").decode()

    assert api.get("costs", {"start_time": api.start, "page": cursor}).status_code == 400


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer "},
        {"authorization": "Basic c2stYWRtaW4="},
        {"authorization": "Bearer sk-admin-unknown-0123456789"},
        {"authorization": "Bearer sk-proj-0123456789"},
        {"authorization": "Bearer sk-svcacct-0123456789"},
    ],
)
@pytest.mark.parametrize("path", ["usage/completions", "costs", "projects", "users"])
def test_anything_but_a_known_admin_key_is_a_401(api: Any, path: str, headers: dict[str, str]) -> None:
    response = api.get(path, {"start_time": api.start}, headers=headers)

    assert response.status_code == 401
    assert "0123456789" not in error(response)["message"]


@pytest.mark.parametrize(
    ("scope", "statuses"),
    [(USAGE_SCOPE, {"costs": 200, "projects": 403}), (MANAGEMENT_SCOPE, {"costs": 403, "projects": 200})],
)
def test_a_key_without_the_scope_is_a_403(api: Any, world: OpenAIWorld, scope: str, statuses: dict[str, int]) -> None:
    api.simulator.add_account("sk-admin-narrow", world, scopes=frozenset({scope}))

    found = {
        "costs": api.get("costs", {"start_time": api.start}, key="sk-admin-narrow").status_code,
        "projects": api.get("projects", key="sk-admin-narrow").status_code,
    }

    assert found == statuses


def test_two_keys_open_two_worlds(api: Any, world: OpenAIWorld) -> None:
    other = OpenAIWorld(8, end_day=world.window.end, rows_per_day=40)
    api.simulator.add_account("sk-admin-other", other)

    first, second = (
        jsontext.loads(api.get("projects", key=key).content)["first_id"] for key in (None, "sk-admin-other")
    )

    assert (first, second) == (world.directory.projects[0].id, other.directory.projects[0].id)
    assert api.simulator.truth("sk-admin-other")["seed"] == 8


def test_costs_can_refuse_the_grouping_by_key(api: Any, world: OpenAIWorld) -> None:
    api.simulator.add_account(
        "sk-admin-old", OpenAIWorld(7, end_day=world.window.end, rows_per_day=40, rejects_api_key_grouping=True)
    )
    asked = [("start_time", api.start), ("group_by", "project_id")]

    refused = api.get("costs", [*asked, ("group_by", "api_key_id")], key="sk-admin-old")
    accepted = api.get("costs", [*asked, ("group_by", "line_item")], key="sk-admin-old")

    assert (refused.status_code, error(refused)["param"]) == (400, "group_by")
    assert "api_key_id" in error(refused)["message"]
    assert accepted.status_code == 200


def test_unknown_paths_and_methods(api: Any) -> None:
    assert api.get("usage/telepathy", {"start_time": api.start}).status_code == 404
    assert error(api.get("nothing"))["type"] == "invalid_request_error"


@pytest.mark.parametrize("method", ["POST", "DELETE", "PATCH", "PUT"])
def test_everything_is_read_only(api: Any, method: str) -> None:
    response = api.send(method, "projects")

    assert response.status_code == 405
