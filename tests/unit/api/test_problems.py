from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from convergence.api.problems import STATUSES, build_problem, status_of, unexpected_problem
from convergence.errors import (
    ConfigError,
    Conflict,
    ConvergenceError,
    CredentialInvalid,
    Fault,
    InvalidRequest,
    ProviderUnavailable,
    QuotaExceeded,
    StepFailed,
    Unauthenticated,
    WarehouseBusy,
)


def _descendants(kind: type[ConvergenceError]) -> Iterator[type[ConvergenceError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _descendants(child)


OURS = [kind for kind in _descendants(ConvergenceError) if kind.__module__ == "convergence.errors"]


@pytest.mark.parametrize("kind", OURS)
def test_every_error_has_a_status_of_its_own(kind: type[ConvergenceError]) -> None:
    assert 400 <= STATUSES[kind] <= 599


def test_a_plugins_own_error_has_the_status_of_its_parent() -> None:
    class Odd(WarehouseBusy):
        pass

    assert status_of(Odd("busy")) == 503


def test_a_problem_says_what_where_and_what_to_do() -> None:
    error = InvalidRequest("half a range", hint="Give both.", fields={"faults": ["end_date is missing"]})
    problem = build_problem(error, "req_1")

    assert json.loads(problem.body) == {
        "type": "urn:convergence:problem:invalid_request",
        "title": "Unprocessable Content",
        "status": 422,
        "code": "invalid_request",
        "detail": "half a range",
        "request_id": "req_1",
        "hint": "Give both.",
        "errors": [{"message": "end_date is missing"}],
    }
    assert problem.headers["content-type"] == "application/problem+json"


def test_every_fault_of_a_file_is_listed() -> None:
    error = ConfigError([Fault("unknown key", "a.yml", 3, "stpes", "steps"), Fault("not a number", key="timeout")])
    problem = json.loads(build_problem(error, "req_1").body)

    assert problem["errors"] == [
        {"message": "unknown key", "location": "a.yml", "line": 3, "key": "stpes", "expected": "steps"},
        {"message": "not a number", "key": "timeout"},
    ]


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (QuotaExceeded("used up", retry_after=0.2), "1"),
        (QuotaExceeded("used up", retry_after=59.001), "60"),
        (ProviderUnavailable("down", retry_after=30), "30"),
        (WarehouseBusy("busy"), "5"),
    ],
)
def test_retry_after_is_whole_seconds_rounded_up(error: ConvergenceError, seconds: str) -> None:
    assert build_problem(error, "req_1").headers["Retry-After"] == seconds


def test_no_retry_after_where_waiting_does_not_help() -> None:
    assert "Retry-After" not in build_problem(Conflict("exists"), "req_1").headers


def test_a_401_names_the_scheme() -> None:
    assert build_problem(Unauthenticated("no key"), "req_1").headers["WWW-Authenticate"].startswith("ApiKey ")


@pytest.mark.parametrize(
    "error",
    [
        CredentialInvalid("refused: sk-admin-abcdefgh12345678", fields={"validation_status": "INVALID"}),
        StepFailed("broke", hint="Authorization: Bearer abcdefgh12345678"),
        InvalidRequest("bad", fields={"api_key": "abcdefgh12345678", "faults": ["sk-abcdefgh12345678"]}),
        ConfigError(Fault("bad", key="sk-proj-abcdefgh12345678")),
    ],
)
def test_a_secret_in_an_error_stays_here(error: ConvergenceError) -> None:
    assert b"abcdefgh12345678" not in build_problem(error, "req_1").body


def test_fields_stand_beside_and_never_over_the_standard_members() -> None:
    error = CredentialInvalid("refused", fields={"validation_status": "INVALID", "status": 200, "detail": "all good"})
    problem = json.loads(build_problem(error, "req_1").body)

    assert (problem["validation_status"], problem["status"], problem["detail"]) == ("INVALID", 400, "refused")


def test_the_unexpected_tells_nothing_but_its_id() -> None:
    problem = json.loads(unexpected_problem("req_9").body)

    assert (problem["status"], problem["code"], problem["request_id"]) == (500, "internal", "req_9")
