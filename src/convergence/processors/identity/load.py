"""identity.load: an uploaded CSV file as the organization's whole identity mapping."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from convergence.costs.identity.loading import load_mapping
from convergence.costs.identity.mapping import read_csv
from convergence.errors import InvalidRequest, StepFailed
from convergence.steps import StepContext, StepResult

_MOST_BYTES: Final = 16 * 1024 * 1024


class Config(BaseModel):
    """The run's parameter `upload` names the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def get_engine() -> Engine:
    return Engine()


class Engine:
    async def execute(self, step_config: Mapping[str, Any], context: StepContext, /) -> StepResult:
        Config.model_validate(step_config)
        upload = context.parameters.get("upload")
        if not isinstance(upload, str):
            raise StepFailed("the run has no file", hint="Upload one: POST /files/{org}/{provider} with kind=identity.")
        path = await context.uploads.open(context.tenant, upload)
        cells = read_csv(await asyncio.to_thread(_read, path))
        return await load_mapping(context, cells, "csv")


def _read(path: Path) -> bytes:
    if path.stat().st_size > _MOST_BYTES:
        raise InvalidRequest("the file is larger than 16 MiB", hint="A mapping has one line a key or person.")
    return path.read_bytes()
