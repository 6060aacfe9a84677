"""A proof names the first two sums that differ."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from convergence.costs.reconciliation.proofs import Proof, check_proofs, sum_proofs
from convergence.errors import DataQualityError


def proof(**changes: str | None) -> Proof:
    texts = {"raw": "5", "daily": "5", "attributed": "3", "unattributed": "2", "focus": "5", **changes}
    given = {name: None if text is None else Decimal(text) for name, text in texts.items()}
    return Proof(date(2026, 10, 1), "USD", **given)


def test_sums_that_agree_to_the_last_digit_are_conserved() -> None:
    check_proofs("acme", [proof(), proof(raw=None, focus=None)])


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"raw": "5.000000001"}, "5.000000001 reported and 5 in the cost table"),
        ({"daily": "4"}, "5 reported and 4 in the cost table"),
        ({"attributed": "6"}, "8 attributed and unattributed and 5 in the cost table"),
        ({"focus": "4.999999999"}, "4.999999999 in FOCUS and 5 in the cost table"),
    ],
)
def test_a_break_names_day_and_both_sums(changes: dict[str, str], text: str) -> None:
    with pytest.raises(DataQualityError, match=f"cost of acme on 2026-10-01 in USD is not conserved: {text}") as raised:
        check_proofs("acme", [proof(), proof(**changes)])
    assert (raised.value.code, raised.value.fields["days"]) == ("conservation_broken", ["2026-10-01"])


def test_what_is_recorded_of_a_run_sums_its_days() -> None:
    assert sum_proofs([proof(), proof(raw=None)]) == [
        {"currency": "USD", "raw": None, "daily": "10", "attributed": "6", "unattributed": "4", "focus": "10"}
    ]
