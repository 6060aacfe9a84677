"""Logs and traces of the process. What is counted is in `convergence.kit.metrics`."""

from convergence.telemetry.logs import configure_logging, wants_json
from convergence.telemetry.tracing import configure_tracing

__all__ = ["configure_logging", "configure_tracing", "wants_json"]
