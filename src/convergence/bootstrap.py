"""The only file that picks: DuckDB or BigQuery, memory or Redis, a local key or a cloud one."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta

import structlog

from convergence.catalog import Catalog
from convergence.connectors import HttpPool, PageArchive
from convergence.connectors.uploads import Uploads
from convergence.errors import ConfigError, ConvergenceError, Fault
from convergence.integrations.service import Integrations
from convergence.kit.clock import Clock, SystemClock
from convergence.organizations.service import Organizations
from convergence.pipelines.executor import Executor, Services
from convergence.pipelines.metadata_log import MetadataLog
from convergence.pipelines.quotas import Quotas
from convergence.pipelines.runs import RunStore
from convergence.pipelines.scheduler import Scheduler
from convergence.pipelines.service import Pipelines
from convergence.pipelines.worker import Worker
from convergence.queue import Queue
from convergence.security import (
    REVEALED,
    FileSecrets,
    GcpSecrets,
    SecretStore,
    Security,
    open_cloud_security,
    open_local_security,
)
from convergence.settings import Settings, check_production, check_secrets, complete_settings
from convergence.state import StateStore
from convergence.steps import LoadLimits
from convergence.steps.registry import PACKAGE
from convergence.tenancy import PlatformScope
from convergence.warehouse import Warehouse

log = structlog.get_logger(__name__)

_TIDY_SECONDS = 3600


@dataclass(slots=True)
class Platform:
    """Everything, wired. `start_work` and `start_scheduler` make it more than an answering machine."""

    settings: Settings
    clock: Clock
    catalog: Catalog
    scope: PlatformScope
    security: Security
    warehouse: Warehouse
    state: StateStore
    queue: Queue
    archive: PageArchive
    uploads: Uploads
    http: HttpPool
    metadata_log: MetadataLog
    organizations: Organizations
    integrations: Integrations
    quotas: Quotas
    runs: RunStore
    pipelines: Pipelines
    worker: Worker
    scheduler: Scheduler
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)

    def start_work(self) -> None:
        """Execute runs in this process, and keep its folder tidy."""
        self._tasks.append(asyncio.create_task(self.worker.run(), name="worker"))
        self._tasks.append(asyncio.create_task(self._tidy_forever(), name="tidy"))

    def start_scheduler(self) -> None:
        """Start due runs from this process."""
        self._tasks.append(asyncio.create_task(self.scheduler.run(self._stopping), name="scheduler"))

    async def _tidy_forever(self) -> None:
        """Delete raw pages and uploaded files that are older than their retention, a part each hour."""
        while not self._stopping.is_set():
            try:
                await self.archive.sweep(self.clock.now())
                await self.uploads.sweep(self.clock.now())
            except OSError as error:
                log.warning("raw pages or uploads not swept", error=str(error))
            with suppress(TimeoutError):
                async with asyncio.timeout(_TIDY_SECONDS):
                    await self._stopping.wait()

    async def close(self) -> None:
        """Hand unfinished runs back, write every record, close every file."""
        self._stopping.set()
        await self.worker.stop()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.metadata_log.close()
        await self.http.close()
        await self.queue.close()
        await self.state.close()
        await self.warehouse.close()


def read_secrets(settings: Settings) -> Settings:
    """The settings, with the platform's own secrets from SECRETS_BACKEND where no variable gives them. May block.

    Raises:
        ConfigError: a secret lies where others can read it.
        SecretsUnavailable: the secret store cannot be reached, or refuses.
    """
    store = _secret_store(settings)
    if store is None:
        return settings

    def read(name: str) -> str | None:
        secret = store.read(name)
        if secret is None:
            return None
        REVEALED.add(secret.text)  # it is masked in every log line from now on
        return secret.text

    return complete_settings(settings, read)


def prepare_settings(settings: Settings) -> Settings:
    """Settings that a server, a worker or a scheduler can start with.

    Raises:
        ConfigError: every fault at once: a secret that is missing, and what production refuses.
        SecretsUnavailable: as `read_secrets`.
    """
    completed = read_secrets(settings)
    faults: list[Fault] = []
    hints: list[str] = []
    for check in (check_production, check_secrets):
        try:
            check(completed)
        except ConfigError as error:
            faults += error.faults
            hints += [error.hint or ""]
    if faults:
        raise ConfigError(faults, hint=" ".join(hints))
    return completed


@asynccontextmanager
async def open_platform(
    settings: Settings, *, clock: Clock | None = None, processors: str = PACKAGE, queue: Queue | None = None
) -> AsyncIterator[Platform]:
    """Open the platform and close it again, over a queue that is there already where one is given.

    Raises:
        ConfigError: a backend that is not there, or a key file that others can read.
        WarehouseBusy: another process holds the embedded warehouse.
    """
    platform = build_platform(settings, clock or SystemClock(), processors, queue)
    try:
        await platform.warehouse.ping()
        await platform.state.ping()
        await _restore(platform)
        platform.metadata_log.start()
        yield platform
    finally:
        await platform.close()


async def _restore(platform: Platform) -> None:
    """Write the records that a crash kept from the warehouse."""
    try:
        behind = await platform.runs.restore_records()
    except ConvergenceError as error:
        log.warning("records of earlier runs not restored", error=error.message)
        return
    if behind:
        log.info("records of earlier runs restored", runs=behind)


def build_platform(settings: Settings, clock: Clock, processors: str = PACKAGE, queue: Queue | None = None) -> Platform:
    """Wire everything; opens nothing yet."""
    catalog = Catalog(settings.configs_dir)
    scope = PlatformScope(settings.environment)
    security = _security(settings)
    warehouse = _warehouse(settings)
    state = _state(settings, clock)
    queue = queue or _queue(settings, clock)
    archive = PageArchive(settings.data_dir / "archive")
    uploads = Uploads(settings.data_dir / "uploads")
    http = _http(settings, clock, archive)
    instance = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"
    metadata_log = MetadataLog(
        warehouse,
        scope,
        catalog,
        clock,
        batch_size=settings.metadata_log_batch_size,
        flush_interval=timedelta(seconds=settings.metadata_log_flush_interval_seconds),
        workers=settings.metadata_log_workers,
    )
    organizations = Organizations(warehouse, scope, security, state, catalog, clock)
    integrations = Integrations(warehouse, scope, security, state, http, clock, catalog)
    runs = RunStore(state, warehouse, scope, metadata_log, catalog, clock)
    quotas = Quotas(state, clock)
    services = Services(
        platform=scope,
        warehouse=warehouse,
        http=http,
        credentials=integrations,
        security=security,
        state=state,
        catalog=catalog,
        uploads=uploads,
        clock=clock,
        limits=LoadLimits(
            settings.max_bad_rows, settings.max_bad_row_share, timedelta(seconds=settings.shrink_recheck_seconds)
        ),
    )
    executor = Executor(
        services,
        runs,
        retry_backoff=timedelta(seconds=settings.retry_backoff_seconds),
        worker_instance=instance,
        before_end=lambda run: quotas.release(run.org_slug, run.run_id),
        processors=processors,
    )
    pipelines = Pipelines(
        catalog=catalog,
        runs=runs,
        quotas=quotas,
        queue=queue,
        state=state,
        organizations=organizations,
        executor=executor,
        clock=clock,
        instance=instance,
        processors=processors,
    )
    worker = Worker(
        instance=instance,
        queue=queue,
        state=state,
        runs=runs,
        quotas=quotas,
        organizations=organizations,
        catalog=catalog,
        executor=executor,
        clock=clock,
        lease=timedelta(seconds=settings.lease_seconds),
        heartbeat=timedelta(seconds=settings.heartbeat_seconds),
        concurrency=settings.rate_limit_pipeline_concurrency,
    )
    scheduler = Scheduler(
        catalog=catalog,
        pipelines=pipelines,
        organizations=organizations,
        integrations=integrations,
        state=state,
        warehouse=warehouse,
        platform=scope,
        clock=clock,
    )
    return Platform(
        settings=settings,
        clock=clock,
        catalog=catalog,
        scope=scope,
        security=security,
        warehouse=warehouse,
        state=state,
        queue=queue,
        archive=archive,
        uploads=uploads,
        http=http,
        metadata_log=metadata_log,
        organizations=organizations,
        integrations=integrations,
        quotas=quotas,
        runs=runs,
        pipelines=pipelines,
        worker=worker,
        scheduler=scheduler,
    )


def _warehouse(settings: Settings) -> Warehouse:
    if settings.warehouse == "bigquery":
        return _bigquery(settings)
    from convergence.warehouse.duckdb import DuckDBWarehouse

    return DuckDBWarehouse(settings.data_dir)


def _bigquery(settings: Settings) -> Warehouse:
    from convergence.warehouse.bigquery import BigQueryWarehouse

    return BigQueryWarehouse(
        settings.gcp_project_id or "",
        location=settings.bigquery_location,
        endpoint=settings.bigquery_api_endpoint,
        attempts=settings.bq_max_retry_attempts,
        page_rows=settings.bq_max_results_per_page,
        max_bytes=settings.bq_max_bytes_billed,
        query_timeout=timedelta(seconds=settings.bq_query_timeout_seconds),
    )


def _state(settings: Settings, clock: Clock) -> StateStore:
    if settings.lock_backend == "redis" and settings.redis_url is not None:
        from convergence.state.redis import RedisStateStore

        return RedisStateStore(settings.redis_url.get_secret_value(), prefix=settings.redis_prefix)
    if settings.lock_backend == "firestore":
        from convergence.state.firestore import FirestoreStateStore

        return FirestoreStateStore(settings.gcp_project_id, settings.firestore_lock_collection)
    if settings.lock_backend != "memory":
        raise _absent("LOCK_BACKEND", settings.lock_backend, "memory")
    from convergence.state.memory import MemoryStateStore

    return MemoryStateStore(settings.data_dir / "state" / "state.duckdb", clock=clock)


def _queue(settings: Settings, clock: Clock) -> Queue:
    visibility = timedelta(seconds=settings.lease_seconds)
    if settings.queue_backend == "redis" and settings.redis_url is not None:
        from convergence.queue.redis import RedisQueue

        return RedisQueue(settings.redis_url.get_secret_value(), prefix=settings.redis_prefix, visibility=visibility)
    if settings.queue_backend == "cloud_tasks":
        return _cloud_tasks(settings, clock)
    if settings.queue_backend != "local":
        raise _absent("QUEUE_BACKEND", settings.queue_backend, "local")
    from convergence.queue.local import LocalQueue

    return LocalQueue(visibility=visibility)


def _cloud_tasks(settings: Settings, clock: Clock) -> Queue:
    from convergence.queue.cloud_tasks import CloudTasksQueue, Target

    url = settings.cloud_tasks_target_url or ""
    target = Target(
        queue=settings.cloud_tasks_queue or "",
        url=url,
        service_account=settings.cloud_tasks_service_account or "",
        audience=settings.cloud_tasks_audience or url,
        deadline=timedelta(seconds=settings.cloud_tasks_deadline_seconds),
    )
    return CloudTasksQueue(target, clock=clock, endpoint=settings.cloud_tasks_api_endpoint)


def _security(settings: Settings) -> Security:
    if settings.kms_backend == "local":
        return open_local_security(settings.data_dir)
    check_secrets(settings)
    assert settings.kms_resource is not None  # noqa: S101 (load_settings refuses it)
    assert settings.convergence_root_secret is not None  # noqa: S101 (just checked)
    return open_cloud_security(settings.kms_resource, settings.convergence_root_secret.get_secret_value())


def _secret_store(settings: Settings) -> SecretStore | None:
    """None where the variables are all there is: then the settings hold them already."""
    if settings.secrets_backend == "gcp" and settings.gcp_project_id:
        return GcpSecrets(settings.gcp_project_id)
    if settings.secrets_backend == "file" and settings.secrets_base_path is not None:
        return FileSecrets(settings.secrets_base_path)
    return None


def _http(settings: Settings, clock: Clock, archive: PageArchive) -> HttpPool:
    emulator = {"gcp": settings.bigquery_api_endpoint} if settings.bigquery_api_endpoint else {}
    return HttpPool(
        base_urls={**settings.provider_base_urls, **emulator},
        clock=clock,
        archive=archive,
        production=settings.environment == "production",
    )


def _absent(variable: str, value: str, expected: str) -> ConfigError:
    fault = Fault(f"{value!r} is not part of this release", key=variable, expected=expected)
    return ConfigError(fault, hint=f"Set {variable}={expected}.")
