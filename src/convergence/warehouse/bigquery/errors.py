"""What each failure of BigQuery means to us: whether to ask again, and our error for it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import requests
from google.api_core import exceptions as api
from google.auth import exceptions as auth
from google.resumable_media import DataCorruption, InvalidResponse

from convergence.errors import ConvergenceError, QueryRejected, StatementFailed, UnsupportedError, WarehouseBusy

DRIVER_ERRORS: Final = (
    api.GoogleAPIError,
    auth.GoogleAuthError,
    requests.RequestException,
    DataCorruption,
    InvalidResponse,
    # Of a socket that closes outside a request, and of a future that was waited for too long.
    ConnectionError,
    TimeoutError,
)


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong, in BigQuery's words: of a request that was refused, or of a job that failed."""

    reason: str
    message: str
    cause: Exception | None = field(default=None, compare=False, repr=False)


class Verdict(StrEnum):
    """What to do about a failure."""

    ATTACH = "attach"  # a job of this id exists: take it
    SAME_ID = "same_id"  # it did not start, or nobody knows: only the same id is safe
    NEW_ID = "new_id"  # the job failed for a passing reason and its id is spent
    FAIL = "fail"


_UNREACHABLE: Final = "unreachable"
_PASSING_STARTS: Final = frozenset(
    {_UNREACHABLE, "backendError", "internalError", "badGateway", "rateLimitExceeded", "userRateLimitExceeded"}
)
_PASSING_JOBS: Final = frozenset(
    {
        "backendError",
        "internalError",
        "jobBackendError",
        "jobInternalError",
        "jobRateLimitExceeded",
        "rateLimitExceeded",
        "tableUnavailable",
    }
)
# Another writer was faster: BigQuery gives these the reason of a faulty statement, only the text tells.
_CONFLICT: Final = re.compile(
    r"could not serialize access|aborted due to concurrent update|too many dml statements outstanding"
    r"|dml statement has been queued for too long",
    re.IGNORECASE,
)
_JOB_EXISTS: Final = re.compile(r"already exists: job\b", re.IGNORECASE)
_JOB_MISSING: Final = re.compile(r"not found: job\b", re.IGNORECASE)
_OVER_BYTES: Final = re.compile(r"exceeded limit for bytes billed", re.IGNORECASE)
_OVER_TIME: Final = re.compile(
    r"\bjob (timed out|execution was cancelled: job timed out)|\bjob timeout\b", re.IGNORECASE
)
_LOCATED: Final = re.compile(r"not found: dataset \S+ was not found in location (?P<location>[\w-]+)", re.IGNORECASE)
_DISABLED: Final = re.compile(r"API has not been used in project|it is disabled", re.IGNORECASE)
_PERMISSION: Final = re.compile(r"\bbigquery\.[A-Za-z]+\.[A-Za-z]+")
_LOGGED_URL: Final = re.compile(r"^(?:GET|POST|PUT|PATCH|DELETE) https?://\S+: ")


def classify(failure: Failure, *, of_job: bool) -> Verdict:
    """Whether asking again can help, and under which id.

    `of_job`: the job ran and failed. Otherwise its start, or a look at it, was refused or never answered.
    """
    if _CONFLICT.search(failure.message):
        return Verdict.NEW_ID
    if of_job:
        return Verdict.NEW_ID if failure.reason in _PASSING_JOBS else Verdict.FAIL
    if failure.reason == "duplicate" and _JOB_EXISTS.search(failure.message):
        return Verdict.ATTACH
    return Verdict.SAME_ID if failure.reason in _PASSING_STARTS else Verdict.FAIL


def is_missing_job(failure: Failure) -> bool:
    """A job that was just started may not be seen for a while."""
    return failure.reason == "notFound" and bool(_JOB_MISSING.search(failure.message))


def read_failure(error: BaseException) -> Failure:
    """The failure behind an exception of Google's libraries or of the network."""
    match error:
        case api.RetryError(cause=Exception() as cause):
            return read_failure(cause)
        case api.GoogleAPICallError():
            return _read_answer(error)
        case InvalidResponse(response=requests.Response(status_code=int() as status)):
            return _read_answer(api.from_http_status(status, "the upload was refused"))  # type: ignore[no-untyped-call] # google.api_core
        case auth.GoogleAuthError() if _is_unauthenticated(error):
            return Failure("unauthenticated", _first_line(error), error)
        case api.GoogleAPIError():
            return Failure("backendError", _first_line(error), error)
        case Exception():
            return Failure(_UNREACHABLE, f"BigQuery cannot be reached: {type(error).__name__}", error)
        case _:
            raise error


