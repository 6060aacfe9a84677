"""OpenTelemetry spans: made everywhere through the API, exported only where an endpoint is set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Status
from opentelemetry.util.types import Attributes, AttributeValue

from convergence.security.redaction import redact_value


def configure_tracing(
    *,
    service: str,
    version: str,
    environment: str,
    endpoint: str | None = None,
    exporter: SpanExporter | None = None,
) -> Callable[[], None]:
    """Set the process's tracer provider; the answer flushes and ends the export.

    `endpoint` is the base address of an OTLP receiver (OTEL_EXPORTER_OTLP_ENDPOINT), `exporter` takes every span at
    once as it ends, for a test. Without both, spans only give log lines their trace ids.
    """
    provider = _provider(service, version, environment)
    processors: list[BatchSpanProcessor | SimpleSpanProcessor] = []
    if endpoint:
        processors.append(BatchSpanProcessor(_RedactingExporter(_otlp(endpoint))))
    if exporter is not None:
        processors.append(SimpleSpanProcessor(_RedactingExporter(exporter)))
    for processor in processors:
        provider.add_span_processor(processor)

    def shut_down() -> None:
        for processor in processors:
            processor.shutdown()

    return shut_down


def _provider(service: str, version: str, environment: str) -> TracerProvider:
    """OpenTelemetry takes a provider once per process; a second call adds to the first one's."""
    present = trace.get_tracer_provider()
    if isinstance(present, TracerProvider):
        return present
    names = {"service.name": service, "service.version": version, "deployment.environment.name": environment}
    provider = TracerProvider(resource=Resource.create(names))
    trace.set_tracer_provider(provider)
    return provider


def _otlp(endpoint: str) -> SpanExporter:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")


class _RedactingExporter(SpanExporter):
    """Spans leave the machine, and an exception recorded in one may quote what it choked on."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self._exporter.export([_redacted(span) for span in spans])

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def _redacted(span: ReadableSpan) -> ReadableSpan:
    return ReadableSpan(
        name=redact_value(span.name),
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=_attributes(span.attributes),
        events=[Event(event.name, _attributes(event.attributes), event.timestamp) for event in span.events],
        links=span.links,
        kind=span.kind,
        status=Status(span.status.status_code, redact_value(span.status.description)),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _attributes(attributes: Attributes) -> Mapping[str, AttributeValue]:
    masked: dict[str, AttributeValue] = redact_value(attributes or {})
    return masked
