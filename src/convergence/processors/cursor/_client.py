"""The way to Cursor with the team's Admin API key, at the pace that the team is allowed."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from convergence.connectors import MinuteLimit, ProviderClient
from convergence.integrations.validators.cursor import build_auth
from convergence.steps import StepContext

PROVIDER = "cursor"
CURRENCY = "USD"
"""Of every amount: the API names none."""

_ALLOWANCE = "teams"


class Paced(BaseModel):
    """`requests_per_minute` is what Cursor allows the team; over all runs it is never exceeded."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    requests_per_minute: int = Field(default=20, ge=1, le=250)

    async def open_client(self, context: StepContext, allowance: str = _ALLOWANCE) -> ProviderClient:
        """Requests by the same `allowance` count together."""
        auth = build_auth(await context.credentials.reveal(context.tenant, PROVIDER))
        limit = MinuteLimit(allowance, self.requests_per_minute)
        return context.http.client(context.tenant.org_slug, PROVIDER, auth, minute_limit=limit)
