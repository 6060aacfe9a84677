"""A processor gets one frozen context: no globals, no environment, no clock of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from convergence.errors import StepFailed
from convergence.kit.clock import Clock
from convergence.kit.window import Window
from convergence.tenancy import OrgScope, PlatformScope
from convergence.warehouse import Warehouse

if TYPE_CHECKING:
    import structlog

    from convergence.catalog import Catalog
    from convergence.connectors import HttpPool
    from convergence.connectors.uploads import Uploads
    from convergence.security import Security
    from convergence.state import StateStore

FILE_DAYS: Final = "file_days"


@dataclass(frozen=True, slots=True)
class RunInfo:
    """The run a step belongs to. `fence` is the lease's: the warehouse refuses an older one."""

    run_id: str
    pipeline_id: str
    trigger_type: str
    trigger_by: str
    fence: int


@dataclass(frozen=True, slots=True)
class LoadLimits:
    """The gates before a publish."""

    max_bad_rows: int = 5
    max_bad_row_share: float = 0.005
    shrink_recheck: timedelta = timedelta(seconds=600)


class CredentialReader(Protocol):
    """Opens the organization's stored credential for a provider, in the worker, at the time of use."""

    async def reveal(self, org: OrgScope, provider: str, /) -> str:
        """The secret text.

        Raises:
            StepFailed: none is stored, or it was refused at its last validation.
        """
        ...

    async def given(self, org: OrgScope, provider: str, /) -> Mapping[str, Any]:
        """The metadata that the provider was set up with; nothing where it is not set up."""
        ...


@dataclass(frozen=True, slots=True)
class StepContext:
    """Everything a step may touch. `org` is None for the platform's own pipelines; see `tenant`."""

    run: RunInfo
    step_id: str
    platform: PlatformScope
    warehouse: Warehouse
    http: HttpPool
    credentials: CredentialReader
    security: Security
    state: StateStore
    catalog: Catalog
    uploads: Uploads
    clock: Clock
    log: structlog.stdlib.BoundLogger
    folder: Path  # of the pipeline's YAML file: relative paths in it start here
    org: OrgScope | None = None
    window: Window | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    limits: LoadLimits = field(default_factory=LoadLimits)
    outputs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # StepResult.metadata of earlier steps
    report: Callable[[int], None] = lambda _rows: None  # rows so far, for the progress display and the heartbeat

    @property
    def provider_folder(self) -> str:
        """The first folder below the configs root on the way to the pipeline: it names the provider."""
        return self.folder.resolve().relative_to(self.catalog.root).parts[0]

    @property
    def tenant(self) -> OrgScope:
        """The organization of the run.

        Raises:
            StepFailed: the run has none.
        """
        if self.org is None:
            raise StepFailed(f"step {self.step_id} needs an organization", hint="Run it for one organization.")
        return self.org

    @property
    def days(self) -> Window:
        """The days of the run; where an earlier step has loaded a file, the days that it found there.

        Raises:
            StepFailed: the run has none.
        """
        if found := [days for output in self.outputs.values() if (days := _days_in(output))]:
            return Window(min(days.start for days in found), max(days.end for days in found))
        if self.window is None:
            raise StepFailed(f"step {self.step_id} needs a date range", hint="Give date, or start_date and end_date.")
        return self.window


def file_days(days: Window) -> dict[str, Any]:
    """What a step that loads a file adds to its metadata, so that the steps behind it know its days."""
    return {FILE_DAYS: [days.start.isoformat(), days.last.isoformat()]}


def _days_in(output: Mapping[str, Any]) -> Window | None:
    days = output.get(FILE_DAYS)
    return Window.inclusive(*map(date.fromisoformat, days)) if days else None


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a step did. `metadata` is recorded with the run: JSON values, never a secret.

    `private` goes to the caller of an inline run and is recorded nowhere: an API key that is shown once.
    """

    rows_processed: int = 0
    metadata: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    private: Mapping[str, Any] = field(default_factory=dict, repr=False)


class Processor(Protocol):
    """The engine that `get_engine()` of a processor module returns.

    The module's `Config` is a frozen pydantic model with extra="forbid": the step's own keys, validated when the
    pipeline is loaded, not when it runs.
    """

    async def execute(self, step_config: Mapping[str, Any], context: StepContext, /) -> StepResult: ...
