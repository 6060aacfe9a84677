import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from convergence.errors import Conflict, InvalidRequest, StatementFailed
from convergence.organizations import SCOPES, OnboardingRequest, Organizations
from convergence.sql import Statement
from convergence.state import StateStore
from convergence.warehouse import Warehouse

ACME = OnboardingRequest("Acme", "Acme Inc.", "ann@acme.example")
GLOBEX = OnboardingRequest("globex", "Globex", "hank@globex.example", "SCALE")
PER_ORG = ("org_profiles", "org_subscriptions", "org_api_keys")


class ProcessDeathError(Exception):
    """Stands for the end of the process."""


class DyingWarehouse:
    """The real warehouse until the n-th write of a platform table, and then none at all, as if the process had died."""

    def __init__(self, warehouse: Warehouse, writes: int) -> None:
        self._warehouse = warehouse
        self._left = writes
        self._is_dead = False

    def __getattr__(self, name):
        if self._is_dead:
            raise ProcessDeathError
        return getattr(self._warehouse, name)

    async def load(self, table, *arguments, **options):
        if self._is_dead or (table.dataset.name == "organizations" and self._left == 0):
            self._is_dead = True
            raise ProcessDeathError
        self._left -= table.dataset.name == "organizations"
        return await self._warehouse.load(table, *arguments, **options)


class AbandonedState:
    """The real state store, to which a dead process gives nothing back."""

    def __init__(self, state: StateStore) -> None:
        self._state = state

    def __getattr__(self, name):
        return getattr(self._state, name)

    async def release(self, lease):
        """Never reached by a process that was killed."""


async def _counts(platform) -> dict[str, int]:
    counts = {}
    for table in PER_ORG:
        rows = await platform.warehouse.query(Statement(f"SELECT 1 AS one FROM {table}", platform.scope.dataset))
        counts[table] = rows.num_rows
    return counts


async def test_before_bootstrap_it_says_what_to_do(platform):
    with pytest.raises(Conflict) as caught:
        await platform.organizations().onboard(ACME)
    assert caught.value.code == "not_bootstrapped"
    assert "bootstrap" in caught.value.hint


async def test_an_onboarded_organization_has_all_it_needs(platform, organizations):
    onboarded = await organizations.onboard(ACME)
    principal = await organizations.authenticate(onboarded.api_key)
    tables = await platform.warehouse.tables(principal.org.dataset)
    assert (onboarded.org_slug, onboarded.dataset_id, onboarded.dataset_created) == ("Acme", "Acme_dev", True)
    assert onboarded.api_key.startswith("Acme_api_")
    assert (principal.org.org_slug, principal.scopes) == ("Acme", SCOPES)
    assert {"org_comprehensive_view", "onboarding_validation_test"} <= set(tables)
    assert await _counts(platform) == dict.fromkeys(PER_ORG, 1)


async def test_the_profile_shows_plan_and_usage(organizations):
    await organizations.onboard(GLOBEX)
    profile = await organizations.profile(await organizations.organization("globex"))
    assert (profile.company_name, profile.plan.name, profile.plan.concurrent_pipelines) == ("Globex", "SCALE", 10)
    assert (profile.subscription_status, profile.usage.runs_today) == ("ACTIVE", 0)


async def test_the_key_is_stored_nowhere(platform, organizations):
    onboarded = await organizations.onboard(ACME)
    rows = await platform.warehouse.query(Statement("SELECT * FROM org_api_keys", platform.scope.dataset))
    assert onboarded.api_key not in str(rows.to_pylist())
    assert onboarded.api_key[-49:-6] not in str(rows.to_pylist())


async def test_the_validation_record_can_be_read(platform, organizations):
    await organizations.onboard(ACME)
    statement = Statement("SELECT org_slug, status FROM onboarding_validation_test", platform.scope.org("Acme").dataset)
    rows = await platform.warehouse.query(statement)
    assert rows.to_pylist() == [{"org_slug": "Acme", "status": "PASS"}]


async def test_the_comprehensive_view_shows_this_organization_only(platform, organizations):
    await organizations.onboard(ACME)
    await organizations.onboard(GLOBEX)
    statement = Statement("SELECT org_slug, plan FROM org_comprehensive_view", platform.scope.org("globex").dataset)
    rows = await platform.warehouse.query(statement)
    assert rows.to_pylist() == [{"org_slug": "globex", "plan": "SCALE"}]


