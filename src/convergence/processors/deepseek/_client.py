"""The way to DeepSeek with the organization's API key."""

from __future__ import annotations

from convergence.connectors import ProviderClient, bearer
from convergence.steps import StepContext

PROVIDER = "deepseek"


async def open_client(context: StepContext) -> ProviderClient:
    """A client with the organization's key."""
    key = await context.credentials.reveal(context.tenant, PROVIDER)
    return context.http.client(context.tenant.org_slug, PROVIDER, bearer(key.strip()))
