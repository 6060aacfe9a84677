"""A billing account on Google Cloud: what was used, and when Google told it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from convergence.kit.window import DAY, Window, midnight
from convergence.simulator.amounts import empty_sums, nested_sums, to_decimal, to_decimals
from convergence.simulator.chance import draw, draws
from convergence.simulator.company import TEAMS
from convergence.simulator.gcp.rows import PACIFIC, BillingRow, write_row
from convergence.simulator.gcp.skus import SKUS, Sku

_HOUR = timedelta(hours=1)
_INVOICE = Sku("INV0-0000-0001", "Invoice", "INV0-TAX0-0001", "Tax", "", "", 1, 0, 0)
_ROUNDING = Sku("INV0-0000-0001", "Invoice", "INV0-RND0-0001", "Rounding error", "", "", 1, 0, 0)
_SUPPORT = Sku("2062-016F-44A2", "Support", "1A0C-5C4B-9B1F", "Enhanced Support", "", "", 1, 0, 0)
_NO_PROJECT = "none"


class GcpBillingWorld:
    """The export of one billing account, from its seed. Two worlds of equal arguments are equal.

    Usage runs from `end_day - days` up to, and without, `end_day`. Most rows are exported within hours; one in twenty
    four days later; one in thirty is corrected after nine days, by a row of its own on the next invoice where the month
    is over. One in ten comes twice, legitimately. Tax, rounding and support have no project; tax comes on the fifth of
    the next month. `rate` is units of `currency` for one US dollar.
    """

    def __init__(
        self,
        seed: int = 7,
        *,
        end_day: date,
        days: int = 30,
        rows_per_day: int = 40,
        projects: int = 4,
        currency: str = "USD",
        rate: Decimal = Decimal(1),
        detailed: bool = False,
        account: str = "01A2B3-C4D5E6-F7A8B9",
    ) -> None:
        self.seed = seed
        self.window = Window(end_day - days * DAY, end_day)
        self.rows_per_day = rows_per_day
        self.projects = tuple(_name_project(place) for place in range(projects))
        self.currency = currency
        self.rate = rate
        self.detailed = detailed
        self.account = account
        self._rows = sorted(self._generate(), key=lambda row: row.exported_at)

    @property
    def table(self) -> str:
        """The name that Google gives the export's table."""
        kind = "resource_v1" if self.detailed else "v1"
        return f"gcp_billing_export_{kind}_{self.account.replace('-', '_')}"

    def rows(self, now: datetime) -> list[dict[str, Any]]:
        """What the export holds at this moment, as JSON values, in the order of its export."""
        return [self._write(row) for row in self._exported(now)]

    def partitions(self, now: datetime) -> dict[date, list[dict[str, Any]]]:
        """The same by load partition."""
        found: dict[date, list[dict[str, Any]]] = {}
        for row in self._exported(now):
            found.setdefault(row.partition, []).append(self._write(row))
        return found

    def truth(self, now: datetime) -> dict[str, Any]:
        """Exact sums of what is exported at this moment. `cost` is net of credits."""
        cost, gross, credit = nested_sums(), 0, empty_sums()
        rows = self._exported(now)
        for row in rows:
            gross += row.cost
            for name, group in _groups(row).items():
                cost[name][group] += row.net
            for kind, amount in row.credits:
                credit[kind] += amount
        return {
            "provider": "gcp",
            "seed": self.seed,
            "start": self.window.start.isoformat(),
            "end": self.window.end.isoformat(),
            "currency": self.currency,
            "rows": len(rows),
            "gross_cost": to_decimal(gross, 9),
            "credits": to_decimals({"by_type": credit}, 9)["by_type"],
            "cost": {**to_decimals(cost, 9), "total": to_decimal(cost["total"]["total"], 9)},
        }

    def _exported(self, now: datetime) -> list[BillingRow]:
        return [row for row in self._rows if row.exported_at <= now]

    def _write(self, row: BillingRow) -> dict[str, Any]:
        return write_row(row, self.account, self.currency, self.rate, detailed=self.detailed)

    def _generate(self) -> Iterator[BillingRow]:
        for day in self.window.days():
            for place in range(self.rows_per_day):
                yield from self._generate_usage(day, place)
            if day.day == 2:
                yield self._charge(day, _SUPPORT, 29_000_000_000, midnight(day) + 5 * _HOUR)
        for month in sorted({day.replace(day=1) for day in self.window.days()}):
            yield from self._close_month(month)

    def _generate_usage(self, day: date, place: int) -> Iterator[BillingRow]:
        chance = draws(8, self.seed, "gcp", day, place)
        sku = SKUS[chance[0] % len(SKUS)]
        start = midnight(day) + (chance[1] % 24) * _HOUR
        quantity = (1 + chance[2]) * (sku.units_each // 1_000 or 1)
        cost = quantity * sku.price_nano // sku.units_each
        project = self.projects[chance[3] % len(self.projects)]
        delay = timedelta(days=4) if chance[4] % 20 == 0 else (2 + chance[4] % 16) * _HOUR
        row = BillingRow(
            start=start,
            end=start + _HOUR,
            exported_at=start + delay,
            sku=sku,
            project=project,
            team=TEAMS[chance[3] % len(TEAMS)] if chance[5] % 4 else None,
            cost=cost,
            credits=_credits(sku, cost, chance[6]),
            listed=quantity * sku.list_nano // sku.units_each,
            quantity=quantity,
            resource=f"projects/{project}/resources/{chance[3] % 3}" if self.detailed else None,
            tags={"environment": "prod"} if chance[5] % 3 == 0 else {},
        )
        yield row
        if chance[7] % 10 == 0:
            yield row
        if chance[7] % 30 == 7:
            yield _correct(row)

    def _close_month(self, month: date) -> Iterator[BillingRow]:
        following = (month + timedelta(days=32)).replace(day=1)
        told = midnight(following) + timedelta(days=4, hours=9)
        tax = 1_000_000_000 + draw(self.seed, "tax", month) * 10_000
        for sku, amount, kind in ((_INVOICE, tax, "tax"), (_ROUNDING, -1_000_000, "rounding_error")):
            yield self._charge(month, sku, amount, told, until=following, cost_type=kind)

    def _charge(
        self, day: date, sku: Sku, cost: int, told: datetime, *, until: date | None = None, cost_type: str = "regular"
    ) -> BillingRow:
        start = midnight(day) - PACIFIC
        end = midnight(until or day + DAY) - PACIFIC
        return BillingRow(start, end, told, sku, None, None, cost, cost_type=cost_type, listed=cost)


def _name_project(place: int) -> str:
    team = TEAMS[place % len(TEAMS)]
    return f"{team.lower().replace(' ', '-')}-{place}"


def _credits(sku: Sku, cost: int, chance: int) -> tuple[tuple[str, int], ...]:
    """A third of what has credits at all has none, a third has one, a third has two."""
    if sku.credit is None or not chance % 3:
        return ()
    first = (sku.credit, -(cost * (chance % 60) // 100))
    return (first, ("DISCOUNT", -(cost // 50))) if chance % 3 == 2 else (first,)


def _correct(row: BillingRow) -> BillingRow:
    """Some of it taken back, nine days later, by an invoice that is still open then."""
    told = row.exported_at + timedelta(days=9)
    return BillingRow(
        start=row.start,
        end=row.end,
        exported_at=told,
        sku=row.sku,
        project=row.project,
        team=row.team,
        cost=-(row.cost // 4),
        quantity=-(row.quantity // 4),
        cost_type="adjustment",
        invoice_month=f"{told.astimezone(UTC) + PACIFIC:%Y%m}",
        resource=row.resource,
    )


def _groups(row: BillingRow) -> dict[str, str]:
    return {
        "total": "total",
        "by_day": row.start.date().isoformat(),
        "by_invoice_month": row.month,
        "by_project": row.project or _NO_PROJECT,
        "by_service": row.sku.service,
        "by_sku": row.sku.description,
        "by_cost_type": row.cost_type,
    }
