"""Seat plans of an organization, and what they cost month by month."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

from convergence.costs.dated import DatedRecords, check_span
from convergence.costs.fields import (
    Reader,
    read_currency,
    read_day,
    read_fields,
    read_period,
    read_price,
    read_seats,
    read_seed,
    read_text,
    refuse,
)
from convergence.costs.records import RecordTable
from convergence.errors import ConfigError, Fault, InvalidRequest
from convergence.kit.money import allocate
from convergence.kit.window import spans_meet
from convergence.tenancy import OrgScope
from convergence.warehouse import Warehouse

if TYPE_CHECKING:
    from convergence.catalog import Catalog

_KEYS = ("plan_name", "valid_from")
_READERS: dict[str, Reader] = {
    "plan_name": read_text,
    "seats": read_seats,
    "unit_price": read_price,
    "currency": read_currency,
    "billing_period": read_period,
    "valid_from": read_day,
    "valid_to": read_day,
}
_REQUIRED = ("plan_name", "seats", "unit_price")


@dataclass(frozen=True, slots=True)
class Plan:
    """A seat plan, from `valid_from` up to, and without, `valid_to`; None is open. `unit_price` is of one seat."""

    plan_name: str
    seats: int
    unit_price: Decimal
    currency: str = "USD"
    billing_period: str = "month"
    valid_from: date | None = None
    valid_to: date | None = None

    def overlaps(self, other: Plan) -> bool:
        spans = (self.valid_from, self.valid_to), (other.valid_from, other.valid_to)
        return self.plan_name == other.plan_name and spans_meet(*spans)

    def runs_in(self, month: date) -> bool:
        """Whether it holds on any day of the month that begins with `month`."""
        return (self.valid_from is None or self.valid_from < next_month(month)) and (
            self.valid_to is None or self.valid_to > month
        )

    def monthly_amount(self, month: date) -> Decimal:
        """What a month costs: seats are paid for whole months; a year's twelve parts add up to its price exactly."""
        total = self.unit_price * self.seats
        if self.billing_period == "month":
            return total
        start = self.valid_from or date(month.year, 1, 1)
        return allocate(total, [Decimal(1)] * 12)[(month.month - start.month) % 12]


def next_month(month: date) -> date:
    """The first day of the month after."""
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


def build_months(plans: Iterable[Plan], months: Iterable[date]) -> list[dict[str, Any]]:
    """Rows of the monthly table: each plan in each month in which it runs. A plan without seats gives none."""
    plans = list(plans)
    return [
        {
            "month": month,
            "plan_name": plan.plan_name,
            "seats": plan.seats,
            "unit_price": plan.unit_price,
            "billing_period": plan.billing_period,
            "amount": plan.monthly_amount(month),
            "currency": plan.currency,
        }
        for month in months
        for plan in plans
        if plan.seats and plan.runs_in(month)
    ]


async def list_plans(warehouse: Warehouse, catalog: Catalog, org: OrgScope, provider: str) -> list[Plan]:
    """All plans, by name and date."""
    return await _records(warehouse, catalog, org, provider).read_all()


async def create_plan(
    warehouse: Warehouse, catalog: Catalog, org: OrgScope, provider: str, values: Mapping[str, Any]
) -> Plan:
    """Add a plan.

    Raises:
        InvalidRequest: every fault of the values at once.
        Conflict: it overlaps another one of the same name.
    """
    return await _records(warehouse, catalog, org, provider).create(parse_plan(values))


async def update_plan(
    warehouse: Warehouse, catalog: Catalog, org: OrgScope, provider: str, plan_name: str, *, values: Mapping[str, Any]
) -> Plan:
    """Change a plan. `valid_from` chooses among several of the same name; without it, the newest.

    Raises:
        NotFound: no such plan.
        InvalidRequest, Conflict: as `create_plan`.
    """
    records = _records(warehouse, catalog, org, provider)
    existing = await records.read_all()
    start = read_day(values["valid_from"]) if values.get("valid_from") else None
    found = [plan for plan in existing if plan.plan_name == plan_name and start in (None, plan.valid_from)]
    old = records.newest(found, plan_name)
    plan = parse_plan({**asdict(old), **values, "plan_name": plan_name, "valid_from": old.valid_from})
    return await records.change(old, plan, existing)


async def delete_plan(warehouse: Warehouse, catalog: Catalog, org: OrgScope, provider: str, plan_name: str) -> int:
    """Delete all plans of a name; how many.

    Raises:
        NotFound: none is there.
    """
    records = _records(warehouse, catalog, org, provider)
    return await records.remove([plan for plan in await records.read_all() if plan.plan_name == plan_name], plan_name)


async def reset_plans(warehouse: Warehouse, catalog: Catalog, org: OrgScope, provider: str) -> list[Plan]:
    """Put the seed's plans in place of all others. Seeds have no seats: nobody is charged for what they do not have.

    Raises:
        ConfigError: the seed is wrong; nothing was written.
    """
    return await _records(warehouse, catalog, org, provider).reset()


async def initialize_plans(warehouse: Warehouse, catalog: Catalog, org: OrgScope, provider: str) -> bool:
    """Fill the plans from the seed where there are none yet; whether they were filled."""
    return await _records(warehouse, catalog, org, provider).initialize()


def parse_plan(values: Mapping[str, Any]) -> Plan:
    """A plan from what a user sent.

    Raises:
        InvalidRequest: every fault at once.
    """
    found, faults = read_fields(values, _READERS)
    named = {fault.key for fault in faults}
    faults += [Fault("missing", key=name) for name in _REQUIRED if name not in found and name not in named]
    faults += check_span(found.get("valid_from"), found.get("valid_to"))
    refuse("the plan is not valid", faults)
    return Plan(**found)


def _records(warehouse: Warehouse, catalog: Catalog, org: OrgScope, provider: str) -> DatedRecords[Plan]:
    name = f"{provider}_subscriptions"
    if name not in catalog.schema_names():
        raise InvalidRequest(f"{provider} has no seat plans", hint="openai and cursor have some.")
    return DatedRecords(
        RecordTable.of(warehouse, catalog, org, name, _KEYS),
        noun="plan",
        read=lambda row: Plan(**row),
        write=asdict,
        describe=lambda plan: f"{plan.plan_name!r}",
        load_seed=partial(_load_seed, catalog, provider),
    )


def _load_seed(catalog: Catalog, provider: str) -> list[Plan]:
    path = f"{provider}/seeds/subscriptions.csv"
    plans = [Plan(**row) for row in read_seed(catalog.seed(path), path, _READERS)]
    if any(one.overlaps(other) for place, one in enumerate(plans) for other in plans[place + 1 :]):
        raise ConfigError(Fault("two plans of the same name hold on the same day", path=path))
    return plans
