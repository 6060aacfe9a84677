"""Serving the application until it is told to stop."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import parent_process
from types import FrameType
from typing import Any, Final

import h11
import structlog
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.supervisors import Multiprocess

from convergence import __version__
from convergence.api.problems import Problem
from convergence.api.routers import DELIVERY_ROUTERS, ROUTERS
from convergence.bootstrap import prepare_settings
from convergence.errors import ConfigError
from convergence.kit.ids import new_id
from convergence.settings import Settings
from convergence.telemetry import configure_logging, configure_tracing, wants_json

log = structlog.get_logger(__name__)

GRACE_SECONDS: Final = 20
_START_SECONDS: Final = 60  # until one of several processes must answer the first of them
_MIN_HEADER_BUFFER_BYTES: Final = 64 * 1024


class _PatientProtocol(H11Protocol):
    """Answers 431 where the headers do not end within the buffer; uvicorn calls every malformed request a 400."""

    def send_400_response(self, msg: str) -> None:
        error = sys.exception()  # uvicorn calls this while it handles what h11 raised
        if not isinstance(error, h11.RemoteProtocolError) or error.error_status_hint != 431:
            super().send_400_response(msg)
            return
        problem = Problem(
            431,
            "headers_too_large",
            "the headers are larger than the server takes",
            request_id=new_id("req"),
            headers={"Connection": "close"},
        )
        for event in (
            h11.Response(status_code=431, headers=problem.raw_headers),
            h11.Data(data=bytes(problem.body)),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


class Server(uvicorn.Server):
    """Tells the worker first that the end is near: a delivery under way is answered once its run was handed back."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        app: Any = self.config.loaded_app
        while not isinstance(app, FastAPI):  # within uvicorn's own layers
            app = app.app
        await app.state.platform.worker.stop()
        await super().shutdown(sockets)


@dataclass(frozen=True, slots=True)
class Process:
    """What each server process does. Calling it makes its application; it travels to a new process as it is."""

    settings: Settings
    work: bool = True
    schedule: bool = True
    is_delivery_only: bool = False

    def __call__(self) -> FastAPI:
        from convergence.api.app import create_app

        if parent_process() is not None:
            _observe(self.settings)
        routers = DELIVERY_ROUTERS if self.is_delivery_only else ROUTERS
        return create_app(self.settings, work=self.work, schedule=self.schedule, routers=routers)


def serve(
    settings: Settings,
    *,
    work: bool = True,
    schedule: bool = True,
    host: str | None = None,
    port: int | None = None,
    is_delivery_only: bool = False,
) -> int:
    """Serve until SIGTERM or SIGINT, then finish what is under way; the exit code.

    2 means that the settings are not fit to start with, each fault named on standard error.
    """
    try:
        settings = prepare_settings(settings)
    except ConfigError as error:
        sys.stderr.write(f"{error.message}\n{error.hint or ''}\n")
        return 2
    shut_down_tracing = _observe(settings)
    try:
        return _run(Process(settings, work, schedule, is_delivery_only), host, port)
    finally:
        shut_down_tracing()


def _observe(settings: Settings) -> Callable[[], None]:
    configure_logging(
        settings.log_level,
        json=wants_json(settings.environment, is_terminal=sys.stderr.isatty()),
        project_id=settings.gcp_project_id,
    )
    return configure_tracing(
        service=settings.app_name,
        version=__version__,
        environment=settings.environment,
        endpoint=os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"),
    )


def _run(process: Process, host: str | None, port: int | None) -> int:
    settings = process.settings
    config = uvicorn.Config(
        process,
        factory=True,
        workers=settings.api_workers,
        timeout_worker_healthcheck=_START_SECONDS,
        host=host or settings.api_host,
        port=port if port is not None else settings.api_port,
        http=_PatientProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=GRACE_SECONDS,
        h11_max_incomplete_event_size=max(_MIN_HEADER_BUFFER_BYTES, 4 * settings.max_header_size_bytes),
    )
    if settings.api_workers > 1:
        Multiprocess(config, sockets=[config.bind_socket()]).run()
        return 0
    server = Server(config)
    signal.signal(signal.SIGTERM, _exit)  # uvicorn raises the signal again when it has finished everything
    server.run()
    return 0 if server.started else 1


def _exit(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)
