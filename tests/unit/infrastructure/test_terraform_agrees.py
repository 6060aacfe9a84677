"""What Terraform tells the services is what they understand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from convergence.api.routers import tasks
from convergence.settings import SECRET_NAMES, Settings, check_production, load_settings

TERRAFORM = Path(__file__).resolve().parents[3] / "infrastructure" / "terraform"
RUN = (TERRAFORM / "run.tf").read_text()
SETTINGS = set(re.findall(r"^    ([A-Z_]+) += ", RUN, re.MULTILINE))
PLAIN = dict(re.findall(r'^    ([A-Z_]+) += "([^"$]*)"$', RUN, re.MULTILINE))
COMPUTED = {
    "APP_NAME": "convergence",
    "ENVIRONMENT": "production",
    "GCP_PROJECT_ID": "acme-costs-prod",
    "BQ_MAX_BYTES_BILLED": str(100 * 1024**3),
    "FIRESTORE_LOCK_COLLECTION": "pipeline_locks",
    "BIGQUERY_LOCATION": "US",
    "DATA_DIR": "/data",
    "CLOUD_TASKS_QUEUE": "projects/acme-costs-prod/locations/us-central1/queues/convergence-runs",
    "CLOUD_TASKS_TARGET_URL": "https://convergence-worker-123456789012.us-central1.run.app",
    "CLOUD_TASKS_AUDIENCE": "https://convergence-worker-123456789012.us-central1.run.app",
    "CLOUD_TASKS_SERVICE_ACCOUNT": "convergence-caller@acme-costs-prod.iam.gserviceaccount.com",
    "KMS_KEY_NAME": "projects/acme-costs-prod/locations/us-central1/keyRings/convergence/cryptoKeys/credentials",
    "CORS_ORIGINS": '["https://finops.example.com"]',
    "RATE_LIMIT_PIPELINE_CONCURRENCY": "5",
}


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_every_variable_is_a_setting(name: str) -> None:
    assert name.lower() in Settings.model_fields


def test_production_starts_with_these_variables() -> None:
    settings = load_settings({**PLAIN, **COMPUTED, "CA_ROOT_API_KEY": "k" * 32})

    check_production(settings)

    assert {*PLAIN, *COMPUTED} == SETTINGS
    assert (settings.warehouse, settings.lock_backend, settings.queue_backend) == (
        "bigquery",
        "firestore",
        "cloud_tasks",
    )


def test_secrets_have_the_names_that_are_read() -> None:
    made = re.findall(r"^    (convergence-[a-z-]+) += ", (TERRAFORM / "secrets.tf").read_text(), re.MULTILINE)

    assert sorted(made) == sorted({*SECRET_NAMES.values()} - {SECRET_NAMES["redis_url"]})


def test_jobs_call_routes_that_exist() -> None:
    kinds = set(re.findall(r'kind +(?:= )"(\w+)"', (TERRAFORM / "scheduler.tf").read_text()))

    assert kinds == {"tick", "sweep"}
    assert {f"/api/v1/tasks/{kind}" for kind in kinds} <= {route.path for route in tasks.router.routes}


def test_the_state_expires_by_the_field_that_is_written() -> None:
    field = re.search(r'field +(?:= )"(\w+)"', (TERRAFORM / "state.tf").read_text())
    state_store = (TERRAFORM.parents[1] / "src" / "convergence" / "state" / "firestore.py").read_text()

    assert field is not None
    assert f'"{field[1]}":' in state_store


def test_alerts_count_the_line_that_a_run_ends_with() -> None:
    alerts = (TERRAFORM / "alerts.tf").read_text()
    executor = (TERRAFORM.parents[1] / "src" / "convergence" / "pipelines" / "executor.py").read_text()

    assert 'jsonPayload.message=\\"run ended\\"' in alerts
    assert '"run ended",' in executor
