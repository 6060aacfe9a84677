"""Organizations, their plans and their API keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from convergence.tenancy import OrgScope

SCOPES: Final = frozenset(
    {
        "pipelines:run",
        "pipelines:read",
        "costs:read",
        "query:read",
        "integrations:read",
        "integrations:write",
        "keys:write",
    }
)

PLATFORM_TABLES: Final = (
    "org_profiles",
    "org_api_keys",
    "org_subscriptions",
    "org_integration_credentials",
    "org_pipeline_configs",
    "org_scheduled_pipeline_runs",
    "org_meta_dq_results",
)
PLATFORM_LOGS: Final = ("org_meta_pipeline_runs_log", "org_meta_step_logs_log")
PLATFORM_VIEWS: Final = (  # each reads only those before it
    "org_meta_pipeline_runs",
    "org_meta_step_logs",
    "org_pipeline_execution_queue",
    "org_usage_quotas",
)
ORG_TABLES: Final = ("identity_mapping", "dim_api_keys", "dim_people")


@dataclass(frozen=True, slots=True)
class Plan:
    """What an organization has paid for. No price: agreed on with the customer."""

    name: str
    members: int
    providers: int
    pipelines_per_day: int
    pipelines_per_month: int
    concurrent_pipelines: int
    price_per_month: Decimal | None = None
    currency: str = "USD"


PLANS: Final[Mapping[str, Plan]] = MappingProxyType(
    {
        plan.name: plan
        for plan in (
            Plan("STARTER", 2, 3, 6, 180, 1, Decimal(19)),
            Plan("PROFESSIONAL", 6, 6, 25, 750, 3),
            Plan("SCALE", 11, 10, 100, 3000, 10, Decimal(199)),
        )
    }
)


class SubscriptionStatus(StrEnum):
    ACTIVE = "ACTIVE"
    TRIAL = "TRIAL"
    EXPIRED = "EXPIRED"
    SUSPENDED = "SUSPENDED"
    CANCELLED = "CANCELLED"

    @property
    def may_run(self) -> bool:
        return self in {SubscriptionStatus.ACTIVE, SubscriptionStatus.TRIAL}


@dataclass(frozen=True, slots=True)
class Subscription:
    """The plan of an organization and whether it is in force. The limits are those it was sold with."""

    subscription_id: str
    plan: Plan
    status: SubscriptionStatus
    valid_from: datetime


@dataclass(frozen=True, slots=True)
class OnboardingRequest:
    """Who wants in."""

    org_slug: str
    company_name: str
    admin_email: str
    subscription_plan: str = "STARTER"


@dataclass(frozen=True, slots=True)
class Onboarded:
    """A new organization. `api_key` is shown once: only its digest is kept."""

    org_slug: str
    api_key: str = field(repr=False)
    api_key_id: str
    api_key_fingerprint: str
    dataset_id: str
    dataset_created: bool
    subscription_plan: str


@dataclass(frozen=True, slots=True)
class BootstrapResult:
    """The documented tables and views, by whether they were there."""

    tables_created: tuple[str, ...]
    tables_existing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Check:
    """One condition of onboarding."""

    name: str
    passed: bool
    message: str


@dataclass(frozen=True, slots=True)
class DryrunResult:
    """Every condition of onboarding, whether it holds or not."""

    checks: tuple[Check, ...]

    @property
    def ready_for_onboarding(self) -> bool:
        return all(check.passed for check in self.checks)

    @property
    def status(self) -> str:
        return "SUCCESS" if self.ready_for_onboarding else "FAILED"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key as it is listed."""

    api_key_id: str
    name: str
    fingerprint: str
    scopes: frozenset[str]
    created_at: datetime
    created_by: str | None
    expires_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """An API key at the only moment its text can be seen."""

    api_key: str = field(repr=False)
    api_key_id: str
    api_key_fingerprint: str
    name: str
    scopes: frozenset[str]
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Principal:
    """Whom a request speaks for."""

    org: OrgScope
    api_key_id: str
    scopes: frozenset[str]
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Recorded runs: counted today and this month, and running now."""

    runs_today: int = 0
    runs_this_month: int = 0
    runs_running: int = 0


@dataclass(frozen=True, slots=True)
class Profile:
    """An organization as it is shown."""

    org_slug: str
    company_name: str
    admin_email: str
    status: str
    dataset_id: str
    created_at: datetime
    plan: Plan
    subscription_status: SubscriptionStatus
    usage: Usage
