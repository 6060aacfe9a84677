"""Anthropic's keys: which one is needed is said before anything is stored."""

from __future__ import annotations

import pytest

from convergence.errors import CredentialInvalid, ProviderUnavailable
from convergence.simulator import AnthropicWorld, FaultRule, rate_limited
from convergence.simulator.simulator import Simulator

from .conftest import Platform

KEY = "sk-ant-admin01-acme-0123456789abcdef"
OTHER = "sk-ant-admin01-globex-0123456789abcdef"


@pytest.fixture
def anthropic(simulator: Simulator) -> Simulator:
    end_day = simulator.clock.now().date()
    for seed, key in enumerate((KEY, OTHER)):
        simulator.add_account(key, AnthropicWorld(seed, end_day=end_day, days=3, rows_per_day=5), provider="anthropic")
    return simulator


@pytest.fixture(autouse=True)
def _asked(anthropic: Simulator) -> None:
    """Every test has the accounts."""


@pytest.mark.parametrize("name", ["anthropic", "claude", "ANTHROPIC"])
async def test_an_admin_key_is_accepted_and_stored_sealed(platform: Platform, name: str) -> None:
    integration, warnings = await platform.integrations().setup(platform.acme, name, f" {KEY}\n")
    (row,) = await platform.rows()
    assert (integration.provider, integration.status, warnings) == ("ANTHROPIC", "VALID", ())
    assert KEY not in f"{row} {integration}"
    assert await platform.integrations().reveal(platform.acme, "anthropic") == KEY


async def test_the_organization_is_asked_for_first_and_then_a_day_of_costs(
    platform: Platform, anthropic: Simulator
) -> None:
    await platform.integrations().setup(platform.acme, "anthropic", KEY)
    asked = [(entry.path, entry.query) for entry in anthropic.journal.entries()]
    assert [path for path, _ in asked] == ["/anthropic/v1/organizations/me", "/anthropic/v1/organizations/cost_report"]
    assert asked[1][1].endswith("limit=1")


@pytest.mark.parametrize("key", ["sk-ant-api03-0123456789abcdefghij", "some-other-key-0123456789"])
async def test_an_ordinary_key_is_told_that_an_admin_key_is_needed(platform: Platform, key: str) -> None:
    with pytest.raises(CredentialInvalid) as caught:
        await platform.integrations().setup(platform.acme, "anthropic", key)
    assert "An Admin key (sk-ant-admin...) is needed" in str(caught.value.hint)
    assert "Console > Settings > Admin keys" in str(caught.value.hint)
    assert "invalid x-api-key" in caught.value.message
    assert caught.value.fields["validation_status"] == "INVALID"
    assert key not in f"{caught.value} {caught.value.hint} {caught.value.fields} {caught.value!r}"
    assert await platform.rows() == []


async def test_a_revoked_admin_key_is_told_so(platform: Platform) -> None:
    with pytest.raises(CredentialInvalid) as caught:
        await platform.integrations().setup(platform.acme, "anthropic", "sk-ant-admin01-revoked-0123456789")
    assert "wrong or was revoked" in str(caught.value.hint)
    assert await platform.rows() == []


async def test_a_key_without_the_right_is_told_so(platform: Platform, anthropic: Simulator) -> None:
    key = "sk-ant-admin01-limited-0123456789"
    world = next(iter(anthropic.accounts.values())).world
    anthropic.add_account(key, world, provider="anthropic", scopes=frozenset())
    with pytest.raises(CredentialInvalid) as caught:
        await platform.integrations().setup(platform.acme, "anthropic", key)
    assert "may not read the organization's costs" in str(caught.value.hint)


@pytest.mark.parametrize("credential", ["sk-ant-admin01 with space", "short", "x" * 600])
async def test_what_cannot_be_a_key_is_refused_without_asking(
    platform: Platform, anthropic: Simulator, credential: str
) -> None:
    with pytest.raises(CredentialInvalid):
        await platform.integrations().setup(platform.acme, "anthropic", credential)
    assert anthropic.journal.entries() == []


@pytest.mark.parametrize(
    "fault",
    [FaultRule(kind="status", status=529), FaultRule(kind="reset"), rate_limited()],
    ids=["529", "reset", "429"],
)
async def test_a_provider_that_fails_is_unavailable_and_nothing_is_stored(
    platform: Platform, anthropic: Simulator, fault: FaultRule
) -> None:
    anthropic.faults.add(fault)
    with pytest.raises(ProviderUnavailable):
        await platform.integrations().setup(platform.acme, "anthropic", KEY)
    assert await platform.rows() == []


async def test_a_key_of_another_organization_is_noticed(platform: Platform) -> None:
    integrations = platform.integrations()
    await integrations.setup(platform.acme, "anthropic", KEY)
    _, same = await integrations.setup(platform.acme, "anthropic", KEY)
    _, other = await integrations.setup(platform.acme, "anthropic", OTHER)
    assert same == ()
    assert "another account" in other[0]


async def test_validate_notes_that_a_key_was_revoked(platform: Platform, anthropic: Simulator) -> None:
    integrations = platform.integrations()
    await integrations.setup(platform.acme, "anthropic", KEY)
    anthropic.accounts.pop(("anthropic", KEY))
    integration, _ = await integrations.validate(platform.acme, "anthropic")
    assert integration.status == "INVALID"
    assert "revoked" in str(integration.last_error)
