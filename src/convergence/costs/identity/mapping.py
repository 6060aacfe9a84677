"""Rows of a sheet or a CSV file as people write them, read into a dated identity mapping. Pure."""

from __future__ import annotations

import csv
import difflib
import io
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Final

from convergence.costs.identity.people import KINDS
from convergence.errors import InvalidRequest
from convergence.security.redaction import MASK, redact

Row = dict[str, Any]
Cells = Sequence[Sequence[Any]]

_HEADERS: Final[dict[str, tuple[str, ...]]] = {
    "provider": ("vendor",),
    "api_key_id": ("key_id",),
    "masked_key": ("masked", "masked_api_key", "key_hint", "hint", "redacted_value", "partial_key_hint"),
    "key_name": ("api_key_name", "name", "key"),
    "user_id": ("user", "account_id", "account"),
    "project_id": ("project", "workspace", "workspace_id"),
    "person": ("person_email", "email", "email_address", "owner", "owner_email"),
    "team": ("team_name",),
    "cost_center": ("cost_centre",),
    "valid_from": ("from", "start", "start_date"),
    "valid_to": ("to", "until", "end", "end_date"),
    "note": ("notes", "comment", "description"),
}
_COLUMNS: Final = {alias.replace("_", ""): name for name, aliases in _HEADERS.items() for alias in (name, *aliases)}
_TARGETS: Final = ("person", "team", "cost_center")
_PROVIDER_NAMES: Final = {"claude": "anthropic", "gcp_sa": "gcp", "google_cloud": "gcp"}
_SECRET: Final = re.compile(
    r"(?<![A-Za-z0-9])(sk-(?:ant-|admin-|proj-|svcacct-|)|crsr_|key_(?=[0-9A-Za-z]{32})|AIza)[A-Za-z0-9_-]{20,}"
    r"|-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----.*",
    re.DOTALL,
)
_HIDDEN_PART: Final = re.compile(r"[*•….]+")
_EMAIL: Final = re.compile(r"[^\s@]{1,64}@[^\s@]{1,255}")
_SHEET_ERROR: Final = re.compile(r"#(?:REF!|N/A|VALUE!|NAME\?|DIV/0!|NULL!|NUM!|ERROR!)")
_SHEET_EPOCH: Final = date(1899, 12, 30)  # day 0 of the serial numbers of spreadsheets
_LONGEST: Final = 200
_MOST_CELLS: Final = 500_000
_FIRST_DAY, _LAST_DAY = date(1900, 1, 1), date(9999, 12, 31)


@dataclass(frozen=True, slots=True)
class MappingFault:
    """A line that was left out, or a part of it: `line` counts from 1; `raw` are its cells without secrets."""

    line: int
    reason: str
    column: str | None = None
    raw: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MappingReading:
    """What was read: rows for identity_mapping, and every line that is not among them."""

    rows: list[Row]
    faults: list[MappingFault]

    def check(self) -> None:
        """Refuse what looks like a sheet that was cleared or broken: it must not wipe the last good mapping.

        Raises:
            InvalidRequest: identity_mapping_empty, identity_mapping_broken.
        """
        if not self.rows:
            raise _unusable("identity_mapping_empty", "no line of it maps anybody", self.faults)
        bad = len({fault.line for fault in self.faults})
        if bad > len(self.rows):
            raise _unusable("identity_mapping_broken", f"{bad} of {bad + len(self.rows)} lines are wrong", self.faults)


def read_csv(content: bytes) -> list[list[str]]:
    """The cells of a CSV file in UTF-8, with or without a byte order mark; separated by comma, semicolon or tab.

    Raises:
        InvalidRequest: not such a file.
    """
    try:
        text = content.decode("utf-8-sig")
        head = text.lstrip("\r\n").partition("\n")[0]
        separator = max(",;\t", key=head.count)
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
    except (UnicodeDecodeError, csv.Error):
        raise InvalidRequest(
            "this is not a CSV file in UTF-8", code="identity_mapping_broken", hint="Export the sheet as CSV."
        ) from None


