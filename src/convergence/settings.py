"""Environment variables as typed settings, and what production refuses to start with.

`Settings(...)` takes its arguments and nothing else; `load_settings` is what reads the environment and a `.env` file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from string import Template
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from convergence.errors import ConfigError, Fault
from convergence.kit.addresses import is_link_local, is_public, read_addresses

OTHER_NAMES: Final = {"admin_api_key": "ca_root_api_key", "port": "api_port"}  # PORT is what Cloud Run sets
DATASET_SUFFIXES: Final = {"development": "dev", "staging": "stage", "production": "prod"}
MIN_ROOT_KEY_LENGTH: Final = 32
MIN_ROOT_SECRET_LENGTH: Final = 32
SECRET_NAMES: Final = {  # a field without a variable, and its name in the secret store
    "ca_root_api_key": "convergence-root-key",
    "convergence_root_secret": "convergence-root-secret",
    "redis_url": "convergence-redis-url",
}

_URL_FIELDS: Final = (
    "openai_base_url",
    "anthropic_base_url",
    "deepseek_base_url",
    "cursor_base_url",
    "google_sheets_base_url",
)
_EXPECTED: Final = {
    "literal_error": Template("one of $expected"),
    "int_parsing": Template("a whole number"),
    "int_parsing_size": Template("a smaller whole number"),
    "float_parsing": Template("a number"),
    "bool_parsing": Template("true or false"),
    "greater_than_equal": Template("$ge or more"),
    "greater_than": Template("more than $gt"),
    "less_than_equal": Template("$le or less"),
}
_KMS_PARTS: Final = ("kms_project_id", "kms_location", "kms_keyring", "kms_key")
_KMS_NAME: Final = re.compile(r"projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+", re.ASCII)
_QUEUE_NAME: Final = re.compile(r"projects/[^/\s]+/locations/[^/\s]+/queues/[A-Za-z0-9-]{1,100}", re.ASCII)
_ACCOUNT_NAME: Final = re.compile(r"[^@\s]+@[^@\s]+", re.ASCII)
_LOCAL_NAMES: Final = ("localhost", ".localhost", ".local", ".internal", ".localdomain")
_LINK_LOCAL_NAMES: Final = ("metadata.google.internal", "metadata.goog", "metadata")


def _parse_json_list(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise ValueError("not JSON") from error


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


Port = Annotated[int, Field(ge=1, le=65535)]
Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[int, Field(ge=1)]
JsonList = Annotated[tuple[str, ...], BeforeValidator(_parse_json_list)]
Environment = Annotated[Literal["development", "staging", "production"], BeforeValidator(_lower)]
LogLevel = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(_upper)]


def _default_configs_dir() -> Path:
    here = Path(__file__).resolve().parent
    packaged = here / "_configs"
    return packaged if packaged.is_dir() else here.parent.parent / "configs"


def _default_shrink_recheck(earlier: dict[str, Any]) -> int:
    return 0 if earlier.get("environment") == "development" else 600


class Settings(BaseSettings):
    """Every environment variable of the product; a field's name in upper case is the variable's."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, validate_default=False)

    app_name: str = "convergence"
    environment: Environment = "development"
    log_level: LogLevel = "INFO"
    warehouse: Literal["duckdb", "bigquery"] = "duckdb"
    data_dir: Path = Path(".convergence")
    configs_dir: Path = Field(default_factory=_default_configs_dir)

    gcp_project_id: str | None = None
    bigquery_location: str = "US"
    google_application_credentials: Path | None = None
    bigquery_api_endpoint: str | None = None
    bq_max_results_per_page: Count = 10_000
    bq_query_timeout_seconds: Seconds = 300
    bq_max_retry_attempts: int = Field(default=3, ge=0)
    bq_max_bytes_billed: Count | None = None

    api_host: str = "127.0.0.1"
    api_port: Port = 8080
    api_workers: Count = 1
    ca_root_api_key: SecretStr | None = None
    disable_auth: bool = False
    enable_dev_mode: bool = False
    default_tenant_id: str | None = None
    cors_origins: JsonList = ()
    max_request_size_bytes: Count = 10 * 1024 * 1024
    max_upload_size_bytes: Count = 512 * 1024 * 1024
    max_header_size_bytes: Count = 8 * 1024

    rate_limit_enabled: bool = True
    rate_limit_requests_per_minute: Count = 100
    rate_limit_requests_per_hour: Count = 1000
    rate_limit_pipeline_concurrency: Count = 5

    queue_backend: Literal["local", "redis", "cloud_tasks"] = "local"
    lock_backend: Literal["memory", "redis", "firestore"] = "memory"
    lock_timeout_seconds: Seconds = 3600
    firestore_lock_collection: str = "pipeline_locks"
    redis_url: SecretStr | None = None
    cloud_tasks_queue: str | None = None
    cloud_tasks_target_url: str | None = None
    cloud_tasks_service_account: str | None = None
    cloud_tasks_audience: str | None = None
    cloud_tasks_deadline_seconds: int = Field(default=1800, ge=15, le=1800)
    cloud_tasks_api_endpoint: str | None = None

    secrets_backend: Literal["env", "file", "gcp"] = "env"
    secrets_base_path: Path | None = None
    convergence_root_secret: SecretStr | None = None
    kms_backend: Literal["local", "gcp"] = "local"
    kms_key_name: str | None = None
    kms_project_id: str | None = None
    kms_location: str | None = None
    kms_keyring: str | None = None
    kms_key: str | None = None

    metadata_log_batch_size: Count = 100
    metadata_log_flush_interval_seconds: Annotated[float, Field(gt=0)] = 5
    metadata_log_workers: Count = 5
    lease_seconds: Seconds = 90
    heartbeat_seconds: Seconds = 20
    retry_backoff_seconds: int = Field(default=30, ge=0)
    shrink_recheck_seconds: int = Field(default_factory=_default_shrink_recheck, ge=0)
    max_bad_rows: int = Field(default=5, ge=0)
    max_bad_row_share: float = Field(default=0.005, ge=0, le=1)

    openai_base_url: str = "https://api.openai.com/v1"
    anthropic_base_url: str = "https://api.anthropic.com"
    deepseek_base_url: str = "https://api.deepseek.com"
    cursor_base_url: str = "https://api.cursor.com"
    google_sheets_base_url: str = "https://sheets.googleapis.com"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 (pydantic-settings' signature)
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 (the same)
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 (the same)
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 (the same)
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)

    @property
    def is_production(self) -> bool:
        return self.environment == "production"

    @property
    def dataset_suffix(self) -> str:
        return DATASET_SUFFIXES[self.environment]

    @property
    def redis_prefix(self) -> str:
        """What the keys of this deployment begin with, so that several can share a Redis."""
        return f"{self.app_name}:{self.dataset_suffix}"

    @cached_property
    def kms_resource(self) -> str | None:
        """The full name of the Cloud KMS key: KMS_KEY_NAME, or put together from its four parts."""
        parts = [getattr(self, name) for name in _KMS_PARTS]
        if self.kms_key_name or not all(parts):
            return self.kms_key_name
        project, location, keyring, key = parts
        return f"projects/{project}/locations/{location}/keyRings/{keyring}/cryptoKeys/{key}"

    @cached_property
    def provider_base_urls(self) -> dict[str, str]:
        """Provider name in lower case to the URL that requests start with, without a trailing slash."""
        return {name.removesuffix("_base_url"): getattr(self, name).rstrip("/") for name in _URL_FIELDS}


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """The settings of this process: its environment over a `.env` file in the working directory.

    A given `environ` is all that is looked at. A variable that is set to nothing counts as not set.

    Raises:
        ConfigError: every fault at once, by the variable's name.
    """
    values = _read_variables(environ)
    faults: list[Fault] = []
    try:
        settings = Settings(**values)
    except ValidationError as error:
        details = error.errors(include_input=False, include_url=False)
        faults = [_fault(one) for one in details if one["type"] != "default_factory_not_called"]
        wrong = {str(fault.key).lower() for fault in faults}
        settings = Settings(**{name: value for name, value in values.items() if name not in wrong})
    known = {fault.key for fault in faults}
    faults += [fault for fault in _relation_faults(settings) if fault.key not in known]
    if faults:
        raise ConfigError(faults, hint="Correct the variables; docs/reference/settings.md describes each.")
    return settings


