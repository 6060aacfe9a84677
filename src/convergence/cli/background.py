"""A worker or a scheduler in a process of its own."""

from __future__ import annotations

import asyncio
import signal

from convergence.cli.options import run_async


def run_background(*, work: bool) -> None:
    """Work, or tick, until SIGTERM or SIGINT; then hand back what is unfinished."""
    run_async(_run(work=work))


async def _run(*, work: bool) -> None:
    from convergence.bootstrap import open_platform, prepare_settings
    from convergence.settings import load_settings
    from convergence.telemetry import configure_logging

    settings = prepare_settings(load_settings())
    configure_logging(settings.log_level, json=settings.environment != "development")
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with open_platform(settings) as platform:
        if work:
            platform.start_work()
        else:
            platform.start_scheduler()
        await stop.wait()
