"""A worker or a scheduler in a process of its own."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

from convergence.cli.options import run_async
from convergence.errors import ConfigError, Fault

if TYPE_CHECKING:
    from convergence.settings import Settings


def check_apart(settings: Settings) -> None:
    """Refuse a process of its own where everything belongs to one.

    Raises:
        ConfigError: each backend that other processes do not share.
    """
    faults = []
    if settings.warehouse == "duckdb":
        problem = "the embedded warehouse belongs to one process, which executes runs and starts due pipelines itself"
        faults.append(Fault(problem, key="WAREHOUSE", expected="bigquery"))
    if settings.lock_backend == "memory":
        faults.append(Fault("is not shared by processes", key="LOCK_BACKEND", expected="redis or firestore"))
    if settings.queue_backend == "local":
        faults.append(Fault("does not reach other processes", key="QUEUE_BACKEND", expected="redis or cloud_tasks"))
    if faults:
        raise ConfigError(faults, hint="Use `convergence serve`: it works and schedules too. Or share the backends.")


def run_background(settings: Settings, *, work: bool) -> None:
    """Work, or tick, until SIGTERM or SIGINT; then hand back what is unfinished."""
    run_async(_run(settings, work=work))


async def _run(settings: Settings, *, work: bool) -> None:
    import structlog

    from convergence.bootstrap import open_platform, prepare_settings
    from convergence.telemetry import configure_logging

    settings = prepare_settings(settings)
    configure_logging(settings.log_level, json=settings.environment != "development")
    log = structlog.get_logger(__name__)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with open_platform(settings) as platform:
        if work:
            platform.start_work()
        else:
            platform.start_scheduler()
        log.info("started", part="worker" if work else "scheduler", instance=platform.worker.instance)
        await stop.wait()
