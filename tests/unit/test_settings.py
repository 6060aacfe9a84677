from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from convergence.errors import ConfigError
from convergence.settings import Settings, check_production, load_settings

SAFE = {
    "ENVIRONMENT": "production",
    "CA_ROOT_API_KEY": "k" * 32,
    "KMS_BACKEND": "gcp",
    "KMS_KEY_NAME": "projects/p/locations/l/keyRings/r/cryptoKeys/k",
}


def faults(environ: dict[str, str]) -> dict[str | None, str | None]:
    with pytest.raises(ConfigError) as caught:
        load_settings(environ)
    return {fault.key: fault.expected for fault in caught.value.faults}


def production_faults(environ: dict[str, str]) -> dict[str | None, str | None]:
    with pytest.raises(ConfigError) as caught:
        check_production(load_settings({**SAFE, **environ}))
    return {fault.key: fault.message for fault in caught.value.faults}


def test_the_defaults_are_those_of_the_reference() -> None:
    settings = load_settings({})

    assert settings.model_dump(exclude={"configs_dir"}) == {
        "app_name": "convergence",
        "environment": "development",
        "log_level": "INFO",
        "warehouse": "duckdb",
        "data_dir": Path(".convergence"),
        "gcp_project_id": None,
        "bigquery_location": "US",
        "google_application_credentials": None,
        "bigquery_api_endpoint": None,
        "bq_max_results_per_page": 10_000,
        "bq_query_timeout_seconds": 300,
        "bq_max_retry_attempts": 3,
        "bq_max_bytes_billed": None,
        "api_host": "127.0.0.1",
        "api_port": 8080,
        "api_workers": 1,
        "ca_root_api_key": None,
        "disable_auth": False,
        "enable_dev_mode": False,
        "default_tenant_id": None,
        "cors_origins": (),
        "max_request_size_bytes": 10_485_760,
        "max_upload_size_bytes": 536_870_912,
        "max_header_size_bytes": 8192,
        "rate_limit_enabled": True,
        "rate_limit_requests_per_minute": 100,
        "rate_limit_requests_per_hour": 1000,
        "rate_limit_pipeline_concurrency": 5,
        "queue_backend": "local",
        "lock_backend": "memory",
        "lock_timeout_seconds": 3600,
        "firestore_lock_collection": "pipeline_locks",
        "redis_url": None,
        "cloud_tasks_queue": None,
        "cloud_tasks_target_url": None,
        "cloud_tasks_service_account": None,
        "cloud_tasks_audience": None,
        "cloud_tasks_deadline_seconds": 1800,
        "cloud_tasks_api_endpoint": None,
        "secrets_backend": "env",
        "secrets_base_path": None,
        "convergence_root_secret": None,
        "kms_backend": "local",
        "kms_key_name": None,
        "kms_project_id": None,
        "kms_location": None,
        "kms_keyring": None,
        "kms_key": None,
        "metadata_log_batch_size": 100,
        "metadata_log_flush_interval_seconds": 5,
        "metadata_log_workers": 5,
        "lease_seconds": 90,
        "heartbeat_seconds": 20,
        "retry_backoff_seconds": 30,
        "shrink_recheck_seconds": 0,
        "max_bad_rows": 5,
        "max_bad_row_share": 0.005,
        "openai_base_url": "https://api.openai.com/v1",
        "anthropic_base_url": "https://api.anthropic.com",
        "deepseek_base_url": "https://api.deepseek.com",
        "cursor_base_url": "https://api.cursor.com",
        "google_sheets_base_url": "https://sheets.googleapis.com",
    }


def test_the_default_configs_are_those_of_the_repository() -> None:
    assert load_settings({}).configs_dir == Path(__file__).resolve().parents[2] / "configs"


