"""The export of the console, as its browser writes it: two CSV files in either schema, alone or in a ZIP."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Literal

from convergence.kit.window import DAY, Window
from convergence.simulator.amounts import PICO_PLACES, Sums, amount_text, empty_sums
from convergence.simulator.deepseek.offers import NEW_TYPE, NEW_TYPE_PRICE, REQUESTS, TYPES
from convergence.simulator.deepseek.truth import charge, split_wallets

if TYPE_CHECKING:
    from convergence.simulator.deepseek.world import DeepSeekWorld, Use

_BOM = b"\xef\xbb\xbf"
_COST_PLACES = 16
_PACKED_AT = (2026, 11, 20, 12, 0, 0)  # equal exports are equal files
Cells = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ExportForm:
    """`schema` utc_date is the older one, by UTC day. The newer one has the offset of the exporter's clock, by day or
    by the hour. `compact` writes days as 20260501, `plain_keys` does not mask, `new_type` counts what is new.
    """

    schema: Literal["utc_date", "iso"] = "iso"
    by: Literal["day", "hour"] = "day"
    offset: timedelta = timedelta()
    compact: bool = False
    plain_keys: bool = False
    new_type: bool = False
    line_end: str = "\r\n"

    @property
    def zone(self) -> timezone:
        return timezone(self.offset)


def build_export(world: DeepSeekWorld, days: Window, now: datetime, form: ExportForm | None = None) -> dict[str, bytes]:
    """The amount and the cost file of some days of the exporter's clock, by their names."""
    form = form or ExportForm()
    amounts: Sums = empty_sums()
    costs: Sums = empty_sums()
    keyed: dict[str, Cells] = {}
    for period, use in _uses(world, days, now, form):
        for cells, amount in _amounts(world, use, form):
            _add(amounts, keyed, (*period, use.offer.model, *cells), amount)
        for wallet, cost in split_wallets(world, use, charge(world, use)).items():
            _add(costs, keyed, (*period, use.offer.model, wallet), cost)
        if form.new_type:
            price = int(NEW_TYPE_PRICE) * 10**6
            _add(costs, keyed, (*period, use.offer.model, "Paid"), price)
    time = ("utc_date",) if form.schema == "utc_date" else ("start_time_iso", "end_time_iso")
    head = ("user_id", *time, "model")
    name = f"{days.start}_{days.last}.csv"
    return {
        f"amount-{name}": _write(
            (*head, "api_key_name", "api_key", "type", "price", "amount"),
            ((world.user_id, *keyed[text], str(amounts[text])) for text in sorted(amounts)),
            form,
        ),
        f"cost-{name}": _write(
            (*head, "wallet_type", "cost", "currency"),
            ((world.user_id, *keyed[text], _cost_text(costs[text]), world.currency) for text in sorted(costs)),
            form,
        ),
    }


def zip_export(files: Mapping[str, bytes]) -> bytes:
    """The files as the console packs them."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo(name, _PACKED_AT)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, data)
    return content.getvalue()


def _uses(world: DeepSeekWorld, days: Window, now: datetime, form: ExportForm) -> Iterator[tuple[Cells, Use]]:
    """Usage whose local day is among the days, with the cells of its period."""
    around = Window(days.start - DAY, days.end + DAY)
    for day in around.days():
        for use in world.uses(day, now):
            local = use.hour.astimezone(form.zone)
            if local.date() in days:
                yield _period(local, form), use


def _period(local: datetime, form: ExportForm) -> Cells:
    if form.schema == "utc_date":
        return (_day_text(local.date(), form),)
    start = local if form.by == "hour" else local.replace(hour=0, minute=0)
    length = timedelta(hours=1) if form.by == "hour" else DAY
    return start.isoformat(), (start + length).isoformat()


def _day_text(day: date, form: ExportForm) -> str:
    return day.strftime("%Y%m%d") if form.compact else day.isoformat()


def _amounts(world: DeepSeekWorld, use: Use, form: ExportForm) -> Iterator[tuple[Cells, int]]:
    rate = use.offer.rate(world.currency)
    key = (use.key.name, use.key.secret if form.plain_keys else use.key.masked)
    for measure, amount in enumerate(use.measures):
        price = "" if measure == REQUESTS else amount_text(rate.pico(measure), PICO_PLACES)
        if amount:
            yield (*key, TYPES[measure], price), amount
    if form.new_type:
        yield (*key, NEW_TYPE, amount_text(int(NEW_TYPE_PRICE) * 10**6, PICO_PLACES)), 1


def _add(sums: Sums, keyed: dict[str, Cells], cells: Cells, amount: int) -> None:
    text = "\x1f".join(cells)
    keyed[text] = cells
    sums[text] += amount


def _cost_text(pico: int) -> str:
    whole, part = divmod(pico, 10**PICO_PLACES)
    return f"{whole}.{part:0{PICO_PLACES}d}".ljust(len(str(whole)) + 1 + _COST_PLACES, "0")


def _write(names: Cells, rows: Iterator[Cells], form: ExportForm) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator=form.line_end)
    writer.writerow(names)
    writer.writerows(rows)
    return _BOM + text.getvalue().encode()
