"""From a key, account or project to a person, a team and a cost centre."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from cost_ledger import ADA, BOB, DAYS, FIRST, KEYS, PEOPLE, Ledger

from convergence.kit.window import Window


def _numbers(found: dict[Any, Decimal]) -> dict[Any, int]:
    return {key: int(amount) for key, amount in found.items()}


async def test_without_a_mapping_the_directory_names_people_and_nobody_has_a_team(ledger: Ledger) -> None:
    assert _numbers(await ledger.by("person")) == {ADA: 3, BOB: 16, None: 12}
    assert _numbers(await ledger.by("team", "cost_center")) == {(None, None): 31}


async def test_an_account_is_found_by_any_of_its_names(ledger: Ledger) -> None:
    named: list[tuple[dict[str, str], int]] = [
        ({"provider": "openai", "api_key_id": "key_2"}, 4),
        ({"provider": "openai", "masked_key": "sk-****aaaa"}, 3),
        ({"provider": "openai", "masked_key": "sk-\u2022\u2022\u2022aaaa"}, 3),
        ({"provider": "openai", "key_name": " Batch "}, 4),
        ({"provider": "openai", "user_id": "user_1"}, 3),
        ({"provider": "openai", "user_id": "Ada@Example.com"}, 3),
        ({"provider": "openai", "user_id": "user_2"}, 4),
        ({"provider": "cursor", "user_id": BOB}, 16),
        ({"provider": "openai", "project_id": "proj_1"}, 7),
        ({"person": BOB}, 16),
        ({"provider": "cursor", "person": BOB}, 16),
        ({"provider": "anthropic", "api_key_id": "key_1"}, 0),
        ({"provider": "openai", "person": BOB}, 0),
    ]
    found = []
    for record, _ in named:
        await ledger.map({**record, "team": "Search"})
        found.append(_numbers(await ledger.by("team")).get("Search", 0))
    assert found == [expected for _, expected in named]


async def test_the_most_specific_line_wins(ledger: Ledger) -> None:
    await ledger.map(
        {"person": ADA, "team": "Of the person", "cost_center": "100"},
        {"provider": "openai", "project_id": "proj_1", "team": "Of the project", "cost_center": "200"},
        {"provider": "openai", "key_name": "Prod", "team": "Of the name"},
        {"provider": "openai", "api_key_id": "key_1", "team": "Of the key", "valid_from": "2026-11-02"},
    )
    assert _numbers(await ledger.by("team", "cost_center")) == {
        ("Of the name", None): 1,
        ("Of the key", None): 2,
        ("Of the project", "200"): 4,
        (None, None): 24,
    }


async def test_a_key_may_be_of_another_person_than_the_directory_says(ledger: Ledger) -> None:
    await ledger.map(
        {"provider": "openai", "api_key_id": "key_1", "person": BOB}, {"person": BOB, "team": "B", "cost_center": "7"}
    )
    assert _numbers(await ledger.by("person")) == {BOB: 19, None: 12}
    assert _numbers(await ledger.by("cost_center")) == {"7": 19, None: 12}


async def test_a_cost_centre_alone_leaves_the_team_to_the_person(ledger: Ledger) -> None:
    await ledger.map(
        {"person": ADA, "team": "A", "cost_center": "100"},
        {"provider": "openai", "api_key_id": "key_1", "cost_center": "900"},
    )
    assert _numbers(await ledger.by("team", "cost_center")) == {("A", "900"): 3, (None, None): 28}


async def test_a_move_on_a_day_moves_that_day_and_what_follows(ledger: Ledger) -> None:
    await ledger.map(
        {"person": ADA, "team": "Old", "valid_to": "2026-11-02"},
        {"person": ADA, "team": "New", "valid_from": "2026-11-02"},
    )
    assert _numbers(await ledger.by("team")) == {"Old": 1, "New": 2, None: 28}


async def test_overlaps_in_the_table_double_nothing(ledger: Ledger) -> None:
    await ledger.write("dim_people", [*PEOPLE, {**PEOPLE[0], "person": "zoe@example.com"}])
    await ledger.write("dim_api_keys", [*KEYS, {**KEYS[1], "person": BOB}, {**KEYS[1], "name": "Prod"}])
    rows = [{"person": ADA, "team": team} for team in ("A", "B")]
    rows += [{"person": "", "team": team, "provider": "openai", "key_name": "Prod"} for team in ("C", "D")]
    await ledger.write("identity_mapping", rows)
    assert sum((await ledger.by("person")).values()) == 31
    assert _numbers(await ledger.by("team")) == {"C": 7, None: 24}


async def test_deleted_keys_and_people_keep_their_history(ledger: Ledger) -> None:
    """A directory never ends a row because its key was deleted; only a change of owner does."""
    gone = [{**KEYS[0], "valid_to": date(2026, 11, 2)}, {**KEYS[0], "person": BOB, "valid_from": date(2026, 11, 2)}]
    await ledger.write("dim_people", [])
    await ledger.write("dim_api_keys", gone)
    await ledger.map({"person": ADA, "team": "A"}, {"person": BOB, "team": "B"})
    assert _numbers(await ledger.by("team")) == {"A": 1, "B": 18, None: 12}


async def test_tables_of_an_earlier_version_are_read(ledger: Ledger) -> None:
    for name, columns in (("identity_mapping", 5), ("dim_api_keys", 9)):
        schema = ledger.catalog.schema(name)
        await ledger.warehouse.drop(ledger.org.table(name))
        older = type(schema)(schema.name, schema.columns[:columns])
        await ledger.warehouse.ensure(ledger.org.table(name), older)
    assert _numbers(await ledger.by("person", "team")) == {(ADA, None): 3, (BOB, None): 16, (None, None): 12}
    assert await ledger.mapping.rows() == []


async def test_another_organization_is_neither_read_nor_changed(ledger: Ledger) -> None:
    rival = Ledger(ledger.warehouse, ledger.catalog, type(ledger.org)("rival"))
    await rival.warehouse.ensure_dataset(rival.org.dataset)
    await rival.map({"person": ADA, "team": "Theirs"})
    assert _numbers(await ledger.by("team")) == {None: 31}
    assert await rival.by("team") == {}


async def test_days_outside_the_question_stay_outside(ledger: Ledger) -> None:
    await ledger.map({"person": ADA, "team": "A"})
    assert _numbers(await ledger.by("team", window=Window.day(FIRST))) == {"A": 1, None: 16}
    assert _numbers(await ledger.by("team", window=DAYS)) == {"A": 3, None: 28}