async def test_a_user_can_read_the_comprehensive_view(platform, organizations):
    await organizations.onboard(ACME)
    await organizations.onboard(GLOBEX)
    statement = Statement("SELECT org_slug FROM org_comprehensive_view", platform.scope.org("globex").dataset)
    rows = await platform.warehouse.read(statement, max_rows=10)
    assert rows.to_pylist() == [{"org_slug": "globex"}]


async def test_twice_is_a_conflict_and_the_first_key_stays_good(platform, organizations):
    first = await organizations.onboard(ACME)
    with pytest.raises(Conflict) as caught:
        await organizations.onboard(ACME)
    assert caught.value.code == "organization_exists"
    assert (await organizations.authenticate(first.api_key)).org.org_slug == "Acme"
    assert await _counts(platform) == dict.fromkeys(PER_ORG, 1)


@pytest.mark.parametrize("slug", ["acme", "ACME", "aCmE"])
async def test_a_slug_is_taken_in_every_case(organizations, slug):
    await organizations.onboard(ACME)
    with pytest.raises(Conflict, match="organization Acme exists"):
        await organizations.onboard(replace(ACME, org_slug=slug))


async def test_of_many_at_once_exactly_one_wins(platform, organizations):
    slugs = ["Acme", "acme", "ACME", "Acme", "acmE", "Acme"]
    services = [platform.organizations() for _ in slugs]
    outcomes = await asyncio.gather(
        *(service.onboard(replace(ACME, org_slug=slug)) for service, slug in zip(services, slugs, strict=True)),
        return_exceptions=True,
    )
    lost = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    assert [type(error) for error in lost] == [Conflict] * 5
    assert await _counts(platform) == dict.fromkeys(PER_ORG, 1)


@pytest.mark.parametrize("writes", [0, 1, 2])
async def test_death_in_the_middle_leaves_no_organization_and_the_next_try_succeeds(platform, organizations, writes):
    dying = Organizations(
        DyingWarehouse(platform.warehouse, writes),
        platform.scope,
        platform.security,
        AbandonedState(platform.state),
        platform.catalog,
        platform.clock,
    )
    with pytest.raises(ProcessDeathError):
        await dying.onboard(ACME)
    assert await organizations.active_organizations() == []
    with pytest.raises(Conflict, match="being onboarded"):
        await organizations.onboard(ACME)
    platform.clock.advance(timedelta(minutes=6))
    onboarded = await organizations.onboard(ACME)
    assert (await organizations.authenticate(onboarded.api_key)).org.org_slug == "Acme"
    assert await _counts(platform) == dict.fromkeys(PER_ORG, 1)


async def test_a_failure_in_the_middle_leaves_nothing_behind(platform, organizations):
    class RefusingWarehouse:
        def __getattr__(self, name):
            return getattr(platform.warehouse, name)

        async def load(self, table, *arguments, **options):
            if table.name == "org_profiles":
                raise StatementFailed("refused")
            return await platform.warehouse.load(table, *arguments, **options)

    refusing = Organizations(
        RefusingWarehouse(), platform.scope, platform.security, platform.state, platform.catalog, platform.clock
    )
    with pytest.raises(StatementFailed):
        await refusing.onboard(ACME)
    assert await _counts(platform) == dict.fromkeys(PER_ORG, 0)
    assert await platform.warehouse.tables(platform.scope.org("Acme").dataset) == []
    assert (await organizations.onboard(ACME)).dataset_created is True


async def test_a_refused_request_writes_nothing(platform, organizations):
    with pytest.raises(InvalidRequest):
        await organizations.onboard(replace(ACME, admin_email="nobody"))
    assert await _counts(platform) == dict.fromkeys(PER_ORG, 0)


async def test_dryrun_creates_nothing_and_is_ready(platform, organizations):
    result = await organizations.dryrun(ACME)
    assert (result.status, result.ready_for_onboarding) == ("SUCCESS", True)
    assert [check.name for check in result.checks] == [
        "bootstrap",
        "org_slug",
        "company_name",
        "admin_email",
        "subscription_plan",
        "slug_available",
        "dataset",
    ]
    assert await platform.warehouse.tables(platform.scope.org("Acme").dataset) == []
    assert await _counts(platform) == dict.fromkeys(PER_ORG, 0)


async def test_dryrun_of_a_taken_slug_is_not_ready(organizations):
    await organizations.onboard(ACME)
    result = await organizations.dryrun(replace(ACME, org_slug="acme"))
    failed = [check.name for check in result.checks if not check.passed]
    assert (result.status, failed) == ("FAILED", ["slug_available"])


async def test_dryrun_before_bootstrap_is_not_ready(platform):
    result = await platform.organizations().dryrun(ACME)
    assert [check.name for check in result.checks if not check.passed] == ["bootstrap"]