def complete_settings(settings: Settings, read: Callable[[str], str | None]) -> Settings:
    """With what is needed and not set read from the secret store, which has None for what it does not have."""
    needed = {"ca_root_api_key"}
    needed |= {"redis_url"} if "redis" in {settings.queue_backend, settings.lock_backend} else set()
    needed |= {"convergence_root_secret"} if settings.kms_backend == "gcp" else set()
    missing = [field for field in SECRET_NAMES if field in needed and getattr(settings, field) is None]
    found = {field: read(SECRET_NAMES[field]) for field in missing}
    return settings.model_copy(update={field: SecretStr(text) for field, text in found.items() if text})


def check_secrets(settings: Settings) -> None:
    """Refuse to start without a secret that the chosen backends need.

    Raises:
        ConfigError: every fault at once, by the variable's name.
    """
    faults = [*_redis_faults(settings), *_root_secret_faults(settings)]
    if faults:
        names = ", ".join(SECRET_NAMES[str(fault.key).lower()] for fault in faults)
        raise ConfigError(faults, hint=f"Set the variable, or give SECRETS_BACKEND a secret of the name {names}.")


def check_production(settings: Settings) -> None:
    """Refuse an unsafe start; anything goes outside production.

    Raises:
        ConfigError: every fault at once, by the variable's name.
    """
    faults = list(_production_faults(settings)) if settings.is_production else []
    if faults:
        raise ConfigError(faults, hint="ENVIRONMENT=production refuses to start until all of them are corrected.")


