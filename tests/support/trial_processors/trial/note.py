"""Writes a line when it begins and one when it ends, waiting in between."""

import asyncio
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from convergence.steps import StepContext, StepResult


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    seconds: float = 0
    rows: int = 1


class Engine:
    async def execute(self, step_config: Mapping[str, Any], context: StepContext, /) -> StepResult:
        config = Config.model_validate(step_config)
        journal = context.parameters["journal"]
        _write(journal, f"begin {context.step_id}")
        await asyncio.sleep(config.seconds)
        _write(journal, f"end {context.step_id}")
        context.report(config.rows)
        return StepResult(config.rows, {"days": len(context.days)}, private={"secret": "shown once"})


def _write(journal: str, line: str) -> None:
    with open(journal, "a", encoding="utf-8") as file:  # noqa: PTH123 - one append is one write
        file.write(line + "\n")


def get_engine() -> Engine:
    return Engine()
