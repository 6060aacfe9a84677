"""Answers of the endpoints, as the vendor writes them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import msgspec

from convergence.kit.window import Window, midnight
from convergence.simulator.amounts import amount_text
from convergence.simulator.chance import draws
from convergence.simulator.company import Person
from convergence.simulator.cursor.offers import CENT_PLACES, INCLUDED, USAGE_BASED
from convergence.simulator.cursor.requests import Paging
from convergence.simulator.cursor.world import CursorWorld, Event
from convergence.simulator.days import is_there

Item = dict[str, Any]
_ACTIVITY = (
    *("totalLinesAdded", "totalLinesDeleted", "acceptedLinesAdded", "acceptedLinesDeleted", "totalApplies"),
    *("totalAccepts", "totalRejects", "totalTabsShown", "totalTabsAccepted", "composerRequests", "chatRequests"),
    *("agentRequests", "cmdkUsages", "apiKeyReqs", "bugbotUsages"),
)


def members_body(world: CursorWorld, today: date) -> bytes:
    """Who was removed stays on the list, unless the world forgets them."""
    listed = [person for person in world.team.members if world.lists_removed or is_there(person.until, today)]
    return msgspec.json.encode({"teamMembers": [_member(person, today) for person in listed]})


def _member(person: Person, today: date) -> Item:
    role = "owner" if person.role == "owner" else "member"
    is_removed = not is_there(person.until, today)
    return {
        "id": person.id,
        "name": person.name,
        "email": person.email,
        "role": "removed" if is_removed else role,
        "isRemoved": is_removed,
    }


def events_body(events: Sequence[Event], paging: Paging, period: tuple[int, int]) -> bytes:
    pages = paging.pages(len(events))
    shown = events[paging.first : paging.first + paging.size]
    pagination = {
        "numPages": pages,
        "currentPage": paging.page,
        "pageSize": paging.size,
        "hasNextPage": paging.page < pages,
        "hasPreviousPage": paging.page > 1,
    }
    return msgspec.json.encode(
        {
            "totalUsageEventsCount": len(events),
            "pagination": pagination,
            "usageEvents": [_event(event) for event in shown],
            "period": {"startDate": period[0], "endDate": period[1]},
        }
    )


def _event(event: Event) -> Item:
    """The time is text, amounts are fractional cents, and members without a value are left out."""
    offer, origin = event.offer, event.origin
    item: Item = {"timestamp": str(event.moment), "userEmail": origin.email}
    if origin.service_account_id:
        item |= {"serviceAccountId": origin.service_account_id, "serviceAccountName": origin.service_account_name}
    item |= {
        "model": offer.model,
        "kind": offer.kind,
        "maxMode": offer.max_mode,
        "requestsCosts": msgspec.Raw(amount_text(event.row.measures[-1], 1).encode()),
        "isTokenBasedCall": offer.rate is not None,
        "isChargeable": offer.is_chargeable,
        "isHeadless": origin.service_account_id is not None,
    }
    if offer.rate is not None:
        item["tokenUsage"] = _token_usage(event)
    item["chargedCents"] = _cents(event.price.charged)
    if event.price.fee:
        item["cursorTokenFee"] = _cents(event.price.fee)
    return item


def _token_usage(event: Event) -> Item:
    uncached, output, write, read, _ = event.row.measures
    usage: Item = {
        "inputTokens": uncached,
        "outputTokens": output,
        "cacheWriteTokens": write,
        "cacheReadTokens": read,
        "totalCents": _cents(event.price.total),
    }
    return usage | {"discountPercentOff": event.offer.discount} if event.offer.discount else usage


def _cents(amount: int) -> msgspec.Raw:
    return msgspec.Raw(amount_text(amount, CENT_PLACES).encode())


def spend_body(world: CursorWorld, paging: Paging, now: datetime) -> bytes:
    """Since the billing cycle began, and nothing of what was before."""
    start = world.cycle_start(now)
    events = list(world.events_between(int(start.timestamp()) * 1_000, int(now.timestamp() * 1_000), now))
    every = [_spend(person, events) for person in world.team.members]
    return msgspec.json.encode(
        {
            "teamMemberSpend": every[paging.first : paging.first + paging.size],
            "subscriptionCycleStart": int(start.timestamp()) * 1_000,
            "totalMembers": len(every),
            "totalPages": paging.pages(len(every)),
        }
    )


def _spend(person: Person, events: Sequence[Event]) -> Item:
    ours = [event for event in events if event.origin.email == person.email]
    chargeable = sum(event.price.charged for event in ours if event.offer.is_chargeable)
    return {
        "userId": person.id,
        "spendCents": _cents(chargeable),
        "overallSpendCents": _cents(sum(event.price.charged for event in ours)),
        "fastPremiumRequests": len(ours),
        "name": person.name,
        "email": person.email,
        "role": "owner" if person.role == "owner" else "member",
        "hardLimitOverrideDollars": 0,
        "monthlyLimitDollars": None,
        "effectivePerUserLimitDollars": 50,
    }


def daily_usage_body(world: CursorWorld, paging: Paging, period: tuple[int, int], now: datetime) -> bytes:
    """Without pages only the days on which somebody was active; with them everybody's."""
    rows = list(_daily_usage(world, period, now))
    if not paging.is_asked:
        active = [row for row in rows if row["isActive"]]
        return msgspec.json.encode({"data": active, "period": {"startDate": period[0], "endDate": period[1]}})
    pages = paging.pages(len(rows))
    pagination = {
        "page": paging.page,
        "pageSize": paging.size,
        "totalUsers": len(world.team.members),
        "totalPages": pages,
        "hasNextPage": paging.page < pages,
        "hasPreviousPage": paging.page > 1,
    }
    shown = rows[paging.first : paging.first + paging.size]
    return msgspec.json.encode(
        {"data": shown, "period": {"startDate": period[0], "endDate": period[1]}, "pagination": pagination}
    )


