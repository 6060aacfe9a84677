"""Cursor's keys: which one is needed is said before anything is stored."""

from __future__ import annotations

import pytest

from convergence.errors import CredentialInvalid, ProviderUnavailable
from convergence.simulator import CursorWorld, FaultRule
from convergence.simulator.simulator import Simulator

from .conftest import Platform

KEY = "crsr_acme0123456789abcdef"
OTHER = "key_globex0123456789abcdef"


@pytest.fixture
def cursor(simulator: Simulator) -> Simulator:
    end_day = simulator.clock.now().date()
    for seed, key in enumerate((KEY, OTHER)):
        world = CursorWorld(seed, end_day=end_day, days=3, rows_per_day=5, limits_rates=False)
        simulator.add_account(key, world, provider="cursor")
    return simulator


@pytest.fixture(autouse=True)
def _asked(cursor: Simulator) -> None:
    """Every test has the accounts."""


@pytest.mark.parametrize("key", [KEY, OTHER])
async def test_an_admin_api_key_is_accepted_by_asking_for_the_members(
    platform: Platform, cursor: Simulator, key: str
) -> None:
    integration, warnings = await platform.integrations().setup(platform.acme, "cursor", f" {key}\n")
    (row,) = await platform.rows()
    assert (integration.provider, integration.status, warnings) == ("CURSOR", "VALID", ())
    assert [entry.path for entry in cursor.journal.entries()] == ["/cursor/teams/members"]
    assert key not in f"{row} {integration}"
    assert await platform.integrations().reveal(platform.acme, "cursor") == key


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("sk-proj-0123456789abcdefghij", "A key of the team's Admin API (crsr_... or key_...) is needed"),
        ("crsr_revoked0123456789", "wrong or was revoked"),
    ],
)
async def test_a_wrong_key_is_told_which_one_is_needed(platform: Platform, key: str, said: str) -> None:
    with pytest.raises(CredentialInvalid) as caught:
        await platform.integrations().setup(platform.acme, "cursor", key)
    assert said in str(caught.value.hint)
    assert "Invalid API key" in caught.value.message
    assert caught.value.fields["validation_status"] == "INVALID"
    assert key not in f"{caught.value} {caught.value.hint} {caught.value.fields} {caught.value!r}"
    assert await platform.rows() == []


async def test_a_key_or_plan_without_the_right_is_told_so(platform: Platform, cursor: Simulator) -> None:
    world = next(iter(cursor.accounts.values())).world
    cursor.add_account("crsr_limited0123456789", world, provider="cursor", scopes=frozenset())
    with pytest.raises(CredentialInvalid) as caught:
        await platform.integrations().setup(platform.acme, "cursor", "crsr_limited0123456789")
    assert "plan has no Admin API" in str(caught.value.hint)


async def test_a_team_without_members_is_no_team(platform: Platform, cursor: Simulator) -> None:
    cursor.faults.add(FaultRule(kind="empty_page"))
    with pytest.raises(CredentialInvalid):
        await platform.integrations().setup(platform.acme, "cursor", KEY)
    assert await platform.rows() == []


async def test_a_provider_that_fails_is_unavailable_and_nothing_is_stored(
    platform: Platform, cursor: Simulator
) -> None:
    cursor.faults.add(FaultRule(kind="status", status=503))
    with pytest.raises(ProviderUnavailable):
        await platform.integrations().setup(platform.acme, "cursor", KEY)
    assert await platform.rows() == []


async def test_a_key_of_another_team_is_noticed(platform: Platform) -> None:
    integrations = platform.integrations()
    await integrations.setup(platform.acme, "cursor", KEY)
    _, same = await integrations.setup(platform.acme, "cursor", KEY)
    _, other = await integrations.setup(platform.acme, "cursor", OTHER)
    assert same == ()
    assert "may belong to another account" in other[0]


async def test_validate_notes_that_a_key_was_revoked(platform: Platform, cursor: Simulator) -> None:
    integrations = platform.integrations()
    await integrations.setup(platform.acme, "cursor", KEY)
    cursor.accounts.pop(("cursor", KEY))
    integration, _ = await integrations.validate(platform.acme, "cursor")
    assert integration.status == "INVALID"
    assert "revoked" in str(integration.last_error)
