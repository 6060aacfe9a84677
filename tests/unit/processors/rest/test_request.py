"""A request for a window, as the API wants its days named."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from pydantic import ValidationError

from convergence.errors import ConfigError
from convergence.kit.window import Window
from convergence.processors.rest._request import Request

WINDOW = Window.inclusive(date(2026, 11, 1), date(2026, 11, 3))
RUN = {"org_slug": "acme", "parameters.team": 7}


@pytest.mark.parametrize(
    ("template", "sent"),
    [
        ("{start_date}", "2026-11-01"),
        ("{end_date}", "2026-11-03"),
        ("{end_date_exclusive}", "2026-11-04"),
        ("{start_time}", "2026-11-01T00:00:00Z"),
        ("{end_time}", "2026-11-03T23:59:59Z"),
        ("{end_time_exclusive}", "2026-11-04T00:00:00Z"),
        ("{start_epoch}", "1793491200"),
        ("{end_epoch}", "1793750399"),
        ("{end_epoch_exclusive}", "1793750400"),
        ("{start_epoch_ms}", "1793491200000"),
        ("{end_epoch_ms}", "1793750399999"),
        ("{end_epoch_ms_exclusive}", "1793750400000"),
        ("day ge {start_date} and org eq {org_slug}", "day ge 2026-11-01 and org eq acme"),
        ("{{start_date}}", "{start_date}"),
        ("{parameters.team}", "7"),
    ],
)
def test_a_parameter_names_the_days_of_the_window(template: str, sent: str) -> None:
    request = Request(path="/costs", params={"x": template})
    assert request.build(WINDOW, RUN).params == (("x", sent),)


def test_a_body_keeps_numbers_as_numbers() -> None:
    body: dict[str, Any] = {"range": {"from": "{start_epoch}", "to": ["{end_date}"]}, "limit": 50}
    asked = Request(path="/query", method="POST", body=body).build(WINDOW, RUN)
    assert asked.body == {"range": {"from": 1793491200, "to": ["2026-11-03"]}, "limit": 50}


def test_a_list_is_sent_once_for_each_value_and_a_path_keeps_its_places() -> None:
    asked = Request(path="/days/{start_date}", params={"by": ["model", "user"]}).build(WINDOW, RUN)
    assert asked.params == (("by", "model"), ("by", "user"))
    assert (asked.path, asked.path_values) == ("/days/{start_date}", {"start_date": "2026-11-01"})


def test_a_name_that_nothing_fills_is_refused() -> None:
    with pytest.raises(ConfigError, match="did you mean start_date"):
        Request(path="/x", params={"x": "{start_dat}"}).build(WINDOW, RUN)


@pytest.mark.parametrize(
    "given",
    [
        {"path": "https://evil.example/x"},
        {"path": "//evil.example/x"},
        {"path": "/../admin"},
        {"path": "/x?key=1"},
        {"path": "@evil.example"},
        {"path": "/x", "params": {"api_key": "k"}},
        {"path": "/x", "params": {"access-token": "k"}},
        {"path": "/x", "method": "POST"},
        {"path": "/x", "body": {}},
        {"path": "/x", "method": "DELETE"},
    ],
)
def test_what_leads_elsewhere_or_holds_a_credential_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Request.model_validate(given)