def read_records(records: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
    """The cells of rows that name their columns."""
    names = list(dict.fromkeys(name for record in records for name in record))
    return [names, *([record.get(name) for name in names] for record in records)]


def read_mapping(cells: Cells, *, source: str, providers: Collection[str]) -> MappingReading:
    """The mapping that these cells are, the first line that is not blank naming the columns.

    A line that is wrong is left out with its reason, and so is one that overlaps an earlier one.

    Raises:
        InvalidRequest: identity_mapping_broken: no columns to read by; identity_mapping_empty: not a line.
    """
    lines = [(number, line) for number, line in enumerate(cells, start=1) if any(map(_text_of, line))]
    if not lines:
        raise _unusable("identity_mapping_empty", "it has no lines", [])
    if sum(len(line) for _, line in lines) > _MOST_CELLS:
        raise _unusable("identity_mapping_broken", f"it has more than {_MOST_CELLS} cells", [])
    reader = _LineReader(_read_header(lines[0][1]), source, providers)
    for number, line in lines[1:]:
        reader.read(number, line)
    return MappingReading(reader.rows, reader.faults)


class _LineReader:
    """Lines one by one; keeps what it has read to see what overlaps."""

    def __init__(self, columns: Sequence[str], source: str, providers: Collection[str]) -> None:
        self._columns = columns
        self._source = source
        self._providers = providers
        self._held: dict[tuple[str | None, str, str], list[tuple[int, Row]]] = {}
        self.rows: list[Row] = []
        self.faults: list[MappingFault] = []

    def read(self, number: int, line: Sequence[Any]) -> None:
        found = list(_find_secrets(self._columns, line))
        row: Row = {}
        if not found:
            row, found = self._convert(dict(zip(self._columns, line, strict=False)))
        if not found:
            found = [*self._find_overlap(row)]
        if found:
            raw = _show(self._columns, line)
            self.faults += [MappingFault(number, reason, column, raw) for column, reason in found]
        else:
            self.rows.append(row)
            self._held.setdefault(_subject(row), []).append((number, row))

    def _convert(self, cells: Mapping[str, Any]) -> tuple[Row, list[tuple[str | None, str]]]:
        row: Row = {"person": "", "team": "", "source": self._source}
        faults: list[tuple[str | None, str]] = []
        for name in _HEADERS:
            cell = cells.get(name)
            if not _text_of(cell):
                continue
            try:
                row[name] = self._convert_cell(name, cell)
            except ValueError as error:
                faults.append((name, str(error)))
        return row, faults or list(_find_gaps(row))

    def _convert_cell(self, name: str, cell: Any) -> Any:
        if name in ("valid_from", "valid_to"):
            return _read_day(cell)
        text = _text_of(cell)
        if isinstance(cell, float) or _SHEET_ERROR.fullmatch(text):
            raise ValueError(f"is {text}: format the cell as plain text, and give it a value")
        if len(text) > _LONGEST or not text.isprintable():
            raise ValueError(f"is not up to {_LONGEST} printable characters")
        match name:
            case "provider":
                return self._read_provider(text)
            case "person":
                return _read_email(text)
            case "masked_key":
                return _HIDDEN_PART.sub("*", text)
            case "user_id":
                return text.lower() if "@" in text else text
            case _:
                return text

    def _read_provider(self, text: str) -> str:
        name = _normalize(text)
        name = _PROVIDER_NAMES.get(name, name)
        if name in self._providers:
            return name
        near = difflib.get_close_matches(name, self._providers, n=1)
        known = f"did you mean {near[0]}?" if near else f"one of {', '.join(self._providers)}"
        raise ValueError(f"{mask(text)[:50]!r} is no provider; {known}")

    def _find_overlap(self, row: Row) -> Iterator[tuple[str | None, str]]:
        """One mapping a day and account: a second one would be a guess."""
        for line, other in self._held.get(_subject(row), ()):
            if _is_same(row, other):
                yield None, f"repeats line {line}"
                return
            if _span(row)[0] < _span(other)[1] and _span(other)[0] < _span(row)[1]:
                yield None, f"overlaps line {line}, which says otherwise; give both dates, or delete one"
                return


def mask(text: str) -> str:
    """`text` without pasted keys: what kind of key it was stays."""
    return redact(_SECRET.sub(lambda match: f"{match[1] or ''}{MASK}", text))


def _read_header(line: Sequence[Any]) -> list[str]:
    columns = [_COLUMNS.get(_normalize(_text_of(cell)).replace("_", ""), "") for cell in line]
    named = [name for name in columns if name]
    twice = sorted({name for name in named if named.count(name) > 1})
    if twice:
        raise _unusable("identity_mapping_broken", f"two columns are {', '.join(twice)}", [])
    if not set(named) & set(KINDS) or not set(named) & set(_TARGETS):
        raise _unusable("identity_mapping_broken", "its first line does not name the columns", [])
    return columns


def _show(columns: Sequence[str], line: Sequence[Any]) -> dict[str, str]:
    """What a line says, by the names of its columns, without secrets."""
    names = [*columns, *[""] * len(line)]
    texts = ((names[place] or f"column {place + 1}", _text_of(cell)) for place, cell in enumerate(line))
    return {name: mask(text)[:_LONGEST] for name, text in texts if text}


def _find_secrets(columns: Sequence[str], line: Sequence[Any]) -> Iterator[tuple[str | None, str]]:
    """Keys that were pasted whole, in any column: whoever can read the sheet has them."""
    for place, cell in enumerate(line):
        if _SECRET.search(_text_of(cell)):
            column = columns[place] if place < len(columns) else ""
            yield column or None, "holds a secret key: revoke it, and name the key by its id, mask or name"


def _find_gaps(row: Row) -> Iterator[tuple[str | None, str]]:
    accounts = [kind for kind in KINDS[:-1] if row.get(kind)]
    if not accounts and not row["person"]:
        yield None, "names no key, account, project or person"
    elif accounts and not row.get("provider"):
        yield "provider", f"is missing: a {accounts[0]} is one provider's"
    elif not any(row.get(name) for name in (_TARGETS if accounts or row.get("provider") else _TARGETS[1:])):
        yield None, "maps to nobody: give a person, a team or a cost centre"
    if _span(row)[0] >= _span(row)[1]:
        yield "valid_to", "is not after valid_from; it is the first day on which the line no longer holds"


def _subject(row: Row) -> tuple[str | None, str, str]:
    """Whom a row is about: by the most telling name that it gives."""
    kind = next(kind for kind in KINDS if row.get(kind))
    return row.get("provider"), kind, row[kind]


def _span(row: Row) -> tuple[date, date]:
    return row.get("valid_from") or _FIRST_DAY, row.get("valid_to") or _LAST_DAY


def _is_same(row: Row, other: Row) -> bool:
    return {**row, "note": None} == {**other, "note": None}


def _read_email(text: str) -> str:
    if not _EMAIL.fullmatch(text):
        raise ValueError(f"{mask(text)[:80]!r} is not an e-mail address")
    return text.lower()


def _read_day(cell: Any) -> date:
    """A day as text, or as the serial number that a spreadsheet keeps it by."""
    if isinstance(cell, int | float) and not isinstance(cell, bool) and 1 <= cell < 2_958_466:
        return _SHEET_EPOCH + timedelta(days=int(cell))
    try:
        return date.fromisoformat(_text_of(cell))
    except ValueError:
        raise ValueError(f"{mask(_text_of(cell))[:50]!r} is not a day such as 2026-01-31") from None


def _text_of(cell: Any) -> str:
    """NFKC, trimmed. Text stays the text it is: '00123' and '1e5' are ids."""
    if cell is None:
        return ""
    return unicodedata.normalize("NFKC", cell if isinstance(cell, str) else str(cell)).strip()


def _normalize(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.casefold()).strip("_")


def _unusable(code: str, why: str, faults: Iterable[MappingFault]) -> InvalidRequest:
    told = [f"line {fault.line}: {fault.column or 'the line'} {fault.reason}" for fault in faults]
    return InvalidRequest(
        f"the mapping cannot be used: {why}",
        code=code,
        hint="The last good mapping stays. Columns are provider, api_key_id, masked_key, key_name, user_id, project_id,"
        " person_email, team, cost_center, valid_from and valid_to.",
        fields={"faults": told[:50]} if told else None,
    )
