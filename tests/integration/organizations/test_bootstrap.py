import pytest

from convergence.errors import Unauthenticated
from convergence.organizations import OnboardingRequest
from convergence.sql import Statement

ACME = OnboardingRequest("Acme", "Acme Inc.", "ann@acme.example")

DOCUMENTED = {
    "org_profiles",
    "org_api_keys",
    "org_subscriptions",
    "org_usage_quotas",
    "org_integration_credentials",
    "org_pipeline_configs",
    "org_scheduled_pipeline_runs",
    "org_pipeline_execution_queue",
    "org_meta_pipeline_runs",
    "org_meta_step_logs",
    "org_meta_dq_results",
}


async def test_the_first_time_creates_the_eleven_documented_names(platform):
    result = await platform.organizations().bootstrap()
    present = set(await platform.warehouse.tables(platform.scope.dataset))
    assert (set(result.tables_created), result.tables_existing) == (DOCUMENTED, ())
    assert present >= DOCUMENTED


async def test_the_second_time_creates_nothing(platform, organizations):
    result = await platform.organizations().bootstrap()
    assert (result.tables_created, set(result.tables_existing)) == ((), DOCUMENTED)


async def test_every_documented_name_can_be_read(platform, organizations):
    counts = {}
    for name in DOCUMENTED:
        table = await platform.warehouse.query(Statement(f"SELECT * FROM {name}", platform.scope.dataset))
        counts[name] = table.num_rows
    assert counts == dict.fromkeys(DOCUMENTED, 0)


async def test_force_drops_the_platform_and_its_keys_but_no_organizations_dataset(platform, organizations):
    onboarded = await organizations.onboard(ACME)
    await organizations.authenticate(onboarded.api_key)
    await organizations.bootstrap(force_recreate_dataset=True)
    with pytest.raises(Unauthenticated):
        await organizations.authenticate(onboarded.api_key)
    kept = await platform.warehouse.tables(platform.scope.org("Acme").dataset)
    assert "onboarding_validation_test" in kept


async def test_an_organization_can_come_back_after_force_and_finds_its_dataset(organizations):
    await organizations.onboard(ACME)
    await organizations.bootstrap(force_recreate_dataset=True)
    again = await organizations.onboard(ACME)
    assert again.dataset_created is False
