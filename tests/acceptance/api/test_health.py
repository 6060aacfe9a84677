from __future__ import annotations

import pytest

from .conftest import Api


@pytest.mark.parametrize("path", ["/health", "/health/live"])
async def test_liveness(api: Api, path: str) -> None:
    answer = await api.client.get(path)

    assert (answer.status_code, answer.json()["status"]) == (200, "ok")


async def test_readiness_names_what_it_checked(api: Api) -> None:
    answer = await api.client.get("/health/ready")

    assert answer.status_code == 200
    assert answer.json()["checks"] == {"warehouse": "ok", "queue": "ok", "state": "ok"}


async def test_readiness_names_what_is_down_and_liveness_does_not_care(api: Api) -> None:
    await api.app.state.platform.state.close()
    ready = await api.client.get("/health/ready")
    live = await api.client.get("/health/live")

    assert (ready.status_code, ready.json()["code"], live.status_code) == (503, "not_ready", 200)
    assert ready.json()["checks"]["warehouse"] == "ok"
    assert ready.json()["checks"]["state"] != "ok"
    assert "state" in ready.json()["detail"]


async def test_metrics_are_prometheus_text(api: Api) -> None:
    answer = await api.client.get("/metrics")

    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert "# TYPE convergence_api_requests_total counter" in answer.text


async def test_the_description_of_the_api_names_both_keys(api: Api) -> None:
    schema = (await api.client.get("/openapi.json")).json()

    assert schema["components"]["securitySchemes"]["OrganizationKey"]["name"] == "X-API-Key"
    assert schema["components"]["securitySchemes"]["RootKey"]["name"] == "X-CA-Root-Key"
    assert (await api.client.get("/docs")).status_code == 200
