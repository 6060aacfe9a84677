"""Every paginator, the same questions, with two fake answers and no network."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convergence.connectors import (
    AfterId,
    CursorToken,
    LinkHeader,
    LoopGuard,
    NextLink,
    Offset,
    PageNumber,
    Paginator,
)
from convergence.errors import ProviderMisbehaved

BASE = (("start_time", "1"), ("group_by", "a"), ("group_by", "b"))
LINK = '<https://evil.example/v1/x?group_by=a&group_by=b&page=2&start_time=1>; rel="next", <https://h/x>; rel="last"'


@dataclass(frozen=True)
class Case:
    """A first answer that has another behind it, what is asked next, and the answers that end or break the list."""

    name: str
    paginator: Paginator
    first: Mapping[str, Any]
    added: tuple[str, str]
    last: Mapping[str, Any]
    lost: tuple[Mapping[str, Any], ...]
    headers: Mapping[str, str]


def case(name, paginator, first, added, last, *lost, headers=None) -> Case:
    return Case(name, paginator, first, added, last, lost, headers or {})


CASES = [
    case(
        "cursor",
        CursorToken(),
        {"data": [1], "has_more": True, "next_page": "p2"},
        ("page", "p2"),
        {"data": [2], "has_more": False, "next_page": None},
        {"has_more": True, "next_page": None},
        {"has_more": True, "next_page": ""},
        {"has_more": True},
        {"has_more": "true", "next_page": "p2"},
    ),
    case(
        "nested cursor without a flag",
        CursorToken("pageToken", "meta.next", None),
        {"meta": {"next": "t2"}},
        ("pageToken", "t2"),
        {"meta": {}},
    ),
    case(
        "after id",
        AfterId(),
        {"data": [{"id": "a"}, {"id": "b"}], "last_id": "a lie", "has_more": True},
        ("after", "b"),
        {"data": [{"id": "c"}], "has_more": False},
        {"data": [], "has_more": True},
        {"data": [{"name": "no id"}], "has_more": True},
        {"data": [{"id": "b"}]},
        {"data": None, "has_more": True},
    ),
    case("page number until empty", PageNumber(), {"data": [1]}, ("page", "2"), {"data": []}, {"data": None}, {}),
    case("page number until short", PageNumber(size=2), {"data": [1, 2]}, ("page", "2"), {"data": [3]}),
    case(
        "page number by flag",
        PageNumber(has_more="p.hasNextPage"),
        {"p": {"hasNextPage": True}},
        ("page", "2"),
        {"p": {"hasNextPage": False}},
        {"p": {}},
    ),
    case(
        "page number by total",
        PageNumber(total_pages="totalPages"),
        {"totalPages": 2},
        ("page", "2"),
        {"totalPages": 1},
        {"totalPages": "2"},
    ),
    case("offset until short", Offset(size=2), {"data": [1, 2]}, ("offset", "2"), {"data": [3]}, {}),
    case(
        "offset until total",
        Offset(total="total"),
        {"data": [1], "total": 3},
        ("offset", "1"),
        {"data": [1], "total": 1},
        {"data": [], "total": 3},
        {"data": [1], "total": None},
    ),
]
LINKED = case("link header", LinkHeader(), {}, ("page", "2"), {}, headers={"Link": LINK})
NEXT = case(
    "next link",
    NextLink("links.next"),
    {"links": {"next": "https://evil.example/v1/x?group_by=a&group_by=b&page=2&start_time=1"}},
    ("page", "2"),
    {"links": {"next": None}},
    {"links": {"next": 2}},
    {"links": {"next": "http://[::1/?page=2"}},
)


def ids(value: Case) -> str:
    return value.name


@pytest.mark.parametrize("paging", [*CASES, LINKED, NEXT], ids=ids)
def test_the_next_request_adds_one_parameter_and_keeps_the_others(paging):
    following = paging.paginator.next(BASE, paging.first, paging.headers)
    assert sorted(following) == sorted([*BASE, paging.added])


@pytest.mark.parametrize("paging", [*CASES, LINKED, NEXT], ids=ids)
def test_the_last_page_ends_the_list(paging):
    assert paging.paginator.next(BASE, paging.last, {}) is None


@pytest.mark.parametrize("paging", CASES, ids=ids)
def test_a_parameter_that_is_there_is_replaced_and_not_doubled(paging):
    following = paging.paginator.next((*BASE, (paging.added[0], "0")), paging.first, paging.headers)
    assert [name for name, _ in following].count(paging.added[0]) == 1


@pytest.mark.parametrize(
    ("paging", "envelope"),
    [(paging, lost) for paging in CASES for lost in paging.lost],
    ids=lambda value: value.name if isinstance(value, Case) else str(value),
)
def test_more_without_a_way_there_is_an_error_and_not_an_end(paging, envelope):
    with pytest.raises(ProviderMisbehaved) as caught:
        paging.paginator.next(BASE, envelope, {})
    assert caught.value.code == "pagination_lost"


@pytest.mark.parametrize("paging", [*CASES, LINKED, NEXT], ids=ids)
def test_paging_twice_from_the_same_answer_gives_the_same_request(paging):
    once = paging.paginator.next(BASE, paging.first, paging.headers)
    assert paging.paginator.next(BASE, paging.first, paging.headers) == once


def test_a_link_cannot_send_us_to_another_host():
    assert "evil" not in str(LinkHeader().next(BASE, {}, {"link": LINK}))


VALUES = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "p1", "p2", "p3"])
ITEMS = st.lists(st.fixed_dictionaries({"id": VALUES}), max_size=3)
ENVELOPES = st.fixed_dictionaries(
    {"data": ITEMS, "has_more": VALUES, "next_page": VALUES, "total": VALUES, "totalPages": VALUES}
)


@pytest.mark.parametrize("paging", [*CASES, LINKED, NEXT], ids=ids)
@given(answers=st.lists(ENVELOPES, min_size=1, max_size=30))
def test_paging_always_ends_whatever_the_provider_answers(paging, answers):
    assert walk(paging, answers) <= 20


def walk(paging: Case, answers: list[dict[str, Any]]) -> int:
    """How many pages are asked for until the list ends or is given up."""
    guard, wanted, asked = LoopGuard(20), BASE, 0
    with suppress(ProviderMisbehaved):
        while wanted is not None:
            guard.enter(wanted)
            asked += 1
            wanted = paging.paginator.next(wanted, answers[asked % len(answers)], paging.headers)
            guard.leave(str(asked).encode())
    return asked
