from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

import pytest
import structlog
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from convergence.errors import ConfigError
from convergence.security import REVEALED
from convergence.telemetry import configure_logging, wants_json

KEY = "sk-admin-Zz9Yy8Xx7Ww6Vv5"


def refuse(local_variable: str) -> None:
    raise ValueError(f"provider said {local_variable}")


def lose_the_cursor(local_variable: str) -> None:
    raise KeyError("cursor") from OSError(len(local_variable))


def lines(stream) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("environment", "is_terminal", "expected"),
    [
        ("development", True, False),
        ("development", False, True),
        ("staging", True, True),
        ("production", True, True),
        ("production", False, True),
    ],
)
def test_only_a_developer_at_a_terminal_reads_plain_lines(environment, is_terminal, expected):
    assert wants_json(environment, is_terminal=is_terminal) is expected


def test_a_line_has_cloud_loggings_names(stream):
    configure_logging("INFO", json=True, stream=stream)

    structlog.get_logger("convergence.worker").warning("run %s failed", "r1", org="acme", run_id="r1", rows=5)

    (line,) = lines(stream)
    assert line["severity"] == "WARNING"
    assert line["message"] == "run r1 failed"
    assert datetime.fromisoformat(str(line["time"])).utcoffset() == datetime.now(UTC).utcoffset()
    assert line["logging.googleapis.com/labels"] == {"org": "acme", "run_id": "r1"}
    assert line["rows"] == 5
    assert line["logger"] == "convergence.worker"
    assert "event" not in line
    assert "level" not in line


@pytest.mark.parametrize(
    ("method", "severity"),
    [
        ("debug", "DEBUG"),
        ("info", "INFO"),
        ("warning", "WARNING"),
        ("error", "ERROR"),
        ("critical", "CRITICAL"),
        ("exception", "ERROR"),
    ],
)
def test_every_level_has_its_severity(stream, method, severity):
    configure_logging("DEBUG", json=True, stream=stream)

    getattr(structlog.get_logger("x"), method)("said")
    getattr(logging.getLogger("y"), method)("said")

    assert [line["severity"] for line in lines(stream)] == [severity, severity]


def test_an_unknown_level_is_refused_by_its_variable(stream):
    with pytest.raises(ConfigError, match=r"LOG_LEVEL: no such level: 'LOUD' \(expected DEBUG, INFO"):
        configure_logging("LOUD", json=True, stream=stream)


def test_below_the_level_nothing_is_said(stream):
    configure_logging("WARNING", json=True, stream=stream)

    structlog.get_logger("x").info("no")
    logging.getLogger("y").info("no")

    assert stream.getvalue() == ""


def test_a_line_names_its_trace(stream):
    configure_logging("INFO", json=True, project_id="my-project", stream=stream)
    span = NonRecordingSpan(SpanContext(0xABC, 0xDEF, is_remote=False, trace_flags=TraceFlags(1)))

    with trace.use_span(span):
        structlog.get_logger("x").info("inside")
        logging.getLogger("y").info("inside too")
    structlog.get_logger("x").info("outside")

    inside, also_inside, outside = lines(stream)
    for line in (inside, also_inside):
        assert line["logging.googleapis.com/trace"] == f"projects/my-project/traces/{0xABC:032x}"
        assert line["logging.googleapis.com/spanId"] == f"{0xDEF:016x}"
        assert line["logging.googleapis.com/trace_sampled"] is True
    assert not [name for name in outside if "trace" in name or "spanId" in name]


def test_bound_context_is_on_every_line_also_of_libraries(stream):
    configure_logging("INFO", json=True, stream=stream)
    structlog.contextvars.bind_contextvars(request_id="req-1")

    structlog.get_logger("x").info("ours")
    logging.getLogger("library").info("theirs")

    assert [line["request_id"] for line in lines(stream)] == ["req-1", "req-1"]


@dataclass(frozen=True)
class Holder:
    name: str
    secret: str = field(repr=False)


