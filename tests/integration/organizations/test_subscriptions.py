import asyncio

import pytest

from convergence.errors import Conflict, Denied, InvalidRequest, NotFound
from convergence.organizations import OnboardingRequest, SubscriptionStatus
from convergence.sql import Statement

ACME = OnboardingRequest("Acme", "Acme Inc.", "ann@acme.example")
GLOBEX = OnboardingRequest("globex", "Globex", "hank@globex.example", "SCALE")


@pytest.mark.parametrize("status", ["SUSPENDED", "CANCELLED", "EXPIRED"])
async def test_an_organization_out_of_force_may_read_and_not_run(platform, organizations, status):
    onboarded = await organizations.onboard(ACME)
    org = platform.scope.org("Acme")
    await organizations.set_subscription(org, status=SubscriptionStatus(status))
    with pytest.raises(Denied, match=status):
        await organizations.check_may_run(org)
    assert (await organizations.authenticate(onboarded.api_key)).org == org
    assert await organizations.active_organizations() == []


async def test_a_change_is_seen_at_once_by_every_process(platform, organizations):
    await organizations.onboard(ACME)
    org, elsewhere = platform.scope.org("Acme"), platform.organizations()
    before = await elsewhere.plan(org)
    await organizations.set_subscription(org, plan="SCALE")
    after = await elsewhere.check_may_run(org)
    assert (before.name, after.name, after.pipelines_per_day) == ("STARTER", "SCALE", 100)


async def test_the_earlier_subscription_stays_on_record(platform, organizations):
    await organizations.onboard(ACME)
    await organizations.set_subscription(platform.scope.org("Acme"), plan="SCALE")
    rows = await platform.warehouse.query(
        Statement("SELECT plan, valid_to IS NULL AS is_current FROM org_subscriptions", platform.scope.dataset)
    )
    assert sorted((row["plan"], row["is_current"]) for row in rows.to_pylist()) == [("SCALE", True), ("STARTER", False)]


async def test_changes_at_once_leave_one_subscription_in_force(platform, organizations):
    await organizations.onboard(ACME)
    org = platform.scope.org("Acme")
    plans = ["SCALE", "PROFESSIONAL", "STARTER", "SCALE"]
    outcomes = await asyncio.gather(
        *(platform.organizations().set_subscription(org, plan=plan) for plan in plans), return_exceptions=True
    )
    assert all(isinstance(outcome, Conflict) for outcome in outcomes if isinstance(outcome, Exception))
    current = await platform.warehouse.query(
        Statement("SELECT plan FROM org_subscriptions WHERE valid_to IS NULL", platform.scope.dataset)
    )
    assert current.num_rows == 1


async def test_an_unknown_plan_is_refused_with_the_plans_there_are(platform, organizations):
    await organizations.onboard(ACME)
    with pytest.raises(InvalidRequest, match="STARTER, PROFESSIONAL, SCALE"):
        await organizations.set_subscription(platform.scope.org("Acme"), plan="GOLD")


async def test_active_organizations_are_listed_by_slug(organizations):
    await organizations.onboard(GLOBEX)
    await organizations.onboard(ACME)
    assert [org.org_slug for org in await organizations.active_organizations()] == ["Acme", "globex"]


@pytest.mark.parametrize("slug", ["nobody", "acme"])
async def test_an_organization_is_found_by_its_exact_slug_only(organizations, slug):
    await organizations.onboard(ACME)
    with pytest.raises(NotFound):
        await organizations.organization(slug)


async def test_usage_is_counted_from_the_recorded_runs(platform, organizations):
    await organizations.onboard(GLOBEX)
    now = platform.clock.now()
    for run_id, version, status, counted in [
        ("run_1", 0, "PENDING", True),
        ("run_1", 1, "RUNNING", True),
        ("run_2", 0, "COMPLETED", True),
        ("run_3", 0, "COMPLETED", False),
    ]:
        await platform.warehouse.execute(
            Statement(
                "INSERT INTO org_meta_pipeline_runs_log (org_slug, pipeline_logging_id, pipeline_id, status,"
                " quota_counted, run_date, record_version, recorded_at)"
                " VALUES ('globex', @run_id, 'p', @status, @counted, @today, @version, @now)",
                platform.scope.dataset,
                {
                    "run_id": run_id,
                    "status": status,
                    "counted": counted,
                    "today": now.date(),
                    "version": version,
                    "now": now,
                },
            )
        )
    profile = await organizations.profile(platform.scope.org("globex"))
    usage = profile.usage
    assert (usage.runs_today, usage.runs_this_month, usage.runs_running) == (2, 2, 1)
