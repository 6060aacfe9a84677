"""Setup pipelines, run inside the request that asks for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from convergence.api.gate import Caller
from convergence.bootstrap import Platform
from convergence.pipelines.service import Inline
from convergence.tenancy import OrgScope


@dataclass(frozen=True, slots=True)
class Done:
    """A setup run that has completed."""

    inline: Inline

    def outcome(self, step_id: str) -> dict[str, Any]:
        """What a step recorded, and what it hands to the caller alone."""
        return {**self.inline.run.step(step_id).metadata, **self.inline.results}

    def has_step(self, step_id: str) -> bool:
        return any(step.step_id == step_id for step in self.inline.run.steps)

    @property
    def warnings(self) -> list[str]:
        """What every step wants to be known, in their order."""
        return [str(text) for step in self.inline.run.steps for text in step.metadata.get("warnings", [])]


async def run_setup(
    platform: Platform,
    pipeline_id: str,
    *,
    caller: Caller,
    org: OrgScope | None = None,
    parameters: Mapping[str, Any] | None = None,
    private_parameters: Mapping[str, Any] | None = None,
) -> Done:
    """
    Raises:
        ConvergenceError: what the failed step raised.
    """
    inline = await platform.pipelines.run_inline(
        pipeline_id,
        org=org,
        parameters=parameters,
        private_parameters=private_parameters,
        trigger_by=caller.name,
    )
    return Done(inline)
