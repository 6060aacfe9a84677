from typing import Any

import pytest

from convergence.errors import InvalidRequest
from convergence.organizations import OnboardingRequest, read_request
from convergence.organizations.onboarding import request_checks, require

GOOD = {"org_slug": "acme_inc", "company_name": "Acme", "admin_email": "ann@acme.example"}


@pytest.mark.parametrize(
    ("field", "value", "failed"),
    [
        ("org_slug", "ab", "org_slug"),
        ("org_slug", "a" * 51, "org_slug"),
        ("org_slug", "acme-inc", "org_slug"),
        ("org_slug", "acme\n", "org_slug"),
        ("org_slug", "ácme", "org_slug"),
        ("org_slug", "Organizations", "org_slug"),
        ("company_name", "  ", "company_name"),
        ("company_name", "Ac\x00me", "company_name"),
        ("company_name", "x" * 201, "company_name"),
        ("admin_email", "ann", "admin_email"),
        ("admin_email", "ann@acme", "admin_email"),
        ("admin_email", "ann@acme.example\nBcc: eve@evil.example", "admin_email"),
        ("admin_email", "a b@acme.example", "admin_email"),
        ("subscription_plan", "GOLD", "subscription_plan"),
        ("subscription_plan", "starter", "subscription_plan"),
    ],
)
def test_a_bad_field_fails_its_own_check(field: str, value: str, failed: str) -> None:
    checks = request_checks(OnboardingRequest(**{**GOOD, field: value}))
    assert [check.name for check in checks if not check.passed] == [failed]


def test_a_good_request_passes_every_check() -> None:
    assert all(check.passed for check in request_checks(OnboardingRequest(**GOOD)))


def test_a_hyphen_is_explained() -> None:
    slug = request_checks(OnboardingRequest(**{**GOOD, "org_slug": "acme-inc"}))[0]
    assert "hyphen cannot name a BigQuery dataset" in slug.message


def test_every_fault_is_named_at_once() -> None:
    bad = OnboardingRequest("a-b", "", "nobody", "GOLD")
    with pytest.raises(InvalidRequest) as caught:
        require(request_checks(bad))
    faults: Any = caught.value.fields["faults"]
    assert [fault["name"] for fault in faults] == ["org_slug", "company_name", "admin_email", "subscription_plan"]


def test_parameters_that_are_missing_unknown_or_not_text_are_named_at_once() -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_request({"org_slug": 7, "company_name": "Acme", "plan": "SCALE"})
    assert caught.value.fields["faults"] == ["plan is unknown", "admin_email is missing", "org_slug is not text"]


def test_the_plan_is_starter_unless_another_is_asked_for() -> None:
    assert read_request(GOOD).subscription_plan == "STARTER"
