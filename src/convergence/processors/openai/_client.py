"""The way to OpenAI with the organization's admin key."""

from __future__ import annotations

from convergence.connectors import ProviderClient, bearer
from convergence.steps import StepContext

PROVIDER = "openai"


async def open_client(context: StepContext, requests_per_second: float | None) -> ProviderClient:
    """A client with the organization's admin key."""
    key = await context.credentials.reveal(context.tenant, PROVIDER)
    return context.http.client(context.tenant.org_slug, PROVIDER, bearer(key), requests_per_second=requests_per_second)
