"""The way to Anthropic with the organization's admin key."""

from __future__ import annotations

from convergence.connectors import ProviderClient
from convergence.integrations.validators.anthropic import build_auth
from convergence.steps import StepContext

PROVIDER = "anthropic"


async def open_client(context: StepContext, requests_per_second: float | None) -> ProviderClient:
    """A client with the organization's admin key."""
    auth = build_auth(await context.credentials.reveal(context.tenant, PROVIDER))
    return context.http.client(context.tenant.org_slug, PROVIDER, auth, requests_per_second=requests_per_second)