def _read_variables(environ: Mapping[str, str] | None) -> dict[str, Any]:
    if environ is None:
        dotenv = DotEnvSettingsSource(Settings, env_file=Path(".env")).env_vars
        found: dict[str, str | None] = {**dotenv, **EnvSettingsSource(Settings).env_vars}
    else:
        found = {name.lower(): value for name, value in environ.items()}
    values = {name: value for name, value in found.items() if value}
    for other, name in OTHER_NAMES.items():
        if other in values:
            values.setdefault(name, values[other])
    return {name: value for name, value in values.items() if name in Settings.model_fields}


def _fault(details: Mapping[str, Any]) -> Fault:
    """A fault from pydantic's; the value stays out of it, since it may be a secret."""
    name = str(details["loc"][0])
    expected = "a JSON list of strings" if name == "cors_origins" else _expected(details)
    return Fault("cannot be read", key=name.upper(), expected=expected)


def _expected(details: Mapping[str, Any]) -> str:
    template = _EXPECTED.get(details["type"])
    return template.substitute(details.get("ctx", {})) if template else str(details["msg"])


def _relation_faults(settings: Settings) -> Iterator[Fault]:
    if settings.heartbeat_seconds >= settings.lease_seconds:
        yield Fault("a lease would run out between two heartbeats", key="HEARTBEAT_SECONDS", expected="< LEASE_SECONDS")
    if settings.secrets_backend == "env":
        yield from _redis_faults(settings)
    elif settings.secrets_backend == "file" and settings.secrets_base_path is None:
        yield Fault("is needed by SECRETS_BACKEND=file", key="SECRETS_BASE_PATH", expected="a folder")
    if not settings.gcp_project_id:
        yield from _project_faults(settings)
    if not settings.configs_dir.is_dir():
        yield Fault("is not a folder", key="CONFIGS_DIR", expected="the folder with the pipelines")
    yield from _kms_faults(settings)
    yield from _cloud_tasks_faults(settings)
    yield from _process_faults(settings)
    for name in _URL_FIELDS:
        yield from _url_faults(name.upper(), getattr(settings, name))


def _redis_faults(settings: Settings) -> Iterator[Fault]:
    users = [name for name in ("queue_backend", "lock_backend") if getattr(settings, name) == "redis"]
    if users and settings.redis_url is None:
        yield Fault(f"is needed by {users[0].upper()}=redis", key="REDIS_URL", expected="redis://host:port/db")


def _root_secret_faults(settings: Settings) -> Iterator[Fault]:
    secret = settings.convergence_root_secret
    if settings.kms_backend != "gcp" or (secret and len(secret.get_secret_value()) >= MIN_ROOT_SECRET_LENGTH):
        return
    problem = "is too short" if secret else "is needed by KMS_BACKEND=gcp"
    yield Fault(problem, key="CONVERGENCE_ROOT_SECRET", expected=f"{MIN_ROOT_SECRET_LENGTH} random characters or more")


def _project_faults(settings: Settings) -> Iterator[Fault]:
    users = {"warehouse": "bigquery", "lock_backend": "firestore", "secrets_backend": "gcp"}
    needed = [f"{name.upper()}={value}" for name, value in users.items() if getattr(settings, name) == value]
    if needed:
        yield Fault(f"is needed by {', '.join(needed)}", key="GCP_PROJECT_ID", expected="a project id")


def _kms_faults(settings: Settings) -> Iterator[Fault]:
    form = "projects/P/locations/L/keyRings/R/cryptoKeys/K"
    if settings.kms_key_name and not _KMS_NAME.fullmatch(settings.kms_key_name):
        yield Fault("is not the name of a key", key="KMS_KEY_NAME", expected=form)
    elif settings.kms_backend == "gcp" and not settings.kms_resource:
        missing = ", ".join(name.upper() for name in _KMS_PARTS if not getattr(settings, name))
        yield Fault("is needed by KMS_BACKEND=gcp", key="KMS_KEY_NAME", expected=f"{form}, or {missing}")


