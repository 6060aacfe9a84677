"""Dated facts about keys and people."""

from __future__ import annotations

from datetime import date

from convergence.costs.directory import build_changes

TODAY = date(2026, 11, 1)
ADA = {"user_id": "u", "person": "ada@example.com"}
KNOWN = {**ADA, "valid_from": None, "valid_to": None}


def test_a_new_one_has_no_beginning() -> None:
    assert build_changes([ADA], {}, "user_id", TODAY) == [KNOWN]


def test_what_is_the_same_is_left_alone() -> None:
    assert build_changes([ADA], {"u": KNOWN}, "user_id", TODAY) == []


def test_a_change_ends_the_old_and_begins_today() -> None:
    new = {**ADA, "person": "eve@example.com"}
    assert build_changes([new], {"u": KNOWN}, "user_id", TODAY) == [
        {**KNOWN, "valid_to": TODAY},
        {**new, "valid_from": TODAY, "valid_to": None},
    ]


def test_a_second_change_on_a_day_leaves_one_row_of_it() -> None:
    new = {**ADA, "person": "eve@example.com"}
    today = {**ADA, "valid_from": TODAY, "valid_to": None}
    assert build_changes([new], {"u": today}, "user_id", TODAY) == [{**new, "valid_from": TODAY, "valid_to": None}]
