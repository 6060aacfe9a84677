"""Run and step records, as the state store keeps them."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final

import msgspec

from convergence.errors import ConvergenceError
from convergence.kit.window import Window
from convergence.security.redaction import redact

PLATFORM_ORG: Final = "-"  # the organization of a run that has none; no slug can be this


class RunStatus(StrEnum):
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def is_final(self) -> bool:
        return self not in {RunStatus.PENDING, RunStatus.RUNNING}


class StepStatus(StrEnum):
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    SKIPPED = "SKIPPED"

    @property
    def is_final(self) -> bool:
        return self not in {StepStatus.PENDING, StepStatus.RUNNING}


class TriggerType(StrEnum):
    """Who asked for a run. A scheduled run and a backfill's chunk wait for a free slot; the others are refused."""

    API = "api"
    CLI = "cli"
    SCHEDULER = "scheduler"
    BACKFILL = "backfill"
    INLINE = "inline"

    @property
    def waits_for_slot(self) -> bool:
        return self in {TriggerType.SCHEDULER, TriggerType.BACKFILL}


class StepRecord(msgspec.Struct, kw_only=True):
    """The state of one step of one run."""

    step_id: str
    step_index: int
    ps_type: str
    status: StepStatus = StepStatus.PENDING
    start_time: datetime | None = None
    end_time: datetime | None = None
    rows_processed: int = 0
    attempt: int = 0
    error_code: str | None = None
    error_message: str | None = None
    metadata: dict[str, Any] = {}

    @property
    def duration_ms(self) -> int | None:
        return _milliseconds(self.start_time, self.end_time)


class RunRecord(msgspec.Struct, kw_only=True):
    """The state of one run. `record_version` grows with each transition; the highest is the current one."""

    run_id: str
    org_slug: str
    pipeline_id: str
    trigger_type: TriggerType
    trigger_by: str
    accepted_at: datetime
    config_version: str
    steps: list[StepRecord]
    status: RunStatus = RunStatus.PENDING
    start_date: date | None = None
    end_date: date | None = None  # the last day, inside
    parameters: dict[str, Any] = {}
    start_time: datetime | None = None
    end_time: datetime | None = None
    not_before: datetime | None = None
    attempt: int = 0
    fence: int = 0
    worker_instance: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    metadata: dict[str, Any] = {}
    backfill_id: str | None = None
    quota_counted: bool = False
    is_cancel_requested: bool = False
    record_version: int = 0

    @property
    def window(self) -> Window | None:
        if self.start_date is None or self.end_date is None:
            return None
        return Window.inclusive(self.start_date, self.end_date)

    @property
    def duration_ms(self) -> int | None:
        return _milliseconds(self.start_time, self.end_time)

    def step(self, step_id: str) -> StepRecord:
        return next(step for step in self.steps if step.step_id == step_id)

    def fail(self, error: ConvergenceError) -> None:
        self.error_code, self.error_message = error.code, describe(error)


def describe(error: ConvergenceError) -> str:
    """An error as a run shows it: what, then what to do, without a secret."""
    return redact(f"{error.message}. {error.hint}" if error.hint else error.message)


def _milliseconds(start: datetime | None, end: datetime | None) -> int | None:
    return None if start is None or end is None else round((end - start).total_seconds() * 1000)
