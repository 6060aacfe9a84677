from decimal import Decimal

import pytest

from convergence.organizations import PLANS, SCOPES, NewApiKey, Onboarded, SubscriptionStatus


def test_plans_are_those_that_are_sold() -> None:
    sold = {
        plan.name: (
            plan.members,
            plan.providers,
            plan.pipelines_per_day,
            plan.pipelines_per_month,
            plan.concurrent_pipelines,
            plan.price_per_month,
        )
        for plan in PLANS.values()
    }
    assert sold == {
        "STARTER": (2, 3, 6, 180, 1, Decimal(19)),
        "PROFESSIONAL": (6, 6, 25, 750, 3, None),
        "SCALE": (11, 10, 100, 3000, 10, Decimal(199)),
    }


def test_scopes_are_those_of_the_contract() -> None:
    assert {
        "pipelines:run",
        "pipelines:read",
        "costs:read",
        "query:read",
        "integrations:read",
        "integrations:write",
        "keys:write",
    } == SCOPES


@pytest.mark.parametrize(
    ("status", "may_run"),
    [("ACTIVE", True), ("TRIAL", True), ("EXPIRED", False), ("SUSPENDED", False), ("CANCELLED", False)],
)
def test_only_a_subscription_in_force_may_run(status: str, may_run: bool) -> None:
    assert SubscriptionStatus(status).may_run is may_run


def test_a_key_that_is_shown_once_is_not_in_repr() -> None:
    onboarded = Onboarded("acme", "acme_api_secret", "id", "acme_api_id…", "acme_dev", True, "STARTER")
    created = NewApiKey("acme_api_secret", "id", "acme_api_id…", "ci", SCOPES, None)
    assert "acme_api_secret" not in f"{onboarded!r} {created!r}"