def _daily_usage(world: CursorWorld, period: tuple[int, int], now: datetime) -> Iterator[Item]:
    start, end = period
    first, time_of_day = divmod(start, 86_400_000)
    epoch = date(1970, 1, 1)
    days = Window(epoch + timedelta(days=first), epoch + timedelta(days=end // 86_400_000 + 1))
    for day in days.days():
        counts = _count_kinds(world, day, now)
        for person in world.team.members:
            if is_there(person.until, day):
                moment = int(midnight(day).timestamp()) * 1_000 + time_of_day
                yield _activity(world, person, day, moment, counts[person.email or ""])


def _count_kinds(world: CursorWorld, day: date, now: datetime) -> defaultdict[str, dict[str, int]]:
    counts: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for event in world.events(day, now):
        ours = counts[event.origin.email]
        ours[event.offer.kind] = ours.get(event.offer.kind, 0) + 1
    return counts


def _activity(world: CursorWorld, person: Person, day: date, moment: int, kinds: dict[str, int]) -> Item:
    chance = draws(len(_ACTIVITY), world.seed, "activity", day, person.id).tolist()
    figures = {name: value % 400 if kinds else 0 for name, value in zip(_ACTIVITY, chance, strict=True)}
    return {
        "userId": person.id,
        "day": day.isoformat(),
        "date": moment,
        "isActive": bool(kinds),
        **figures,
        "subscriptionIncludedReqs": kinds.get(INCLUDED, 0),
        "usageBasedReqs": kinds.get(USAGE_BASED, 0),
        "mostUsedModel": "gpt-5" if kinds else None,
        "applyMostUsedExtension": ".py" if kinds else None,
        "tabMostUsedExtension": ".ts" if kinds else None,
        "clientVersion": "2.1.4" if kinds else None,
        "email": person.email,
    }
