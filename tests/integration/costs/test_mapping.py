"""Loading, previewing and queueing mappings: they move money between people, and never make or lose any."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from bigquery_emulator import BigQueryEmulator
from cost_ledger import ADA, BOB, CONFIGS, DAYS, NOW, Ledger, spend

from convergence.catalog import Catalog
from convergence.costs.identity.mapping import read_csv
from convergence.costs.identity.moves import find_moved_days, preview_mapping
from convergence.costs.identity.unmapped import read_unmapped
from convergence.errors import InvalidRequest, LeaseLost
from convergence.tenancy import OrgScope
from convergence.warehouse import Claim

A, B = {"person": ADA, "team": "A"}, {"person": BOB, "team": "B"}


async def test_the_same_mapping_twice_is_written_once(ledger: Ledger) -> None:
    wrong = {"person": "nobody", "team": "A"}
    changed = [(await ledger.map(*records)).changed for records in ([A, wrong], [A, wrong], [A, B, wrong])]
    assert changed == [True, False, True]
    assert [(row["line"], row["error_path"]) for row in await ledger.mapping.faults()] == [(4, "person")]


async def test_what_is_left_out_is_kept_without_secrets(ledger: Ledger) -> None:
    secret = "sk-proj-" + "a1B2" * 12
    await ledger.map(A, {"person": BOB, "team": "B", "note": secret})
    (fault,) = await ledger.mapping.faults()
    assert (fault["line"], fault["error_path"], "revoke" in fault["reason"]) == (3, "note", True)
    assert secret[8:] not in str(fault)


@pytest.mark.parametrize(
    "content", [b"", b"person,team\n", b"person,team\n,\n", b"#REF!,#REF!\n", b"person,team\nx,A\n"]
)
async def test_an_empty_or_broken_file_never_wipes_the_last_good_mapping(ledger: Ledger, content: bytes) -> None:
    await ledger.map(A)
    with pytest.raises(InvalidRequest) as refused:
        await ledger.mapping.load(await ledger.mapping.read(read_csv(content), "csv"), "csv", NOW)
    assert refused.value.code in {"identity_mapping_empty", "identity_mapping_broken"}
    assert [(row["person"], row["team"]) for row in await ledger.mapping.rows()] == [(ADA, "A")]


async def test_a_run_that_was_overtaken_loads_nothing(ledger: Ledger) -> None:
    async def load(team: str, fence: int) -> None:
        reading = await ledger.mapping.read([["person", "team"], [ADA, team]], "google_sheets")
        claim = Claim("identity.mapping", f"run_{fence}", fence, f"load_{fence}")
        await ledger.mapping.load(reading, "google_sheets", NOW, claim=claim)

    await load("New", 2)
    with pytest.raises(LeaseLost):
        await load("Old", 1)
    assert [row["team"] for row in await ledger.mapping.rows()] == ["New"]


async def test_a_preview_shows_which_dollars_would_move_and_moves_none(ledger: Ledger) -> None:
    await ledger.map(A)
    rows = (
        await ledger.mapping.read([["person", "team", "from"], [ADA, "Z", "2026-11-02"], [BOB, "B", ""]], "api")
    ).rows
    moves = await preview_mapping(ledger.warehouse, ledger.org, DAYS, rows)
    assert [(row["from_team"], row["team"], row["person"], row["billed_cost"]) for row in moves.rows] == [
        (None, "B", BOB, Decimal(16)),
        ("A", "Z", ADA, Decimal(2)),
        ("A", None, ADA, Decimal(1)),
    ]
    assert moves.totals == [{"currency": "USD", "billed_cost": Decimal(31), "moved_cost": Decimal(19)}]
    assert await ledger.by("team") == {"A": 3, None: 28}


async def test_the_days_that_a_mapping_moves(ledger: Ledger) -> None:
    rows = (await ledger.mapping.read([["provider", "project", "team"], ["openai", "proj_1", "P"]], "api")).rows
    moved = await find_moved_days(ledger.warehouse, ledger.org, DAYS, rows)
    assert moved == [date(2026, 11, 1), date(2026, 11, 2), date(2026, 11, 3)]
    await ledger.map({"provider": "openai", "project_id": "proj_1", "team": "P"})
    assert await find_moved_days(ledger.warehouse, ledger.org, DAYS, rows) == []


async def test_the_queue_is_ordered_by_dollars(ledger: Ledger) -> None:
    await ledger.map({"provider": "openai", "api_key_id": "key_1", "team": "A"})
    queue = await read_unmapped(ledger.warehouse, ledger.org, DAYS)
    assert [(row["provider"], row["kind"], row["account"], row["name"], row["billed_cost"]) for row in queue.rows] == [
        ("cursor", "user_id", BOB, None, Decimal(16)),
        ("openai", None, None, None, Decimal(8)),
        ("openai", "api_key_id", "key_2", "Batch", Decimal(4)),
    ]
    assert queue.totals == [{"currency": "USD", "billed_cost": Decimal(31), "unmapped_cost": Decimal(28)}]


async def test_an_organization_without_costs_has_nothing_to_move(ledger: Ledger) -> None:
    rival = Ledger(ledger.warehouse, ledger.catalog, type(ledger.org)("rival"))
    await rival.warehouse.ensure_dataset(rival.org.dataset)
    moves = await preview_mapping(rival.warehouse, rival.org, DAYS, [A])
    queue = await read_unmapped(rival.warehouse, rival.org, DAYS)
    assert (moves.rows, moves.totals, queue.rows, queue.totals) == ([], [], [], [])


async def test_bigquery_says_the_same(bigquery_emulator: BigQueryEmulator) -> None:
    from convergence.warehouse.bigquery import BigQueryWarehouse

    warehouse = BigQueryWarehouse(bigquery_emulator.project(), endpoint=bigquery_emulator.endpoint)
    ledger = Ledger(warehouse, Catalog(CONFIGS), OrgScope("acme"))
    await warehouse.ensure_dataset(ledger.org.dataset)
    await spend(ledger)
    await ledger.map(
        A, {"provider": "openai", "masked_key": "sk-****aaaa", "cost_center": "7", "valid_to": "2026-11-02"}
    )
    rows = (await ledger.mapping.read([["person", "team"], [BOB, "B"]], "api")).rows
    moves = await preview_mapping(warehouse, ledger.org, DAYS, rows)
    queue = await read_unmapped(warehouse, ledger.org, DAYS)
    found = await ledger.by("team", "cost_center")
    await warehouse.close()
    assert found == {("A", "7"): 1, ("A", None): 2, (None, None): 28}
    assert [(row["from_team"], row["team"], row["billed_cost"]) for row in moves.rows] == [
        (None, "B", Decimal(16)),
        ("A", None, Decimal(2)),
        ("A", None, Decimal(1)),
    ]
    assert [row["account"] for row in queue.rows] == [BOB, None, "key_2"]
