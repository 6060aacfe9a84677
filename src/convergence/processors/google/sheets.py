"""google.sheets: a tab of a spreadsheet as the organization's whole identity mapping."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from convergence.connectors import ProviderClient
from convergence.costs.identity.loading import load_mapping
from convergence.errors import CredentialInvalid, ProviderMisbehaved, StepFailed
from convergence.integrations.validators.google_sheets import PROVIDER, SheetPlace, open_client, open_spreadsheet
from convergence.steps import StepContext, StepResult

# Formatted values are spelled for the sheet's locale: '1,000', '3/1/2026'.
_RENDERED: Final = (
    ("majorDimension", "ROWS"),
    ("valueRenderOption", "UNFORMATTED_VALUE"),
    ("dateTimeRenderOption", "SERIAL_NUMBER"),
)
_PLACES: Final = ("spreadsheet_id", "sheet_id", "cells")


class Config(BaseModel):
    """Where the mapping lies, unless the run or the integration's metadata says so."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    spreadsheet_id: str | None = None
    sheet_id: int | None = None
    cells: str | None = None


def get_engine() -> Engine:
    return Engine()


class Engine:
    """An empty or broken sheet fails the run; the last good mapping stays."""

    async def execute(self, step_config: Mapping[str, Any], context: StepContext, /) -> StepResult:
        config = Config.model_validate(step_config)
        credential = await context.credentials.reveal(context.tenant, PROVIDER)
        try:
            place = await _find_place(config, context)
            client = await open_client(context.http, context.tenant.org_slug, credential)
            title = (await open_spreadsheet(client, place, credential)).tab(place)
        except CredentialInvalid as error:
            raise StepFailed(error.message, code="sheet_unreadable", hint=error.hint) from error
        return await load_mapping(context, await _read_cells(client, place, title), PROVIDER)


async def _find_place(config: Config, context: StepContext) -> SheetPlace:
    given = await context.credentials.given(context.tenant, PROVIDER)
    parameters = {name: context.parameters[name] for name in _PLACES if name in context.parameters}
    return SheetPlace.read({**given, **config.model_dump(exclude_none=True), **parameters})


async def _read_cells(client: ProviderClient, place: SheetPlace, title: str) -> list[list[Any]]:
    """All lines of the tab. One without any has no `values` at all."""
    quoted = "'" + title.replace("'", "''") + "'"
    values = {"spreadsheet_id": place.spreadsheet_id, "range": f"{quoted}!{place.cells}" if place.cells else quoted}
    page = await client.get("/v4/spreadsheets/{spreadsheet_id}/values/{range}", _RENDERED, path_values=values)
    cells = page.envelope.get("values", [])
    if not isinstance(cells, list) or not all(isinstance(line, list) for line in cells):
        raise ProviderMisbehaved("Google Sheets sent values that are no lines", code="values_malformed")
    return cells
