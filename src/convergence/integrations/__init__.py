"""What an organization has set up of each provider, and its sealed credentials."""

from convergence.integrations.models import (
    PROVIDERS,
    Integration,
    IntegrationStatus,
    Provider,
    ProviderAllowance,
    Validation,
    find_provider,
)
from convergence.integrations.service import Integrations, given_credential

__all__ = [
    "PROVIDERS",
    "Integration",
    "IntegrationStatus",
    "Integrations",
    "Provider",
    "ProviderAllowance",
    "Validation",
    "find_provider",
    "given_credential",
]
