"""deepseek.directory: the models there are now; what has vanished keeps its row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from convergence.costs.directory import Directory
from convergence.processors.deepseek._client import PROVIDER, open_client
from convergence.steps import StepContext, StepResult

TABLE: Final = "deepseek_models"


class Config(BaseModel):
    """There is nothing to set."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def get_engine() -> DirectoryProcessor:
    return DirectoryProcessor()


class DirectoryProcessor:
    """One list. The API tells neither keys nor people."""

    async def execute(self, step_config: Mapping[str, Any], context: StepContext, /) -> StepResult:
        Config.model_validate(step_config)
        page = await (await open_client(context)).get("/models")
        items = [item for item in page.envelope.get("data") or () if item.get("id")]
        directory = Directory(context, PROVIDER)
        await directory.merge(TABLE, [{"id": item["id"], "owned_by": item.get("owned_by")} for item in items])
        return StepResult(len(items), {"listed": {TABLE: len(items)}, "vanished": directory.vanished})
