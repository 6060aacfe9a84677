"""What /metrics shows. Low in the layers, so that whoever does the work counts it.

No label names an organization: labels are public to whoever scrapes, and every value is a time series for ever. The
per-organization figures are in the run records. Label values are ids from configs/, route templates and status words,
never anything a caller chose.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

_FAST = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SLOW = (0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)

RUNS: Final = Counter("convergence_runs", "Runs that ended, by final status", ("pipeline", "status"))
RUN_SECONDS: Final = Histogram(
    "convergence_run_seconds", "Time from claim to end of a run", ("pipeline",), buckets=_SLOW
)
STEPS: Final = Counter("convergence_steps", "Steps that ended, by final status", ("ps_type", "status"))
STEP_SECONDS: Final = Histogram("convergence_step_seconds", "Time of one step", ("ps_type",), buckets=_SLOW)
ROWS_LOADED: Final = Counter("convergence_rows_loaded", "Rows published to the warehouse", ("table",))
ROWS_REJECTED: Final = Counter("convergence_rows_rejected", "Rows put into quarantine", ("table",))
PROVIDER_REQUESTS: Final = Counter(
    "convergence_provider_requests", "Requests to providers, by class of answer", ("provider", "status_class")
)
PROVIDER_SECONDS: Final = Histogram(
    "convergence_provider_request_seconds", "Time of one request to a provider", ("provider",), buckets=_FAST
)
API_REQUESTS: Final = Counter(
    "convergence_api_requests", "Requests answered, by route template", ("route", "method", "status")
)
API_SECONDS: Final = Histogram(
    "convergence_api_request_seconds", "Time to answer a request", ("route", "method"), buckets=_FAST
)
QUEUE_DEPTH: Final = Gauge("convergence_queue_depth", "Runs waiting to be claimed")
RUNS_IN_PROGRESS: Final = Gauge("convergence_runs_in_progress", "Runs that this process is executing")


def status_class(status: int | None) -> str:
    """`2xx` to `5xx` for an HTTP status, `error` where no answer came."""
    return f"{status // 100}xx" if status is not None and 100 <= status <= 599 else "error"