def _cloud_tasks_faults(settings: Settings) -> Iterator[Fault]:
    if settings.queue_backend != "cloud_tasks":
        return
    for key, value, form, expected in (
        ("CLOUD_TASKS_QUEUE", settings.cloud_tasks_queue, _QUEUE_NAME, "projects/P/locations/L/queues/Q"),
        ("CLOUD_TASKS_SERVICE_ACCOUNT", settings.cloud_tasks_service_account, _ACCOUNT_NAME, "an e-mail address"),
    ):
        if value is None:
            yield Fault("is needed by QUEUE_BACKEND=cloud_tasks", key=key, expected=expected)
        elif not form.fullmatch(value):
            yield Fault("cannot be read", key=key, expected=expected)
    if settings.cloud_tasks_target_url is None:
        expected = "the worker's URL, without a path"
        yield Fault("is needed by QUEUE_BACKEND=cloud_tasks", key="CLOUD_TASKS_TARGET_URL", expected=expected)
    elif _host(settings.cloud_tasks_target_url) is None:
        yield Fault("is not a base URL", key="CLOUD_TASKS_TARGET_URL", expected="https://host[:port]")


def _process_faults(settings: Settings) -> Iterator[Fault]:
    """Several server processes share what is outside of them, and nothing else."""
    alone = {
        "WAREHOUSE": settings.warehouse == "duckdb" and "bigquery",
        "LOCK_BACKEND": settings.lock_backend == "memory" and "redis or firestore",
        "QUEUE_BACKEND": settings.queue_backend == "local" and "redis or cloud_tasks",
    }
    wanted = [f"{name}={shared}" for name, shared in alone.items() if shared]
    if settings.api_workers > 1 and wanted:
        problem = f"{settings.api_workers} processes cannot share what one of them owns"
        yield Fault(problem, key="API_WORKERS", expected=f"1, or {', '.join(wanted)}")


def _url_faults(key: str, url: str) -> Iterator[Fault]:
    host = _host(url)
    if host is None:
        yield Fault(
            "is not a base URL", key=key, expected="http(s)://host[:port][/path], no user name, query, fragment"
        )
    elif _is_link_local(host):
        yield Fault("is a link-local address", key=key, expected="the provider's host")


def _production_faults(settings: Settings) -> Iterator[Fault]:
    root_key = settings.ca_root_api_key
    if root_key is None or len(root_key.get_secret_value()) < MIN_ROOT_KEY_LENGTH:
        problem = "is not set" if root_key is None else "is too short"
        yield Fault(problem, key="CA_ROOT_API_KEY", expected=f"{MIN_ROOT_KEY_LENGTH} characters or more")
    if settings.disable_auth:
        yield Fault("is true", key="DISABLE_AUTH", expected="false")
    if not settings.rate_limit_enabled:
        yield Fault("is false", key="RATE_LIMIT_ENABLED", expected="true")
    if settings.kms_backend != "gcp":
        yield Fault(f"is {settings.kms_backend}", key="KMS_BACKEND", expected="gcp")
    if any("*" in origin for origin in settings.cors_origins):
        yield Fault("has a *", key="CORS_ORIGINS", expected="the origins by name")
    if settings.cloud_tasks_api_endpoint is not None:
        yield Fault("is set", key="CLOUD_TASKS_API_ENDPOINT", expected="nothing: it is for an emulator")
    if settings.queue_backend == "cloud_tasks" and not (settings.cloud_tasks_target_url or "").startswith("https://"):
        yield Fault("is not encrypted", key="CLOUD_TASKS_TARGET_URL", expected="https://")
    for name in _URL_FIELDS:
        yield from _production_url_faults(name.upper(), getattr(settings, name))


def _production_url_faults(key: str, url: str) -> Iterator[Fault]:
    host = _host(url)
    if host is None or _is_link_local(host):
        yield from _url_faults(key, url)
    elif _is_private(host):
        yield Fault("is a private or loopback address", key=key, expected="the provider's public host")
    elif not url.lower().startswith("https://"):
        yield Fault("is not encrypted", key=key, expected="https://")


def _host(url: str) -> str | None:
    """The host in lower case; None where it is not plainly one, as readers of URLs disagree about the rest."""
    if "\\" in url or any(char.isspace() or not char.isprintable() for char in url):
        return None
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    plain = parts.scheme in {"http", "https"} and "@" not in parts.netloc and not parts.query and not parts.fragment
    return parts.hostname.rstrip(".") or None if plain and parts.hostname else None


def _is_link_local(host: str) -> bool:
    return host in _LINK_LOCAL_NAMES or any(map(is_link_local, read_addresses(host)))


def _is_private(host: str) -> bool:
    if any(host == name.lstrip(".") or host.endswith(name) for name in _LOCAL_NAMES):
        return True
    return not all(map(is_public, read_addresses(host)))