@pytest.mark.parametrize("json_lines", [True, False], ids=["json", "console"])
def test_no_secret_gets_out_by_any_way(stream, json_lines):
    configure_logging("DEBUG", json=json_lines, stream=stream)
    literal = "no-shape-at-all-1234"
    REVEALED.add(literal)
    log = structlog.get_logger("x").bind(bound=f"Bearer {KEY}xyz")

    message = f"message {KEY}"
    log.info(message, key=KEY, api_key="plain-text-key", nested={"headers": [{"X-API-Key": "plain-text-key"}]})
    log.info("literal %s", literal, error=ValueError(f"bad {literal}"), held={"it": Holder("n", literal)})
    log.info("object", holder=Holder("n", literal))
    logging.getLogger("y").warning("key %s and %s", KEY, literal)
    try:
        refuse(f"{KEY} {literal}")
    except ValueError:
        log.exception("failed")
        logging.getLogger("y").exception("failed too")

    text = stream.getvalue()
    assert KEY not in text
    assert literal not in text
    assert "plain-text-key" not in text
    assert text.count("Traceback (most recent call last)") == 2
    assert text.count("[redacted]") >= 12


def test_a_traceback_shows_the_error_and_no_local_variables(stream):
    configure_logging("INFO", json=True, stream=stream)
    try:
        lose_the_cursor("value-of-" + "a-local")
    except KeyError:
        structlog.get_logger("x").exception("failed")

    (line,) = lines(stream)
    assert "KeyError: 'cursor'" in str(line["stack_trace"])
    assert "The above exception was the direct cause" in str(line["stack_trace"])
    assert "value-of-a-local" not in str(line)
    assert "exc_info" not in line


def test_libraries_are_quiet_and_never_show_a_query(stream):
    configure_logging("DEBUG", json=True, stream=stream)

    for name in ("httpx2", "httpcore2", "urllib3", "opentelemetry", "uvicorn.access"):
        logging.getLogger(name).info("GET https://api.example.com/v1?user=bob")
    logging.getLogger("httpx2").warning("GET https://api.example.com/v1?user=bob failed")
    logging.getLogger("other").info('to "https://api.example.com/v1?user=bob&x=1" done')

    assert [line["message"] for line in lines(stream)] == [
        "GET https://api.example.com/v1 failed",
        'to "https://api.example.com/v1" done',
    ]


def test_uvicorns_own_handlers_are_replaced(stream):
    logging.getLogger("uvicorn").addHandler(logging.NullHandler())
    logging.getLogger("uvicorn").propagate = False

    configure_logging("INFO", json=True, stream=stream)
    logging.getLogger("uvicorn.error").info("Started server process")

    assert logging.getLogger("uvicorn").handlers == []
    assert [line["message"] for line in lines(stream)] == ["Started server process"]


def test_configuring_twice_says_everything_once(stream):
    configure_logging("INFO", json=True, stream=stream)
    configure_logging("INFO", json=True, stream=stream)

    structlog.get_logger("x").info("once")

    assert len(lines(stream)) == 1


def test_values_that_json_does_not_know_become_text(stream):
    configure_logging("INFO", json=True, stream=stream)

    structlog.get_logger("x").info(
        "odd", amount=Decimal("0.123456789"), keys={("a", 1): {1}}, error=ValueError("no"), text="\udcff ü"
    )

    (line,) = lines(stream)
    assert line["amount"] == "0.123456789"
    assert line["keys"] == {"('a', 1)": [1]}
    assert line["error"] == "no"
    assert line["text"] == "\udcff ü"


def test_a_field_cannot_pose_as_the_message_or_the_severity(stream):
    configure_logging("INFO", json=True, stream=stream)

    structlog.get_logger("x").info("true", message="false", severity="DEBUG", time="never")

    (line,) = lines(stream)
    assert line["message"] == "true"
    assert line["severity"] == "INFO"


def test_token_counts_are_readable(stream):
    configure_logging("INFO", json=True, stream=stream)

    structlog.get_logger("x").info("usage", input_tokens=5, output_tokens="7", token_class="input")

    (line,) = lines(stream)
    assert (line["input_tokens"], line["output_tokens"], line["token_class"]) == (5, "7", "input")