def test_variables_are_read_as_their_types() -> None:
    settings = load_settings(
        {
            "ENVIRONMENT": "Staging",
            "LOG_LEVEL": "debug",
            "API_PORT": "9000",
            "RATE_LIMIT_ENABLED": "false",
            "CORS_ORIGINS": '["https://a.example", "https://b.example"]',
            "DATA_DIR": "/var/lib/convergence",
            "MAX_BAD_ROW_SHARE": "0.01",
            "UNKNOWN_VARIABLE": "x",
        }
    )

    assert (settings.environment, settings.log_level, settings.api_port, settings.rate_limit_enabled) == (
        "staging",
        "DEBUG",
        9000,
        False,
    )
    assert settings.cors_origins == ("https://a.example", "https://b.example")
    assert (settings.data_dir, settings.max_bad_row_share) == (Path("/var/lib/convergence"), 0.01)


def test_every_fault_is_told_at_once_by_the_variables_name() -> None:
    found = faults(
        {
            "ENVIRONMENT": "prod",
            "API_PORT": "eighty",
            "API_WORKERS": "0",
            "RATE_LIMIT_ENABLED": "perhaps",
            "CORS_ORIGINS": "https://a.example",
            "MAX_BAD_ROW_SHARE": "2",
            "METADATA_LOG_FLUSH_INTERVAL_SECONDS": "soon",
            "QUEUE_BACKEND": "redis",
            "WAREHOUSE": "bigquery",
            "HEARTBEAT_SECONDS": "90",
            "CONFIGS_DIR": "/nowhere",
            "KMS_BACKEND": "gcp",
            "KMS_PROJECT_ID": "p",
            "OPENAI_BASE_URL": "api.openai.com",
        }
    )

    assert found == {
        "ENVIRONMENT": "one of 'development', 'staging' or 'production'",
        "API_PORT": "a whole number",
        "API_WORKERS": "1 or more",
        "RATE_LIMIT_ENABLED": "true or false",
        "CORS_ORIGINS": "a JSON list of strings",
        "MAX_BAD_ROW_SHARE": "1.0 or less",
        "METADATA_LOG_FLUSH_INTERVAL_SECONDS": "a number",
        "REDIS_URL": "redis://host:port/db",
        "GCP_PROJECT_ID": "a project id",
        "HEARTBEAT_SECONDS": "< LEASE_SECONDS",
        "CONFIGS_DIR": "the folder with the pipelines",
        "KMS_KEY_NAME": "projects/P/locations/L/keyRings/R/cryptoKeys/K, or KMS_LOCATION, KMS_KEYRING, KMS_KEY",
        "OPENAI_BASE_URL": "http(s)://host[:port][/path], no user name, query, fragment",
    }


@pytest.mark.parametrize("value", ["[", "{}", "[1]", '"a"', "*"])
def test_origins_are_a_json_list_of_strings(value: str) -> None:
    assert faults({"CORS_ORIGINS": value}) == {"CORS_ORIGINS": "a JSON list of strings"}


def test_no_value_is_in_a_fault() -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(
            {"API_PORT": "sk-secret", "KMS_KEY_NAME": "sk-secret", "OPENAI_BASE_URL": "https://u:sk-secret@h"}
        )

    assert len(caught.value.faults) == 3
    assert "sk-secret" not in str(caught.value)


def test_secrets_are_not_in_the_repr() -> None:
    settings = load_settings({"CA_ROOT_API_KEY": "root-secret", "REDIS_URL": "redis://:redis-secret@h"})

    assert not {"root-secret", "redis-secret"} & set(re.findall(r"[a-z]+-secret", repr(settings)))
    assert settings.ca_root_api_key == SecretStr("root-secret")


def test_the_older_name_of_the_root_key_is_taken_and_the_newer_wins() -> None:
    older = load_settings({"ADMIN_API_KEY": "older"}).ca_root_api_key
    both = load_settings({"ADMIN_API_KEY": "older", "CA_ROOT_API_KEY": "newer"}).ca_root_api_key

    assert (older, both) == (SecretStr("older"), SecretStr("newer"))


def test_port_counts_where_api_port_is_not_set() -> None:
    ports = [load_settings(given).api_port for given in ({"PORT": "9000"}, {"PORT": "9000", "API_PORT": "9001"})]

    assert ports == [9000, 9001]


