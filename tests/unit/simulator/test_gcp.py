"""The simulated billing export."""

from datetime import UTC, date, datetime
from decimal import Decimal

from convergence.simulator.gcp import GcpBillingWorld

END = date(2026, 11, 20)
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
LATER = datetime(2026, 12, 10, tzinfo=UTC)


def test_two_worlds_of_a_seed_are_equal() -> None:
    assert GcpBillingWorld(3, end_day=END, days=4).rows(NOW) == GcpBillingWorld(3, end_day=END, days=4).rows(NOW)


def test_the_truth_is_the_sum_of_the_rows() -> None:
    world = GcpBillingWorld(3, end_day=END, days=10, rows_per_day=20)
    net = sum(
        Decimal(repr(row["cost"])) + sum(Decimal(repr(credit["amount"])) for credit in row["credits"])
        for row in world.rows(LATER)
    )

    assert world.truth(LATER)["cost"]["total"] == net


def test_every_trap_of_an_export_occurs() -> None:
    rows = GcpBillingWorld(3, end_day=END).rows(LATER)
    texts = [str(row) for row in rows]

    assert {row["cost_type"] for row in rows} == {"regular", "tax", "rounding_error", "adjustment"}
    assert {len(row["credits"]) for row in rows} == {0, 1, 2}
    assert any(row["project"] is None for row in rows)
    assert len(set(texts)) < len(texts)
    assert any(row["invoice"]["month"] != row["usage_start_time"][:7].replace("-", "") for row in rows)
    assert any(row["export_time"][:10] > row["usage_start_time"][:10] for row in rows)


def test_late_rows_come_with_time() -> None:
    world = GcpBillingWorld(3, end_day=END, days=10)

    assert len(world.rows(NOW)) < len(world.rows(LATER)) == world.truth(LATER)["rows"]
