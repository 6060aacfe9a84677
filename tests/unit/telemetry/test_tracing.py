from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from convergence.telemetry import configure_tracing

NAMES = {"service": "convergence", "version": "0.1.0", "environment": "development"}
KEY = "sk-admin-Zz9Yy8Xx7Ww6Vv5"


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """Every span that ends while the test runs."""
    exporter = InMemorySpanExporter()
    shut_down = configure_tracing(**NAMES, exporter=exporter)
    yield exporter
    shut_down()


def test_a_span_arrives_with_its_parent(spans):
    tracer = trace.get_tracer("convergence")

    with tracer.start_as_current_span("run", attributes={"convergence.pipeline": "openai/usage"}) as run:
        tracer.start_span("step").end()

    step, whole = spans.get_finished_spans()
    assert (step.name, whole.name) == ("step", "run")
    assert step.parent.span_id == run.get_span_context().span_id
    assert whole.attributes == {"convergence.pipeline": "openai/usage"}
    assert whole.end_time >= step.end_time


def test_secrets_do_not_leave_in_spans(spans):
    attributes = {"http.request.header.x-api-key": "plain-text-key", "api_key": "plain-text-key", "keys": ["a", KEY]}
    tracer = trace.get_tracer("convergence")

    with tracer.start_as_current_span(f"GET {KEY}", attributes=attributes) as sent:
        sent.add_event("sent", {"authorization": "plain-text-key"})
        sent.record_exception(ValueError(f"refused {KEY}"))

    (span,) = spans.get_finished_spans()
    text = span.to_json()
    assert KEY not in text
    assert "plain-text-key" not in text
    assert [event.name for event in span.events] == ["sent", "exception"]
    assert span.events[1].attributes["exception.message"] == "refused sk-admin-[redacted]"
    assert span.attributes["keys"] == ["a", "sk-admin-[redacted]"]


def test_after_shut_down_nothing_more_arrives():
    exporter = InMemorySpanExporter()
    shut_down = configure_tracing(**NAMES, exporter=exporter)
    shut_down()

    with trace.get_tracer("convergence").start_as_current_span("late"):
        pass

    assert exporter.get_finished_spans() == ()


def test_without_a_receiver_spans_still_have_ids():
    shut_down = configure_tracing(**NAMES)

    with trace.get_tracer("convergence").start_as_current_span("run") as span:
        assert span.get_span_context().is_valid is True
    shut_down()


def test_spans_reach_an_otlp_receiver_over_http():
    received: list[tuple[str, ExportTraceServiceRequest]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            received.append((self.path, ExportTraceServiceRequest.FromString(body)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Receiver)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    shut_down = configure_tracing(**NAMES, endpoint=f"http://127.0.0.1:{server.server_port}/")
    with trace.get_tracer("convergence").start_as_current_span("load"):
        pass
    shut_down()
    server.shutdown()
    serving.join()
    server.server_close()

    ((path, request),) = received
    (resource,) = request.resource_spans
    assert path == "/v1/traces"
    assert [span.name for scope in resource.scope_spans for span in scope.spans] == ["load"]
    assert {each.key: each.value.string_value for each in resource.resource.attributes}["service.name"] == "convergence"