def read_job_failure(error_result: Mapping[str, str]) -> Failure:
    """The failure of a job that is done, by its status.errorResult."""
    return Failure(error_result.get("reason", "internalError"), _shorten(error_result.get("message", "")))


def translate(failure: Failure, *, location: str | None = None) -> ConvergenceError:
    """Our error for a failure; the hint says what to change."""
    for applies, build in _BY_MESSAGE:
        if applies.search(failure.message):
            return build(failure, location)
    build = _BY_REASON.get(failure.reason, _refused)
    return build(failure, location)


def translate_error(error: BaseException, *, location: str | None = None) -> ConvergenceError:
    return translate(read_failure(error), location=location)


@contextmanager
def translated(location: str | None = None) -> Iterator[None]:
    """Let no exception of Google's libraries or of the network pass."""
    try:
        yield
    except DRIVER_ERRORS as error:
        raise translate_error(error, location=location) from error


_STATUS_REASONS: Final[dict[int, str]] = {
    401: "unauthenticated",
    403: "accessDenied",
    404: "notFound",
    409: "duplicate",
    429: "rateLimitExceeded",
    499: "stopped",
    501: "notImplemented",
}


def _read_answer(error: api.GoogleAPICallError) -> Failure:
    said = next((item for item in error.errors or () if isinstance(item, Mapping)), {})
    reason = str(said.get("reason") or _reason_of_status(error))
    if error.code == 401:
        reason = "unauthenticated"
    message = str(said.get("message") or _LOGGED_URL.sub("", str(error.message)))
    return Failure(reason, _shorten(message), error)


def _reason_of_status(error: api.GoogleAPICallError) -> str:
    if isinstance(error, api.Aborted):
        return "backendError"
    status = error.code
    if status is None or status >= 500:
        return _STATUS_REASONS.get(status or 500, "backendError")
    return _STATUS_REASONS.get(status, "invalid" if status >= 400 else "backendError")


def _is_unauthenticated(error: auth.GoogleAuthError) -> bool:
    """A token endpoint that does not answer is a matter of the network; a refused credential is not."""
    unreachable = isinstance(error, auth.TransportError | auth.TimeoutError)
    return not unreachable and not error.retryable


def _first_line(error: BaseException) -> str:
    return _shorten(str(error.args[0]).splitlines()[0] if error.args and str(error.args[0]) else type(error).__name__)


def _shorten(text: str, limit: int = 1000) -> str:
    return text if len(text) <= limit else f"{text[:limit]}…"


_Build = Callable[[Failure, str | None], ConvergenceError]
_LOGIN: Final = (
    "Give the process Application Default Credentials: run it as a service account on Google Cloud, or "
    "`gcloud auth application-default login` on a machine of your own."
)
_ENABLE: Final = "Enable the API: gcloud services enable bigquery.googleapis.com."
_AGAIN: Final = "Try again."
_LESS: Final = "Read fewer rows, fewer columns or fewer days."
_EDITOR: Final = "roles/bigquery.dataEditor on the dataset"
_ROLES: Final[dict[str, str]] = {
    "bigquery.jobs.create": "roles/bigquery.jobUser on the project",
    "bigquery.datasets.create": "roles/bigquery.user on the project",
    "bigquery.datasets.get": "roles/bigquery.dataViewer on the dataset",
    "bigquery.datasets.update": "roles/bigquery.dataOwner on the dataset",
    "bigquery.datasets.delete": "roles/bigquery.dataOwner on the dataset",
    "bigquery.tables.get": "roles/bigquery.dataViewer on the dataset",
    "bigquery.tables.getData": "roles/bigquery.dataViewer on the dataset",
    "bigquery.tables.list": "roles/bigquery.dataViewer on the dataset",
    "bigquery.readsessions.create": "roles/bigquery.readSessionUser on the project",
    "bigquery.readsessions.getData": "roles/bigquery.readSessionUser on the project",
}


def _denied(failure: Failure, _location: str | None) -> ConvergenceError:
    asked = _PERMISSION.search(failure.message)
    role = _ROLES.get(asked[0], _EDITOR) if asked else f"{_EDITOR} and roles/bigquery.jobUser on the project"
    hint = f"Grant {role} to the service account. BigQuery says the same of what does not exist."
    return StatementFailed(failure.message, code="warehouse_denied", hint=hint)


def _missing(failure: Failure, location: str | None) -> ConvergenceError:
    place = f"{location} (BIGQUERY_LOCATION)" if location else "BIGQUERY_LOCATION"
    hint = f"Check that it exists and that its dataset lies in {place}: what lies elsewhere is not found either."
    return StatementFailed(failure.message, code="warehouse_not_found", hint=hint)


