"""Google Sheets: the key of a service account that may read a spreadsheet, or an API key for a public one."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from convergence.connectors.auth import HeaderAuth, bearer, header_key
from convergence.errors import CredentialInvalid, ProviderRejected
from convergence.integrations.models import Validation
from convergence.integrations.validators._keys import check_shape, refuse_key
from convergence.security.service_accounts import TOKEN_URI, ServiceAccountKey

if TYPE_CHECKING:
    from convergence.connectors import HttpPool, ProviderClient

PROVIDER: Final = "google_sheets"
SCOPE: Final = "https://www.googleapis.com/auth/spreadsheets.readonly"
_HOST: Final = "https://sheets.googleapis.com"
_FIELDS: Final = "spreadsheetId,properties.title,sheets.properties(title,sheetId)"
_LINK: Final = re.compile(r"https://docs\.google\.com/spreadsheets/(?:u/\d+/)?d/([A-Za-z0-9_-]+)[^\s]*")
_ID: Final = re.compile(r"[A-Za-z0-9_-]{10,100}")
_GID: Final = re.compile(r"[#?&]gid=(\d{1,12})")
_TAB: Final = re.compile(r"\d{1,12}", re.ASCII)
_CELLS: Final = re.compile(r"[A-Za-z]{1,3}\d{0,7}(:[A-Za-z]{1,3}\d{0,7})?")


@dataclass(frozen=True, slots=True)
class SheetPlace:
    """Where a mapping lies. A tab keeps its `sheet_id` (gid in the link) when it is renamed; without, it is the first.

    `cells` is a part of the tab in A1 notation, such as A1:F.
    """

    spreadsheet_id: str
    sheet_id: int | None = None
    cells: str | None = None

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> SheetPlace:
        """From metadata or parameters: `spreadsheet_id` (or the link), `sheet_id`, `cells`.

        Raises:
            CredentialInvalid: one is missing or malformed.
        """
        text, tab, cells = (str(_given(values.get(name))).strip() for name in ("spreadsheet_id", "sheet_id", "cells"))
        link, gid = _LINK.fullmatch(text), _GID.search(text)
        found, tab = link[1] if link else text, tab or (gid[1] if gid else "")
        if not _ID.fullmatch(found):
            raise _misplaced("spreadsheet_id is missing, or is neither an id nor the link of a spreadsheet")
        if tab and not _TAB.fullmatch(tab):
            raise _misplaced("sheet_id is not the number behind gid= in the link of the tab")
        if cells and not _CELLS.fullmatch(cells):
            raise _misplaced("cells is no range such as A1:F")
        return cls(found, int(tab) if tab else None, cells or None)


@dataclass(frozen=True, slots=True)
class Spreadsheet:
    """Its title, and its tabs by id, in their order."""

    title: str
    tabs: Mapping[int, str]

    def tab(self, place: SheetPlace) -> str:
        """The title of the tab.

        Raises:
            CredentialInvalid: there is no such tab.
        """
        found = next(iter(self.tabs.values()), None) if place.sheet_id is None else self.tabs.get(place.sheet_id)
        if found is None:
            tabs = ", ".join(f"{title} ({gid})" for gid, title in self.tabs.items())
            raise _misplaced(f"the spreadsheet has no tab {place.sheet_id}; it has {tabs[:300]}")
        return found


async def check_place(
    http: HttpPool,
    org_slug: str,
    credential: str,
    metadata: Mapping[str, Any],
    *,
    now: datetime,  # noqa: ARG001 - the protocol
) -> Validation:
    """Open the spreadsheet and find its tab.

    Raises:
        CredentialInvalid: a key that Google refuses, a spreadsheet that is not shared with it, or no such tab.
        ProviderUnavailable: Google could not be asked.
    """
    place = SheetPlace.read(metadata)
    client = await open_client(http, org_slug, credential)
    sheet = await open_spreadsheet(client, place, credential)
    return Validation(account={"id": _whose(credential), "spreadsheet": sheet.title, "tab": sheet.tab(place)})


async def open_client(http: HttpPool, org_slug: str, credential: str) -> ProviderClient:
    """
    Raises:
        CredentialInvalid: neither an API key nor the key of a service account, or Google refuses it.
        ProviderUnavailable: Google could not be asked.
    """
    return http.client(org_slug, PROVIDER, await _build_auth(http, credential.strip()))


async def open_spreadsheet(client: ProviderClient, place: SheetPlace, credential: str) -> Spreadsheet:
    """
    Raises:
        CredentialInvalid: it is not there, or not for this key.
    """
    values = {"spreadsheet_id": place.spreadsheet_id}
    try:
        page = await client.get("/v4/spreadsheets/{spreadsheet_id}", [("fields", _FIELDS)], path_values=values)
    except ProviderRejected as error:
        raise refuse_key(error, _explain(error, _whose(credential))) from None
    tabs = [sheet.get("properties", {}) for sheet in page.envelope.get("sheets", ())]
    title = (page.envelope.get("properties") or {}).get("title", "")
    return Spreadsheet(title, {tab["sheetId"]: tab["title"] for tab in tabs if "sheetId" in tab and "title" in tab})


async def _build_auth(http: HttpPool, credential: str) -> HeaderAuth:
    if not credential.startswith("{"):
        check_shape(credential, "Paste the JSON key of a service account, or an API key (AIza...) for a public sheet.")
        return header_key("x-goog-api-key", credential)
    key = ServiceAccountKey.read(credential)
    base_url = http.base_url(PROVIDER) or _HOST
    token_uri = TOKEN_URI if base_url == _HOST else f"{base_url}/token"
    return bearer(await asyncio.to_thread(key.fetch_token, [SCOPE], token_uri))


def _given(value: Any) -> Any:
    return "" if value is None else value


def _whose(credential: str) -> str:
    if not credential.strip().startswith("{"):
        return "API key"
    return ServiceAccountKey.read(credential).client_email


def _explain(error: ProviderRejected, who: str) -> str:
    match error.status:
        case 404:
            return "There is no spreadsheet of this id: copy it from the link, between /d/ and /edit."
        case 403 if "@" in who:
            return f"Share the spreadsheet with {who} as Viewer, and enable the Google Sheets API in its project."
        case 403:
            return "An API key reads public sheets only: share it by link, or use the key of a service account."
        case _:
            return "Check the key, and that the Google Sheets API is enabled in its project."


def _misplaced(message: str) -> CredentialInvalid:
    return CredentialInvalid(
        message,
        hint='Set it up with metadata such as {"spreadsheet_id": "1AbC...", "sheet_id": "0"}.',
        fields={"validation_status": "INVALID"},
    )
