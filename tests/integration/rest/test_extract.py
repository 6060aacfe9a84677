"""Every way of asking, paging and writing that a pipeline can declare."""

from __future__ import annotations

import base64
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from convergence.errors import ConfigError, ConvergenceError, DataQualityError, ProviderMisbehaved, StepFailed
from convergence.kit.window import Window

from .conftest import Acme, Asked, RestBench

DAY = Window.day(date(2026, 11, 18))
ROWS = [{"day": "2026-11-18", "id": number, "cost": 150 + number} for number in range(5)]
PIPELINE = """\
pipeline_id: acme-cost
source:
  base_url: BASE_URL
  auth: {type: bearer}
  allow_unvalidated: true
steps:
  - step_id: extract_cost
    ps_type: rest.extract
    request: {path: /costs, params: {day: "{start_date}"}}
    columns:
      usage_date: day
      id: id
      cost: {field: cost, unit: cents}
    table: acme_cost
"""
POSTED = 'request: {path: /costs, method: POST, params: {v: 2}, body: {from: "{start_epoch}", size: 2}}'
READ = "SELECT id, cost FROM acme_cost ORDER BY id, cost"


def pipeline(**changes: str) -> str:
    """The pipeline with other lines for some of its keys."""
    text = PIPELINE
    for key, line in changes.items():
        found = next((old for old in text.splitlines() if old.strip().startswith(f"{key}:")), None)
        text = text.replace(found, found[: len(found) - len(found.lstrip())] + line) if found else f"{text}    {line}\n"
    return text


def pages(asked: Asked, start: int, size: int = 2) -> list[dict[str, Any]]:
    return ROWS[start : start + size]


PAGINGS = [
    pytest.param(
        "paginator: {type: offset, param: offset, total: meta.total}",
        lambda asked: {
            "data": pages(asked, int(asked.query.get("offset", ["0"])[0])),
            "meta": {"total": 5},
        },
        id="offset",
    ),
    pytest.param(
        "paginator: {type: page_number, param: page, size: 2}",
        lambda asked: {"data": pages(asked, 2 * int(asked.query.get("page", ["1"])[0]) - 2)},
        id="page number",
    ),
    pytest.param(
        "paginator: {type: next_link, link: next}",
        lambda asked: {
            "data": pages(asked, start := int(asked.query.get("at", ["0"])[0])),
            "next": f"http://other.example/costs?day=2026-11-18&at={start + 2}" if start < 4 else None,
        },
        id="next link",
    ),
    pytest.param(
        "paginator: {type: last_id, param: after}",
        lambda asked: {
            "data": pages(asked, start := int(asked.query.get("after", ["-1"])[0]) + 1),
            "has_more": start < 4,
        },
        id="last id",
    ),
]


@pytest.mark.parametrize(("paging", "answer"), PAGINGS)
async def test_every_page_is_read_once(bench: RestBench, acme: Acme, paging: str, answer: Any) -> None:
    bench.write(pipeline(paginator=paging))
    acme.answer = answer
    await bench.run(DAY)
    assert await bench.rows(READ) == [{"id": str(n), "cost": Decimal(150 + n) / 100} for n in range(5)]
    assert len(acme.asked) == 3
    assert {asked.query["day"][0] for asked in acme.asked} == {"2026-11-18"}


async def test_a_posted_query_pages_in_its_body(bench: RestBench, acme: Acme) -> None:
    paging = "paginator: {type: page_number, param: page, start: 0, size: 2, send_in: body}"
    bench.write(pipeline(request=POSTED, paginator=paging))
    acme.answer = lambda asked: {"data": pages(asked, 2 * asked.body.get("page", 0))}
    await bench.run(DAY)
    assert [asked.body for asked in acme.asked] == [
        {"from": 1794960000, "size": 2},
        {"from": 1794960000, "size": 2, "page": 1},
        {"from": 1794960000, "size": 2, "page": 2},
    ]
    assert {(asked.method, asked.query["v"][0]) for asked in acme.asked} == {("POST", "2")}
    assert len(await bench.rows(READ)) == 5


async def test_a_posted_query_pages_in_its_address(bench: RestBench, acme: Acme) -> None:
    bench.write(pipeline(request=POSTED, paginator="paginator: {type: cursor, param: token, cursor: next}"))
    acme.answer = lambda asked: (
        {"data": pages(asked, 3), "next": None} if "token" in asked.query else {"data": pages(asked, 0, 3), "next": "t"}
    )
    await bench.run(DAY)
    assert [asked.body for asked in acme.asked] == [{"from": 1794960000, "size": 2}] * 2
    assert acme.asked[1].query == {"v": ["2"], "token": ["t"]}
    assert len(await bench.rows(READ)) == 5


@pytest.mark.parametrize(
    ("auth", "credential", "header", "sent"),
    [
        ("{type: bearer}", "key-0123456789", "Authorization", "Bearer key-0123456789"),
        ('{type: header, name: X-Key, prefix: "Token "}', "key-0123456789", "X-Key", "Token key-0123456789"),
        ("{type: basic}", "me:secret-012345", "Authorization", "me:secret-012345"),
        ("{type: basic, credential: username}", "key-0123456789", "Authorization", "key-0123456789:"),
        ("{type: basic, credential: password, username: me}", "s3cret-0123", "Authorization", "me:s3cret-0123"),
        ("{type: none}", "key-0123456789", "Authorization", None),
    ],
)
async def test_a_credential_is_shown_in_a_header_only(
    bench: RestBench, acme: Acme, auth: str, credential: str, header: str, sent: str | None
) -> None:
    bench.write(pipeline(auth=f"auth: {auth}").replace("  allow", "  headers: {X-Version: '7'}\n  allow"))
    bench.credential = credential
    await bench.run(DAY)
    [asked] = acme.asked
    found = asked.headers.get(header)
    if found and found.startswith("Basic "):
        found = base64.b64decode(found.removeprefix("Basic ")).decode()
    assert (found, asked.headers["X-Version"]) == (sent, "7")
    assert credential not in str(asked.query)


