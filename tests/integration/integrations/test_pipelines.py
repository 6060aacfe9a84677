"""Setup and validation of OpenAI as the API and the command line start them: inline runs of their pipelines."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from convergence.bootstrap import Platform, open_platform
from convergence.costs.prices.service import delete_price, list_prices
from convergence.errors import CredentialInvalid, Denied, StepFailed
from convergence.organizations import OnboardingRequest
from convergence.settings import load_settings
from convergence.sql import Statement

ACME = OnboardingRequest("Acme", "Acme Inc.", "ann@acme.example")


@pytest.fixture
async def running(tmp_path: Path, server, simulator) -> AsyncIterator[Platform]:
    settings = load_settings(
        {
            "DATA_DIR": str(tmp_path),
            "ENVIRONMENT": "development",
            "OPENAI_BASE_URL": server.base_urls["openai"],
        }
    )
    async with open_platform(settings) as platform:
        await platform.organizations.bootstrap()
        await platform.organizations.onboard(ACME)
        yield platform


async def _setup(running: Platform, credential: str):
    return await running.pipelines.run_inline(
        "integration-openai-setup",
        org=running.scope.org("Acme"),
        parameters={"credential_name": "billing"},
        private_parameters={"credential": credential},
    )


async def test_setup_stores_the_credential_and_fills_the_price_book(running, admin_key):
    result = await _setup(running, admin_key)
    org = running.scope.org("Acme")
    prices = result.run.step("setup_prices").metadata
    stored = result.run.step("setup_credential").metadata
    opened = result.run.step("decrypt_credential").metadata
    assert (prices["pricing_initialized"], prices["subscriptions_initialized"]) == (True, True)
    assert (stored["validation_status"], stored["credential_name"]) == ("VALID", "billing")
    assert opened["fingerprint"] == stored["fingerprint"]
    assert await running.integrations.reveal(org, "openai") == admin_key
    assert len(await list_prices(running.warehouse, running.catalog, org, "openai")) > 10


async def test_the_credential_is_in_no_record(running, admin_key):
    result = await _setup(running, admin_key)
    await running.metadata_log.flush()
    recorded = []
    for table in ("org_meta_pipeline_runs_log", "org_meta_step_logs_log", "org_integration_credentials"):
        rows = await running.warehouse.query(Statement(f"SELECT * FROM {table}", running.scope.dataset))
        recorded += rows.to_pylist()
    assert len(recorded) > 3
    assert admin_key not in f"{recorded} {result!r}"


async def test_a_price_that_was_changed_survives_a_second_setup(running, admin_key):
    org = running.scope.org("Acme")
    await _setup(running, admin_key)
    before = await list_prices(running.warehouse, running.catalog, org, "openai")
    gone = before[0].model_id
    await delete_price(running.warehouse, running.catalog, org, "openai", gone)
    await _setup(running, admin_key)
    after = await list_prices(running.warehouse, running.catalog, org, "openai")
    assert gone not in {price.model_id for price in after}


async def test_a_refused_credential_reaches_the_caller_as_itself_and_nothing_is_stored(running):
    with pytest.raises(CredentialInvalid):
        await _setup(running, "sk-proj-0123456789abcdefghij")
    org = running.scope.org("Acme")
    assert (await running.integrations.show(org, "openai")).status == "NOT_CONFIGURED"


async def test_the_plan_limits_setup(running, admin_key):
    org = running.scope.org("Acme")
    await running.warehouse.execute(
        Statement("UPDATE org_subscriptions SET provider_limit = 0 WHERE TRUE", running.scope.dataset)
    )
    await running.organizations.set_subscription(org, status="ACTIVE")
    with pytest.raises(Denied, match="plan STARTER allows 0 providers"):
        await _setup(running, admin_key)
    assert (await running.integrations.show(org, "openai")).status == "NOT_CONFIGURED"


async def test_validate_tells_the_state_of_the_stored_credential(running, simulator, admin_key):
    await _setup(running, admin_key)
    simulator.accounts.pop(("openai", admin_key))
    result = await running.pipelines.run_inline("integration-openai-validate", org=running.scope.org("Acme"))
    outcome = result.run.step("validate_credential").metadata
    assert outcome["validation_status"] == "INVALID"
    assert "revoked" in outcome["last_error"]


async def test_without_a_credential_nothing_is_set_up(running, admin_key):
    await _setup(running, admin_key)
    with pytest.raises(StepFailed):
        await running.pipelines.run_inline("integration-openai-setup", org=running.scope.org("Acme"))
    assert await running.integrations.reveal(running.scope.org("Acme"), "openai") == admin_key
