"""What a published price list would change in a price book. Rows that the organization wrote itself stay."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Literal

from convergence.costs.prices.book import Price
from convergence.costs.prices.published import PACKAGE, PublishedList, PublishedModel


@dataclass(frozen=True, slots=True)
class Proposal:
    """A price to add, or one in the place of `replaced` from its own first day on."""

    kind: Literal["added", "changed"]
    price: Price
    replaced: Price | None = None

    @property
    def rows(self) -> list[Price]:
        """What to write: the old price ends where the new one begins, or is overwritten where both begin."""
        if self.replaced is None or self.replaced.valid_from == self.price.valid_from:
            return [self.price]
        return [replace(self.replaced, valid_to=self.price.valid_from), self.price]


@dataclass(frozen=True, slots=True)
class Kept:
    """A price of the organization's own that the published list contradicts."""

    price: Price
    published: Mapping[str, Decimal]


@dataclass(frozen=True, slots=True)
class Difference:
    """All that a published list says otherwise than a book. `left_out`: what it is known to be wrong about."""

    source: str
    proposals: tuple[Proposal, ...]
    kept: tuple[Kept, ...]
    left_out: Mapping[str, str]


def compare(book: Sequence[Price], published: PublishedList, today: date, shipped: Collection[str]) -> Difference:
    """`shipped` are the sources of the seed: rows with them, or from an earlier comparison, may be changed."""
    found = [*_compare_known(book, published, today, shipped), *_add_unknown(book, published)]
    proposals = [item for item in found if isinstance(item, Proposal)]
    kept = [item for item in found if isinstance(item, Kept)]
    return Difference(published.source, tuple(proposals), tuple(kept), published.left_out)


def _compare_known(
    book: Sequence[Price], published: PublishedList, today: date, shipped: Collection[str]
) -> Iterator[Proposal | Kept]:
    for model_id in dict.fromkeys(price.model_id for price in book):
        model = _find(published.models, model_id)
        rows = [price for price in book if price.model_id == model_id]
        for wanted in model.prices if model is not None else ():
            if wanted.holds_on(today):
                change = _compare_one(rows, replace(wanted, model_id=model_id), today, shipped)
                if change is not None:
                    yield change


def _compare_one(rows: Sequence[Price], wanted: Price, today: date, shipped: Collection[str]) -> Proposal | Kept | None:
    same = [price for price in rows if price.meter == wanted.meter]
    current = next((price for price in same if price.holds_on(today)), None)
    if current is None:
        return None if same else Proposal("added", wanted)  # an ended price was ended by somebody
    if all(current.rates.get(name) == amount for name, amount in wanted.rates.items()):
        return None
    if _is_own(current, shipped):
        return Kept(current, wanted.rates)
    start = wanted.valid_from
    is_known = start is not None and (current.valid_from is None or start > current.valid_from)
    rates = {**_carry(current.rates, wanted.rates), **wanted.rates}
    price = replace(wanted, valid_from=start if is_known else today, valid_to=current.valid_to, rates=rates)
    return Proposal("changed", price, current)


def _carry(current: Mapping[str, Decimal], wanted: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """Rates that the list does not have stay, but for batch rates of what now costs something else."""
    changed = {f"batch_{name}" for name, amount in wanted.items() if current.get(name) != amount}
    return {name: amount for name, amount in current.items() if name not in changed}


def _add_unknown(book: Sequence[Price], published: PublishedList) -> Iterator[Proposal]:
    """Models that the book has under none of their names, with all that is known of their past."""
    known = {price.model_id for price in book}
    for model in published.models:
        if not any(model.is_called(model_id) for model_id in known):
            yield from (Proposal("added", price) for price in model.prices if price.rates)


def _find(models: Iterable[PublishedModel], model_id: str) -> PublishedModel | None:
    called = [model for model in models if model.is_called(model_id)]
    return next((model for model in called if model.name == model_id), called[0] if called else None)


def _is_own(price: Price, shipped: Collection[str]) -> bool:
    """Whether the organization wrote it."""
    return price.source is None or not (price.source in shipped or price.source.startswith(PACKAGE))
