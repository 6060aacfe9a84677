"""DeepSeek's keys: any key of the account will do, and it is said that it opens no usage."""

from __future__ import annotations

import pytest

from convergence.errors import CredentialInvalid, ProviderUnavailable
from convergence.simulator import DeepSeekWorld, FaultRule
from convergence.simulator.simulator import Simulator

from .conftest import Platform

KEY = "sk-0123456789abcdef0123456789abcdef"


@pytest.fixture(autouse=True)
def deepseek(simulator: Simulator) -> Simulator:
    world = DeepSeekWorld(1, end_day=simulator.clock.now().date(), days=2)
    simulator.add_account(KEY, world, provider="deepseek")
    return simulator


async def test_a_key_is_accepted_by_asking_for_the_balance_alone(platform: Platform, deepseek: Simulator) -> None:
    integration, warnings = await platform.integrations().setup(platform.acme, "deepseek", f" {KEY}\n")
    (row,) = await platform.rows()
    assert (integration.provider, integration.status) == ("DEEPSEEK", "VALID")
    assert [entry.path for entry in deepseek.journal.entries()] == ["/deepseek/user/balance"]
    assert ["export" in warning for warning in warnings] == [True]
    assert KEY not in f"{row} {integration}"


async def test_an_account_that_is_used_up_is_valid_and_told_so(platform: Platform, deepseek: Simulator) -> None:
    deepseek.accounts["deepseek", KEY].world.topped_up = 0
    integration, warnings = await platform.integrations().setup(platform.acme, "deepseek", KEY)
    assert integration.status == "VALID"
    assert any("does not suffice" in warning for warning in warnings)


@pytest.mark.parametrize(
    ("key", "said"), [("sk-deleted-0123456789abcdef", "wrong or was deleted"), ("short", "Paste an API key")]
)
async def test_a_wrong_key_is_refused_and_nothing_stored(platform: Platform, key: str, said: str) -> None:
    with pytest.raises(CredentialInvalid) as caught:
        await platform.integrations().setup(platform.acme, "deepseek", key)
    assert said in str(caught.value.hint)
    assert caught.value.fields["validation_status"] == "INVALID"
    assert key not in f"{caught.value} {caught.value.hint} {caught.value.fields}"
    assert await platform.rows() == []


async def test_a_provider_that_is_away_stores_nothing(platform: Platform, deepseek: Simulator) -> None:
    deepseek.faults.add(FaultRule(kind="status", status=503))
    with pytest.raises(ProviderUnavailable):
        await platform.integrations().setup(platform.acme, "deepseek", KEY)
    assert await platform.rows() == []