async def test_a_list_that_never_ends_is_given_up(bench: RestBench, acme: Acme) -> None:
    bench.write(pipeline(paginator="paginator: {type: cursor, param: token, cursor: next}"))
    acme.answer = lambda _asked: {"data": ROWS[:1], "next": "same"}
    with pytest.raises(ProviderMisbehaved, match="does not end"):
        await bench.run(DAY)
    assert len(acme.asked) == 2


async def test_rows_that_come_twice_count_once_and_never_with_two_figures(bench: RestBench, acme: Acme) -> None:
    bench.write(pipeline(keys="keys: [usage_date, id]"))
    acme.answer = lambda _asked: {"data": [*ROWS, ROWS[0]]}
    await bench.run(DAY)
    assert len(await bench.rows(READ)) == 5
    acme.answer = lambda _asked: {"data": [*ROWS, {**ROWS[0], "cost": 1}]}
    with pytest.raises(ProviderMisbehaved, match="came twice"):
        await bench.run(DAY)


async def test_a_row_of_a_day_that_was_not_asked_for_writes_nothing(bench: RestBench, acme: Acme) -> None:
    bench.write(PIPELINE)
    acme.answer = lambda _asked: {"data": [*ROWS, {**ROWS[0], "day": "2026-11-17"}]}
    with pytest.raises(DataQualityError, match="outside"):
        await bench.run(DAY)
    assert await bench.rows(READ) == []


async def test_appended_rows_are_added_once_a_run(bench: RestBench, acme: Acme) -> None:
    bench.write(pipeline(write_mode="write_mode: append"))
    acme.answer = lambda _asked: {"data": ROWS[:2]}
    await bench.run(DAY)
    await bench.run(DAY, fence=1)
    assert len(await bench.rows(READ)) == 2
    await bench.run(DAY)
    assert len(await bench.rows(READ)) == 4


async def test_merged_rows_replace_those_of_their_keys(bench: RestBench, acme: Acme) -> None:
    bench.write(pipeline(write_mode="write_mode: merge", keys="keys: [id]"))
    for costs in ((100, 200), (100, 300, 400)):
        acme.answer = lambda _asked, costs=costs: {
            "data": [{**ROWS[0], "id": number, "cost": cost} for number, cost in enumerate(costs)]
        }
        await bench.run(DAY)
    assert [row["cost"] for row in await bench.rows(READ)] == [Decimal(1), Decimal(3), Decimal(4)]


async def test_an_overwritten_list_falls_by_half_only_if_two_reads_agree(bench: RestBench, acme: Acme) -> None:
    bench.write(pipeline(write_mode="write_mode: overwrite", request="request: {path: /costs}"))
    answers = iter([ROWS, ROWS[:1], ROWS[:2], ROWS[:1], ROWS[:1]])
    acme.answer = lambda _asked: {"data": next(answers)}
    await bench.run(DAY)
    with pytest.raises(DataQualityError, match="do not agree"):
        await bench.run(DAY)
    assert len(await bench.rows(READ)) == 5
    await bench.run(DAY)
    assert len(await bench.rows(READ)) == 1


async def test_too_many_bad_rows_write_nothing_in_any_mode(bench: RestBench, acme: Acme) -> None:
    bench.write(pipeline(write_mode="write_mode: append"))
    acme.answer = lambda _asked: {"data": [*ROWS, *({**row, "cost": "many"} for row in ROWS * 2)]}
    with pytest.raises(DataQualityError, match="10 of 15 rows are bad"):
        await bench.run(DAY)
    assert await bench.rows(READ) == []


async def test_each_organization_has_its_own_host(bench: RestBench, acme: Acme) -> None:
    bench.write(pipeline(base_url="base_url_from: site\n  hosts: ['127.0.0.*']"))
    bench.metadata = {"site": acme.url}
    await bench.run(DAY)
    assert len(acme.asked) == 1


@pytest.mark.parametrize(
    "site", [None, "http://localhost:1", "http://evil@127.0.0.1:1", "http://127.0.0.1:1?x=", "127.0.0.1"]
)
async def test_a_host_that_the_source_does_not_allow_is_never_asked(
    bench: RestBench, acme: Acme, site: str | None
) -> None:
    bench.write(pipeline(base_url="base_url_from: site\n  hosts: ['127.0.0.*']"))
    bench.metadata = {"site": site}
    with pytest.raises(StepFailed) as caught:
        await bench.run(DAY)
    assert (caught.value.code, acme.asked) == ("base_url_unknown", [])


@pytest.mark.parametrize("url", ["BASE_URL", "https://127.0.0.1:1", "https://[::ffff:10.0.0.1]", "https://2130706433"])
async def test_a_private_host_is_never_asked_in_production(bench: RestBench, acme: Acme, url: str) -> None:
    bench.write(pipeline(base_url=f'base_url: "{url}"'))
    bench.production = True
    with pytest.raises(ConvergenceError) as caught:
        await bench.run(DAY)
    assert isinstance(caught.value, ConfigError) or caught.value.code == "address_refused"
    assert acme.asked == []