def _elsewhere(failure: Failure, location: str | None) -> ConvergenceError:
    found = _LOCATED.search(failure.message)
    asked = location or (found["location"] if found else "")
    hint = (
        f"Jobs run in {asked} (BIGQUERY_LOCATION). If the dataset exists, it lies in another location: set "
        "BIGQUERY_LOCATION to that one; a dataset cannot be moved."
    )
    return StatementFailed(failure.message, code="warehouse_not_found", hint=hint)


def _unauthenticated(failure: Failure, _location: str | None) -> ConvergenceError:
    return StatementFailed(failure.message, code="warehouse_unauthenticated", hint=_LOGIN)


def _disabled(failure: Failure, _location: str | None) -> ConvergenceError:
    return StatementFailed(failure.message, code="warehouse_disabled", hint=_ENABLE)


def _unbilled(failure: Failure, _location: str | None) -> ConvergenceError:
    hint = "Link the project to a billing account that is open."
    return StatementFailed(failure.message, code="warehouse_disabled", hint=hint)


def _guarded(failure: Failure, _location: str | None) -> ConvergenceError:
    hint = "An organization policy or a VPC service perimeter refuses it: let the service account pass."
    return StatementFailed(failure.message, code="warehouse_denied", hint=hint)


def _conflicting(failure: Failure, _location: str | None) -> ConvergenceError:
    return WarehouseBusy(failure.message, hint=_AGAIN)


def _throttled(failure: Failure, _location: str | None) -> ConvergenceError:
    return WarehouseBusy(failure.message, hint="Fewer jobs at a time, or a higher rate limit.", retry_after=30)


def _used_up(failure: Failure, _location: str | None) -> ConvergenceError:
    """A quota of the day refills little by little: asking every second is of no use."""
    hint = "A quota of the project is used up; it refills within a day. Raise it under IAM & Admin, Quotas."
    return WarehouseBusy(failure.message, code="warehouse_quota", hint=hint, retry_after=3600)


def _unavailable(failure: Failure, _location: str | None) -> ConvergenceError:
    return WarehouseBusy(failure.message, code="warehouse_unavailable", hint=_AGAIN)


def _over_bytes(failure: Failure, _location: str | None) -> ConvergenceError:
    return QueryRejected(failure.message, code="query_too_large", hint=_LESS)


def _over_time(failure: Failure, _location: str | None) -> ConvergenceError:
    return StatementFailed(failure.message, code="statement_timeout", hint=_LESS)


def _cancelled(failure: Failure, _location: str | None) -> ConvergenceError:
    return StatementFailed(failure.message, code="statement_cancelled", hint="Somebody cancelled the job in BigQuery.")


def _too_heavy(failure: Failure, _location: str | None) -> ConvergenceError:
    return StatementFailed(failure.message, hint=_LESS)


def _unsupported(failure: Failure, _location: str | None) -> ConvergenceError:
    return UnsupportedError(failure.message)


def _refused(failure: Failure, _location: str | None) -> ConvergenceError:
    return StatementFailed(failure.message)


_BY_MESSAGE: Final[tuple[tuple[re.Pattern[str], _Build], ...]] = (
    (_CONFLICT, _conflicting),
    (_OVER_BYTES, _over_bytes),
    (_OVER_TIME, _over_time),
    (_LOCATED, _elsewhere),
    (_DISABLED, _disabled),
)
_BY_REASON: Final[dict[str, _Build]] = {
    "accessDenied": _denied,
    "forbidden": _denied,
    "accessNotConfigured": _disabled,
    "SERVICE_DISABLED": _disabled,
    "backendError": _unavailable,
    "badGateway": _unavailable,
    "billingNotEnabled": _unbilled,
    "billingTierLimitExceeded": _too_heavy,
    "bytesBilledLimitExceeded": _over_bytes,
    "internalError": _unavailable,
    "jobBackendError": _unavailable,
    "jobInternalError": _unavailable,
    "jobRateLimitExceeded": _throttled,
    "notFound": _missing,
    "notImplemented": _unsupported,
    "policyViolation": _guarded,
    "quotaExceeded": _used_up,
    "dailyLimitExceeded": _used_up,
    "rateLimitExceeded": _throttled,
    "userRateLimitExceeded": _throttled,
    "resourceInUse": _conflicting,
    "resourcesExceeded": _too_heavy,
    "responseTooLarge": _too_heavy,
    "stopped": _cancelled,
    "tableUnavailable": _unavailable,
    "timeout": _over_time,
    "unauthenticated": _unauthenticated,
    "authError": _unauthenticated,
    _UNREACHABLE: _unavailable,
    "vpcServiceControls": _guarded,
}
