"""Organizations, their plans, their API keys."""

from convergence.organizations.models import (
    PLANS,
    SCOPES,
    ApiKey,
    BootstrapResult,
    Check,
    DryrunResult,
    NewApiKey,
    Onboarded,
    OnboardingRequest,
    Plan,
    Principal,
    Profile,
    Subscription,
    SubscriptionStatus,
    Usage,
)
from convergence.organizations.onboarding import read_request, require_platform_run
from convergence.organizations.service import Organizations

__all__ = [
    "PLANS",
    "SCOPES",
    "ApiKey",
    "BootstrapResult",
    "Check",
    "DryrunResult",
    "NewApiKey",
    "Onboarded",
    "OnboardingRequest",
    "Organizations",
    "Plan",
    "Principal",
    "Profile",
    "Subscription",
    "SubscriptionStatus",
    "Usage",
    "read_request",
    "require_platform_run",
]
