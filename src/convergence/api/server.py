"""Serving the application until it is told to stop."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Final

import h11
import structlog
import uvicorn
from fastapi import APIRouter, FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from convergence import __version__
from convergence.api.problems import Problem
from convergence.api.routers import ROUTERS
from convergence.bootstrap import prepare_settings
from convergence.errors import ConfigError
from convergence.kit.ids import new_id
from convergence.settings import Settings
from convergence.telemetry import configure_logging, configure_tracing, wants_json

log = structlog.get_logger(__name__)

GRACE_SECONDS: Final = 20
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
        app = self.config.app
        if isinstance(app, FastAPI):
            await app.state.platform.worker.stop()
        await super().shutdown(sockets)


def serve(
    settings: Settings,
    *,
    work: bool = True,
    schedule: bool = True,
    host: str | None = None,
    port: int | None = None,
    routers: Sequence[APIRouter] = ROUTERS,
) -> int:
    """Serve until SIGTERM or SIGINT, then finish what is under way; the exit code.

    2 means that the settings are not fit to start with, each fault named on standard error.
    """
    try:
        settings = prepare_settings(settings)
    except ConfigError as error:
        sys.stderr.write(f"{error.message}\n{error.hint or ''}\n")
        return 2
    configure_logging(
        settings.log_level,
        json=wants_json(settings.environment, is_terminal=sys.stderr.isatty()),
        project_id=settings.gcp_project_id,
    )
    shut_down_tracing = configure_tracing(
        service=settings.app_name,
        version=__version__,
        environment=settings.environment,
        endpoint=os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"),
    )
    from convergence.api.app import create_app

    try:
        return _run(create_app(settings, work=work, schedule=schedule, routers=routers), settings, host, port)
    finally:
        shut_down_tracing()


def _run(app: FastAPI, settings: Settings, host: str | None, port: int | None) -> int:
    config = uvicorn.Config(
        app,
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
        log.warning("API_WORKERS is not used: one process owns the embedded warehouse", asked=settings.api_workers)
    server = Server(config)
    signal.signal(signal.SIGTERM, _exit)  # uvicorn raises the signal again when it has finished everything
    server.run()
    return 0 if server.started else 1


def _exit(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)