def test_a_variable_set_to_nothing_is_not_set() -> None:
    assert load_settings({"API_PORT": "", "GCP_PROJECT_ID": ""}).api_port == 8080


@pytest.mark.parametrize(("environment", "seconds"), [("development", 0), ("staging", 600), ("production", 600)])
def test_the_second_look_waits_except_in_development(environment: str, seconds: int) -> None:
    assert load_settings({"ENVIRONMENT": environment}).shrink_recheck_seconds == seconds


@pytest.mark.parametrize(
    ("environment", "suffix"), [("development", "dev"), ("staging", "stage"), ("production", "prod")]
)
def test_the_environment_names_the_datasets(environment: str, suffix: str) -> None:
    assert load_settings({"ENVIRONMENT": environment}).dataset_suffix == suffix


def test_the_kms_key_is_named_whole_or_in_parts() -> None:
    parts = {"KMS_PROJECT_ID": "p", "KMS_LOCATION": "l", "KMS_KEYRING": "r", "KMS_KEY": "k"}

    assert load_settings(parts).kms_resource == SAFE["KMS_KEY_NAME"]
    assert load_settings({"KMS_KEY_NAME": SAFE["KMS_KEY_NAME"]}).kms_resource == SAFE["KMS_KEY_NAME"]
    assert load_settings({"KMS_KEY": "k"}).kms_resource is None


def test_base_urls_are_by_provider_without_a_trailing_slash() -> None:
    settings = load_settings({"OPENAI_BASE_URL": "http://127.0.0.1:9999/v1/"})

    assert settings.provider_base_urls == {
        "openai": "http://127.0.0.1:9999/v1",
        "anthropic": "https://api.anthropic.com",
        "deepseek": "https://api.deepseek.com",
        "cursor": "https://api.cursor.com",
        "google_sheets": "https://sheets.googleapis.com",
    }


def test_settings_cannot_be_changed() -> None:
    settings = load_settings({})

    with pytest.raises(ValidationError):
        settings.api_port = 1  # type: ignore[misc]  # that it is refused is the point


def test_settings_take_nothing_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_PORT", "9999")

    assert Settings().api_port == 8080


def test_the_environment_comes_before_the_env_file_of_the_working_directory(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("API_PORT=9001\nAPP_NAME=from-file\nUNKNOWN=1\n")
    code = "from convergence.settings import load_settings as l; s = l(); print(s.api_port, s.app_name)"

    answer = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        cwd=tmp_path,
        env={**os.environ, "API_PORT": "9002"},
        capture_output=True,
        text=True,
    )

    assert answer.stdout == "9002 from-file\n", answer.stderr


def test_a_safe_production_starts() -> None:
    check_production(load_settings(SAFE))


@pytest.mark.parametrize("environment", ["development", "staging"])
def test_outside_production_anything_starts(environment: str) -> None:
    check_production(load_settings({"ENVIRONMENT": environment, "DISABLE_AUTH": "true"}))


def test_production_tells_every_fault_at_once() -> None:
    found = production_faults(
        {
            "CA_ROOT_API_KEY": "k" * 31,
            "DISABLE_AUTH": "true",
            "RATE_LIMIT_ENABLED": "false",
            "KMS_BACKEND": "local",
            "CORS_ORIGINS": '["https://a.example", "https://*.b.example"]',
            "OPENAI_BASE_URL": "http://127.0.0.1/v1",
            "CURSOR_BASE_URL": "http://api.cursor.com",
        }
    )

    assert found == {
        "CA_ROOT_API_KEY": "is too short",
        "DISABLE_AUTH": "is true",
        "RATE_LIMIT_ENABLED": "is false",
        "KMS_BACKEND": "is local",
        "CORS_ORIGINS": "has a *",
        "OPENAI_BASE_URL": "is a private or loopback address",
        "CURSOR_BASE_URL": "is not encrypted",
    }


