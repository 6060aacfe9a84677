"""Who spends what: the mapping of keys, accounts and people to teams, what it would move, and what it leaves out."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query
from pydantic import Field, JsonValue

from convergence.api.deps import OrgOf, PlatformOf
from convergence.api.fields import Amount, Answer, Body, Day, Text, Time
from convergence.api.gate import GatedRoute, org_key
from convergence.api.routers.costs import choose_window
from convergence.bootstrap import Platform
from convergence.costs.identity.mapping import Cells, read_csv, read_records
from convergence.costs.identity.moves import preview_mapping
from convergence.costs.identity.service import IdentityMapping
from convergence.costs.identity.unmapped import read_unmapped
from convergence.errors import InvalidRequest
from convergence.kit.jsontext import loads
from convergence.tenancy import OrgScope

router = APIRouter(prefix="/api/v1/identity", tags=["identity"], route_class=GatedRoute)
_READ = [org_key("costs:read")]
_MOST_CHARACTERS: Final = 8_000_000
_MOST_ROWS: Final = 50_000


class MappingRow(Answer):
    """One line: an account of a provider, or a person, and whose it is. `valid_to` is the first day without it."""

    provider: str | None
    api_key_id: str | None
    masked_key: str | None
    key_name: str | None
    user_id: str | None
    project_id: str | None
    person: str | None
    team: str | None
    cost_center: str | None
    valid_from: date | None
    valid_to: date | None
    note: str | None
    source: str | None


class MappingError(Answer):
    """A line that was left out. `raw` are its cells, secrets masked."""

    line: int
    column: str | None
    reason: str
    raw: dict[str, Any]


class IdentityAnswer(Answer):
    """The whole mapping, and what was left out of the last sheet or file that was read."""

    org_slug: str
    items: list[MappingRow]
    next_cursor: None = None
    errors: list[MappingError]
    errors_read_at: Time | None


class PreviewBody(Body):
    """`csv` or `rows`: the mapping in question. Both days are included; without them it is the last 30."""

    csv: Annotated[Text, Field(max_length=_MOST_CHARACTERS)] | None = None
    rows: Annotated[list[dict[str, JsonValue]], Field(max_length=_MOST_ROWS)] | None = None
    start_date: Day | None = None
    end_date: Day | None = None


class Spender(Answer):
    person: str | None
    team: str | None
    cost_center: str | None


class Move(Answer):
    """Cost that would change hands, first and last day included."""

    before: Spender
    after: Spender
    billed_cost: Amount
    list_cost: Amount | None
    currency: str
    first_day: date
    last_day: date


class MovedTotal(Answer):
    currency: str
    billed_cost: Amount
    moved_cost: Amount


class PreviewAnswer(Answer):
    """What would move, the largest first. `totals` has one entry a currency; a mapping never changes billed_cost."""

    org_slug: str
    start_date: date
    end_date: date
    rows: int
    moves: list[Move]
    totals: list[MovedTotal]
    errors: list[MappingError]


class UnmappedQuery(Body):
    """Both days are included; without them it is the last 30."""

    start_date: Day | None = None
    end_date: Day | None = None
    limit: Annotated[int, Field(ge=1, le=10_000)] = 1000


class UnmappedRow(Answer):
    """An account without a team. Without `kind` it is cost that names no key, account or project."""

    provider: str
    kind: Literal["api_key_id", "user_id", "project_id"] | None
    account: str | None
    name: str | None
    person: str | None
    project: str | None
    billed_cost: Amount
    list_cost: Amount | None
    currency: str
    first_day: date
    last_day: date


class UnmappedTotal(Answer):
    currency: str
    billed_cost: Amount
    unmapped_cost: Amount


class UnmappedAnswer(Answer):
    """The most expensive first. `totals` has one entry a currency."""

    org_slug: str
    start_date: date
    end_date: date
    items: list[UnmappedRow]
    next_cursor: None = None
    totals: list[UnmappedTotal]


@router.get("/{org}", dependencies=_READ)
async def show_identity(org: OrgOf, platform: PlatformOf) -> IdentityAnswer:
    """The mapping as it holds, and the lines that were left out of it, with the reasons."""
    mapping = _mapping(platform, org)
    faults = await mapping.faults()
    errors = [
        MappingError(line=row["line"], column=row["error_path"], reason=row["reason"], raw=loads(row["raw"] or "{}"))
        for row in faults
    ]
    return IdentityAnswer(
        org_slug=org.org_slug,
        items=[_show_row(row) for row in await mapping.rows()],
        errors=errors,
        errors_read_at=faults[0]["ingestion_timestamp"] if faults else None,
    )


@router.post("/{org}/preview", dependencies=_READ)
async def preview_identity(body: PreviewBody, org: OrgOf, platform: PlatformOf) -> PreviewAnswer:
    """Which dollars another mapping would move between people, teams and cost centres. Changes nothing.

    422 where loading it would be refused: `identity_mapping_empty`, `identity_mapping_broken`.
    """
    window = choose_window(body.start_date, body.end_date, platform.clock)
    reading = await _mapping(platform, org).read(_cells(body), "api")
    reading.check()
    moves = await preview_mapping(platform.warehouse, org, window, reading.rows)
    return PreviewAnswer(
        org_slug=org.org_slug,
        start_date=window.start,
        end_date=window.last,
        rows=len(reading.rows),
        moves=[_move(row) for row in moves.rows],
        totals=[MovedTotal.model_validate(row) for row in moves.totals],
        errors=[MappingError.model_validate(fault) for fault in reading.faults],
    )


@router.get("/{org}/unmapped", dependencies=_READ)
async def list_unmapped(org: OrgOf, platform: PlatformOf, asked: Annotated[UnmappedQuery, Query()]) -> UnmappedAnswer:
    """Keys, accounts and projects that no team pays for, by their dollars."""
    window = choose_window(asked.start_date, asked.end_date, platform.clock)
    found = await read_unmapped(platform.warehouse, org, window, limit=asked.limit)
    return UnmappedAnswer(
        org_slug=org.org_slug,
        start_date=window.start,
        end_date=window.last,
        items=[UnmappedRow.model_validate(row) for row in found.rows],
        totals=[UnmappedTotal.model_validate(row) for row in found.totals],
    )


def _mapping(platform: Platform, org: OrgScope) -> IdentityMapping:
    return IdentityMapping(platform.warehouse, platform.catalog, org)


def _cells(body: PreviewBody) -> Cells:
    if (body.csv is None) == (body.rows is None):
        raise InvalidRequest("give either csv or rows", hint='For example {"csv": "person,team\\nada@example.com,A"}.')
    return read_csv(body.csv.encode()) if body.csv is not None else read_records(body.rows or [])


def _show_row(row: dict[str, Any]) -> MappingRow:
    """The table keeps no person as an empty text."""
    return MappingRow.model_validate({**row, "person": row["person"] or None, "team": row["team"] or None})


def _move(row: dict[str, Any]) -> Move:
    names = ("person", "team", "cost_center")
    before = Spender.model_validate({name: row[f"from_{name}"] for name in names})
    return Move.model_validate({**row, "before": before, "after": Spender.model_validate(row)})
