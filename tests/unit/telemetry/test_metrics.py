from __future__ import annotations

import pytest
from prometheus_client import generate_latest
from prometheus_client.metrics import MetricWrapperBase

from convergence.kit import metrics

COLLECTORS = {name: value for name, value in vars(metrics).items() if isinstance(value, MetricWrapperBase)}


@pytest.mark.parametrize(
    ("status", "expected"),
    [(200, "2xx"), (204, "2xx"), (301, "3xx"), (404, "4xx"), (429, "4xx"), (503, "5xx"), (None, "error"), (7, "error")],
)
def test_an_http_status_counts_in_its_class(status, expected):
    assert metrics.status_class(status) == expected


def test_what_is_counted_is_shown():
    metrics.RUNS.labels(pipeline="test/shown", status="COMPLETED").inc()
    metrics.PROVIDER_REQUESTS.labels(provider="test", status_class="2xx").inc(3)

    text = generate_latest().decode()

    assert 'convergence_runs_total{pipeline="test/shown",status="COMPLETED"} 1.0' in text
    assert 'convergence_provider_requests_total{provider="test",status_class="2xx"} 3.0' in text


@pytest.mark.parametrize("name", sorted(COLLECTORS))
def test_no_label_names_an_organization_or_a_key(name):
    labels = set(COLLECTORS[name]._labelnames)

    assert labels <= {"pipeline", "status", "ps_type", "table", "provider", "status_class", "route", "method"}
    assert COLLECTORS[name]._name.startswith("convergence_")