def test_production_needs_a_root_key() -> None:
    assert production_faults({"CA_ROOT_API_KEY": ""}) == {"CA_ROOT_API_KEY": "is not set"}


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "0x7f.1",
        "0x7f000001",
        "2130706433",
        "017700000001",
        "0177.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[fc00::1]",
        "0.0.0.0",  # noqa: S104 (a spelling to refuse, nothing binds to it)
        "[::]",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "224.0.0.1",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "api.localhost",
        "db.internal",
    ],
)
def test_production_refuses_private_addresses_in_any_spelling(host: str) -> None:
    assert production_faults({"OPENAI_BASE_URL": f"https://{host}/v1"}) == {
        "OPENAI_BASE_URL": "is a private or loopback address"
    }
    assert load_settings({"OPENAI_BASE_URL": f"https://{host}/v1"}).openai_base_url == f"https://{host}/v1"


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "0xa9fea9fe",
        "2852039166",
        "169.254.43518",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]",
        "[fe80::1]",
        "[fe80::1%25eth0]",
        "metadata.google.internal",
        "metadata.google.internal.",
        "100.100.100.200",
        "192.0.0.192",
        "[fd00:ec2::254]",
    ],
)
def test_link_local_addresses_are_refused_everywhere(host: str) -> None:
    assert faults({"OPENAI_BASE_URL": f"http://{host}/v1"}) == {"OPENAI_BASE_URL": "the provider's host"}


@pytest.mark.parametrize(
    "url",
    [
        "https://api.openai.com@evil.example",
        "https://user:password@api.openai.com",
        "https://api.openai.com\\@evil.example",
        "https://api.openai.com/v1?x=1",
        "https://api.openai.com/v1#x",
        "ftp://api.openai.com",
        "file:///etc/passwd",
        "https://",
        "https://[::1",
        "https://host:port",
        "https://ho st/",
        "https://host\n/",
        "//api.openai.com",
    ],
)
def test_what_is_not_plainly_a_base_url_is_refused(url: str) -> None:
    assert list(faults({"OPENAI_BASE_URL": url})) == ["OPENAI_BASE_URL"]


@pytest.mark.parametrize("url", ["https://api.openai.com/v1", "https://8.8.8.8/v1", "https://eu.api.openai.com:8443"])
def test_public_hosts_are_taken_in_production(url: str) -> None:
    check_production(load_settings({**SAFE, "OPENAI_BASE_URL": url}))


def test_cloud_tasks_names_everything_it_needs_at_once() -> None:
    assert faults({"QUEUE_BACKEND": "cloud_tasks", "CLOUD_TASKS_QUEUE": "my-queue"}) == {
        "CLOUD_TASKS_QUEUE": "projects/P/locations/L/queues/Q",
        "CLOUD_TASKS_SERVICE_ACCOUNT": "an e-mail address",
        "CLOUD_TASKS_TARGET_URL": "the worker's URL, without a path",
    }


def test_production_takes_no_emulator_and_delivers_to_https_alone() -> None:
    environ = {
        "QUEUE_BACKEND": "cloud_tasks",
        "CLOUD_TASKS_QUEUE": "projects/p/locations/l/queues/q",
        "CLOUD_TASKS_SERVICE_ACCOUNT": "tasks@p.iam.gserviceaccount.com",
        "CLOUD_TASKS_TARGET_URL": "http://worker.example",
        "CLOUD_TASKS_API_ENDPOINT": "127.0.0.1:8085",
    }

    assert production_faults(environ).keys() == {"CLOUD_TASKS_TARGET_URL", "CLOUD_TASKS_API_ENDPOINT"}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, "1, or WAREHOUSE=bigquery, LOCK_BACKEND=redis or firestore, QUEUE_BACKEND=redis or cloud_tasks"),
        (
            {"WAREHOUSE": "bigquery", "GCP_PROJECT_ID": "p", "LOCK_BACKEND": "firestore"},
            "1, or QUEUE_BACKEND=redis or cloud_tasks",
        ),
    ],
)
def test_several_processes_share_nothing_that_one_of_them_owns(environ: dict[str, str], expected: str) -> None:
    assert faults({"API_WORKERS": "2", **environ}) == {"API_WORKERS": expected}
