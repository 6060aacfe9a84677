from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from convergence.simulator import OpenAIWorld
from convergence.simulator.openai.streams import STREAMS
from convergence.simulator.traffic import is_empty, is_spike

END_DAY = date(2026, 11, 20)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def test_worlds_of_equal_arguments_have_equal_truth() -> None:
    truths = [OpenAIWorld(3, end_day=END_DAY, days=9, rows_per_day=50).truth(NOON) for _ in range(2)]

    assert truths[0] == truths[1]


def test_another_seed_is_another_company() -> None:
    seven, eight = (OpenAIWorld(seed, end_day=END_DAY, days=9).truth(NOON) for seed in (7, 8))

    assert seven["cost"]["total"] != eight["cost"]["total"]
    assert seven["directory"]["organization_id"] != eight["directory"]["organization_id"]


def test_a_day_does_not_depend_on_the_days_asked_before() -> None:
    day = date(2026, 11, 10)
    asked_first = OpenAIWorld(7, end_day=END_DAY).rows(STREAMS["completions"], day)
    world = OpenAIWorld(7, end_day=END_DAY)
    for other in world.window.days():
        world.costs(other)

    assert world.rows(STREAMS["completions"], day) == asked_first


def test_figures_are_pinned_so_that_every_machine_sees_the_same() -> None:
    rows = OpenAIWorld(7, end_day=END_DAY, days=30, rows_per_day=10).rows(STREAMS["completions"], date(2026, 11, 19))

    assert rows[0] == (26, 12, (3210, 0, 0, 2092, 0, 0, 853, 1015, 0, 0, 5))


def test_every_row_of_a_day_has_its_own_dimensions() -> None:
    world = OpenAIWorld(7, end_day=END_DAY, rows_per_day=1000, steady=True)
    rows = world.rows(STREAMS["completions"], date(2026, 11, 2))

    assert len({(row.origin, row.variant) for row in rows}) == len(rows) == 1000


def test_steady_worlds_have_an_exact_number_of_rows() -> None:
    truth = OpenAIWorld(7, end_day=END_DAY, days=30, rows_per_day=25, steady=True).truth(NOON)

    assert set(truth["rows"]["completions"].values()) == {25}
    assert len(truth["rows"]["completions"]) == 30


def test_a_month_has_an_empty_day_a_spike_and_a_weekly_rhythm() -> None:
    truth = OpenAIWorld(7, end_day=END_DAY, days=30, rows_per_day=300).truth(NOON)
    days = [date.fromisoformat(day) for day in truth["rows"]["completions"]]
    costs = truth["list_cost"]["by_day"]
    spikes = [day for day in days if is_spike(7, day)]
    usual = [day for day in days if not is_spike(7, day) and not is_empty(7, day)]
    weekend = [costs[day.isoformat()] for day in usual if day.weekday() >= 5]
    weekday = [costs[day.isoformat()] for day in usual if day.weekday() < 5]

    assert [truth["rows"]["completions"][day.isoformat()] for day in days if is_empty(7, day)] == [0, 0]
    assert len(spikes) == 1
    assert costs[spikes[0].isoformat()] > max(weekday)
    assert max(weekend) < min(weekday)


def test_every_breakdown_sums_to_the_total() -> None:
    cost = OpenAIWorld(7, end_day=END_DAY, rows_per_day=60).truth(NOON)["cost"]

    sums = {name: sum(groups.values(), Decimal(0)) for name, groups in cost.items() if name != "total"}

    assert sums == dict.fromkeys(
        ("by_day", "by_project", "by_api_key", "by_line_item", "by_model", "by_person", "by_team"), cost["total"]
    )


def test_the_residual_is_what_usage_times_price_cannot_explain() -> None:
    truth = OpenAIWorld(7, end_day=END_DAY, rows_per_day=60).truth(NOON)
    residual = truth["residual"]

    assert residual["total"] == truth["cost"]["total"] - truth["list_cost"]["total"]
    assert residual["total"] == sum(value for name, value in residual.items() if name != "total")
    assert residual["credits"] < 0 < residual["fees"]
    assert residual["unpriced_models"] == truth["cost"]["by_model"]["gpt-nightjar-preview"] > 0
    assert 0 < abs(residual["rounding"]) < Decimal("0.0001")


def test_amounts_have_as_many_places_as_asked() -> None:
    cents = OpenAIWorld(7, end_day=END_DAY, days=5, amount_places=2).truth(NOON)["cost"]
    exact = OpenAIWorld(7, end_day=END_DAY, days=5, amount_places=12).truth(NOON)

    assert {amount.as_tuple().exponent for amount in cents["by_line_item"].values()} == {-2}
    assert exact["residual"]["rounding"] == 0


def test_list_cost_of_one_line_is_tokens_times_price() -> None:
    world = OpenAIWorld(7, end_day=END_DAY, rows_per_day=60)
    stream = STREAMS["completions"]
    written = sum(
        row.measures[6]
        for day in world.window.days()
        for row in world.rows(stream, day)
        if stream.variants[row.variant].dimensions["model"] == "gpt-6.1-sol"
    )

    listed = world.truth(NOON)["list_cost"]["by_line_item"]["gpt-6.1-sol, cache write"]

    assert listed == written * Decimal("2.5") / 10**6 > 0


def test_a_company_of_one_person_and_one_project_works() -> None:
    truth = OpenAIWorld(1, end_day=END_DAY, days=1, rows_per_day=3, people=1, projects=1, keys=3, steady=True).truth(
        NOON
    )

    assert truth["rows"]["completions"] == {"2026-11-19": 3}


@pytest.mark.parametrize("places", [1, 13])
def test_amount_places_out_of_range_are_refused(places: int) -> None:
    with pytest.raises(ValueError, match="amount_places is 2 to 12"):
        OpenAIWorld(7, end_day=END_DAY, amount_places=places)


def test_truth_follows_the_clock_through_the_current_day() -> None:
    world = OpenAIWorld(7, end_day=END_DAY, days=1, rows_per_day=60)

    morning = world.truth(datetime(2026, 11, 19, 6, tzinfo=UTC))["cost"]["total"]
    evening = world.truth(datetime(2026, 11, 19, 18, tzinfo=UTC))["cost"]["total"]
    before = world.truth(datetime(2026, 11, 18, 18, tzinfo=UTC))["cost"]["total"]

    assert before == 0 < morning < evening < world.truth(NOON)["cost"]["total"]
