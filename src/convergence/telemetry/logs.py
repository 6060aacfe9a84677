"""Log lines: JSON under Cloud Logging's names for machines, a readable line on a developer's terminal.

Everything takes the same way out, also what uvicorn, httpx2 and other libraries log, and everything is redacted on it.
"""

from __future__ import annotations

import json as stdlib_json
import logging
import re
import sys
import traceback
from typing import Final, TextIO

import structlog
from opentelemetry import trace
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

from convergence.errors import ConfigError, Fault
from convergence.security.redaction import redact, redact_value

_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_SEVERITIES: Final = {"warn": "WARNING", "exception": "ERROR", "fatal": "CRITICAL", "notset": "DEFAULT"}
_LABELS: Final = ("request_id", "org", "org_slug", "run_id", "step_id", "pipeline_id", "provider")
_QUIET: Final = ("httpx2", "httpcore2", "urllib3", "opentelemetry", "asyncio", "uvicorn.access")
_QUERY = re.compile(r"(https?://[^\s?\"'<>]{1,2000})\?[^\s\"'<>]*")


def wants_json(environment: str, *, is_terminal: bool) -> bool:
    """A person reads only a development process that writes to a terminal."""
    return environment != "development" or not is_terminal


def configure_logging(level: str, *, json: bool, project_id: str | None = None, stream: TextIO | None = None) -> None:
    """Send structlog and the standard library's loggers to `stream` (standard error). May be called again.

    With `project_id`, traces are named as Cloud Logging needs them to link a line with its trace.

    Raises:
        ConfigError: there is no such level.
    """
    if level.upper() not in _LEVELS:
        raise ConfigError(Fault(f"no such level: {level[:40]!r}", key="LOG_LEVEL", expected=", ".join(_LEVELS)))
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*_shared(), _without_queries],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *(_cloud(project_id) if json else _console(handler.stream)),
            ],
        )
    )
    _route_standard_library(handler, level)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared(),
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def _route_standard_library(handler: logging.Handler, level: str) -> None:
    root = logging.getLogger()
    root.handlers = [kept for kept in root.handlers if not getattr(kept, "is_ours", False)]
    handler.is_ours = True  # type: ignore[attr-defined] # so that a second call replaces it and leaves others' alone
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.NOTSET)
    for name in _QUIET:  # at INFO they print whole URLs
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.ExceptionRenderer(_format_traceback),
    ]


def _cloud(project_id: str | None) -> list[Processor]:
    return [_trace_names(project_id), _cloud_names, _redacted, structlog.processors.JSONRenderer(_to_json)]


def _console(stream: TextIO) -> list[Processor]:
    renderer = structlog.dev.ConsoleRenderer(
        colors=stream.isatty(), timestamp_key="time", exception_formatter=structlog.dev.plain_traceback
    )
    return [_redacted, _as_texts, renderer]


def _trace_names(project_id: str | None) -> Processor:
    prefix = f"projects/{project_id}/traces/" if project_id else ""

    def add(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        span = trace.get_current_span().get_span_context()
        if span.is_valid:
            event["logging.googleapis.com/trace"] = prefix + trace.format_trace_id(span.trace_id)
            event["logging.googleapis.com/spanId"] = trace.format_span_id(span.span_id)
            event["logging.googleapis.com/trace_sampled"] = span.trace_flags.sampled
        return event

    return add


def _cloud_names(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    level = str(event.pop("level", "notset"))
    named: EventDict = {
        "severity": _SEVERITIES.get(level, level.upper()),
        "message": event.pop("event", ""),
        "time": event.pop("time", None),
    }
    if "exception" in event:
        named["stack_trace"] = event.pop("exception")
    labels = {name: str(event[name]) for name in _LABELS if event.get(name) is not None}
    if labels:
        named["logging.googleapis.com/labels"] = labels
    return {**named, **event, **named}


def _redacted(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    masked: EventDict = redact_value(event)
    return masked


def _as_texts(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """The console prints the repr of what is no text; here it is redacted first."""
    return {name: value if isinstance(value, int | float | None) else _as_text(value) for name, value in event.items()}


def _without_queries(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    event["event"] = _QUERY.sub(r"\1", str(event.get("event", "")))
    return event


def _format_traceback(exc_info: ExcInfo) -> str:
    """The standard library's text, which holds no local variables."""
    return "".join(traceback.format_exception(*exc_info)).rstrip()


def _to_json(event: EventDict, **_options: object) -> str:
    return stdlib_json.dumps(event, default=_as_text)


def _as_text(value: object) -> str:
    # str() and not a serializer: a dataclass's fields may be hidden from its repr for a reason.
    return redact(str(value))
