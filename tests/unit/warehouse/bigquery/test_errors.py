from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests
from google.api_core import exceptions as api
from google.auth import exceptions as auth
from google.resumable_media import DataCorruption, InvalidResponse

from convergence.errors import ConvergenceError, QueryRejected, StatementFailed, UnsupportedError, WarehouseBusy
from convergence.warehouse.bigquery.errors import (
    DRIVER_ERRORS,
    Failure,
    Verdict,
    classify,
    read_failure,
    translate,
    translate_error,
    translated,
)


def family(kind: type[BaseException]) -> Iterator[type[BaseException]]:
    yield kind
    for child in kind.__subclasses__():
        yield from family(child)


RESPONSE = requests.Response()
RESPONSE.status_code = 503
ARGUMENTS: dict[type[BaseException], tuple[object, ...]] = {
    api.RetryError: ("the reason", ValueError("x")),
    InvalidResponse: (RESPONSE, "the reason"),
    DataCorruption: (RESPONSE, "the reason"),
    requests.JSONDecodeError: ("the reason", "{", 0),
}


def example(kind: type[BaseException]) -> BaseException:
    return kind(*ARGUMENTS.get(kind, ("the reason",)))


def named(kinds: set[type[BaseException]]) -> list[type[BaseException]]:
    return sorted(kinds, key=lambda kind: f"{kind.__module__}.{kind.__qualname__}")


FOREIGN = named(
    {*family(api.GoogleAPIError), *family(auth.GoogleAuthError), *family(requests.RequestException)}
    | {DataCorruption, InvalidResponse, ConnectionResetError, BrokenPipeError, TimeoutError}
)


@pytest.mark.parametrize("kind", FOREIGN, ids=lambda kind: kind.__qualname__)
def test_no_foreign_error_crosses(kind: type[BaseException]) -> None:
    with pytest.raises(ConvergenceError) as caught, translated("EU"):
        raise example(kind)

    assert caught.value.message
    assert isinstance(caught.value.__cause__, DRIVER_ERRORS)


def test_our_own_errors_pass_unchanged() -> None:
    ours = StatementFailed("x")
    with pytest.raises(StatementFailed) as caught, translated():
        raise ours

    assert caught.value is ours


def answer(status: int, reason: str, message: str) -> api.GoogleAPICallError:
    """As the client raises it for a body of BigQuery."""
    return api.from_http_status(
        status,
        f"POST https://bigquery.googleapis.com/bigquery/v2/projects/p/jobs?upload_id=secret: {message}",
        errors=[{"reason": reason, "message": message}],
    )


def test_the_text_is_bigquerys_own_without_the_address() -> None:
    assert translate_error(answer(400, "invalidQuery", "Unrecognized name: x at [1:8]")).message == (
        "Unrecognized name: x at [1:8]"
    )
    bare = api.BadRequest("GET https://bigquery.googleapis.com/x?upload_id=secret: no")
    assert translate_error(bare).message == "no"


MEANINGS = [
    (answer(403, "accessDenied", "Access Denied: User does not have bigquery.jobs.create permission in project p."),
     StatementFailed, "warehouse_denied", "roles/bigquery.jobUser on the project"),
    (answer(403, "accessDenied", "Access Denied: Table p:d.t: Permission bigquery.tables.getData denied on p:d.t"),
     StatementFailed, "warehouse_denied", "roles/bigquery.dataViewer on the dataset"),
    (answer(403, "accessDenied", "Access Denied: Permission bigquery.tables.updateData denied on table p:d.t"),
     StatementFailed, "warehouse_denied", "roles/bigquery.dataEditor on the dataset"),
    (answer(403, "accessDenied", "Access Denied: Project p: User does not have bigquery.datasets.create permission"),
     StatementFailed, "warehouse_denied", "roles/bigquery.user on the project"),
    (answer(403, "accessDenied", "Access Denied"), StatementFailed, "warehouse_denied", "roles/bigquery.jobUser"),
    (api.PermissionDenied("read session"), StatementFailed, "warehouse_denied", "roles/bigquery.dataEditor"),
    (answer(403, "accessNotConfigured", "BigQuery API has not been used in project 1 before or it is disabled."),
     StatementFailed, "warehouse_disabled", "gcloud services enable bigquery.googleapis.com"),
    (answer(403, "billingNotEnabled", "Billing has not been enabled"),
     StatementFailed, "warehouse_disabled", "billing account"),
    (answer(404, "notFound", "Not found: Dataset p:d was not found in location US"),
     StatementFailed, "warehouse_not_found", "Jobs run in EU (BIGQUERY_LOCATION)"),
    (answer(404, "notFound", "Not found: Table p:d.t was not found in location US"),
     StatementFailed, "warehouse_not_found", "lies in EU (BIGQUERY_LOCATION)"),
    (answer(404, "notFound", "Not found: Table p:d.t"),
     StatementFailed, "warehouse_not_found", "lies in EU (BIGQUERY_LOCATION)"),
    (answer(403, "quotaExceeded", "Quota exceeded"), WarehouseBusy, "warehouse_quota", "refills within a day"),
    (answer(403, "rateLimitExceeded", "Exceeded rate limits"), WarehouseBusy, "warehouse_busy", "Fewer jobs"),
    (answer(400, "invalidQuery", "Could not serialize access to table p:d.t due to concurrent update"),
     WarehouseBusy, "warehouse_busy", "Try again"),
    (answer(400, "bytesBilledLimitExceeded", "Query exceeded limit for bytes billed: 1. 10485760 or higher required."),
     QueryRejected, "query_too_large", "fewer days"),
    (answer(400, "invalid", "Query exceeded limit for bytes billed: 1. 10485760 or higher required."),
     QueryRejected, "query_too_large", "fewer days"),
    (answer(400, "invalidQuery", "Syntax error"), StatementFailed, "statement_failed", None),
    (answer(400, "resourcesExceeded", "Resources exceeded"), StatementFailed, "statement_failed", "fewer days"),
    (answer(200, "stopped", "Job execution was cancelled: Job timed out after 5 sec"),
     StatementFailed, "statement_timeout", "fewer days"),
    (answer(200, "stopped", "Job execution was cancelled: User requested cancellation"),
     StatementFailed, "statement_cancelled", "cancelled the job"),
    (answer(501, "notImplemented", "no"), UnsupportedError, "unsupported", None),
    (answer(503, "backendError", "x"), WarehouseBusy, "warehouse_unavailable", "Try again"),
    (answer(401, "authError", "Invalid Credentials"), StatementFailed, "warehouse_unauthenticated", "gcloud auth"),
    (auth.DefaultCredentialsError("Your default credentials were not found."),
     StatementFailed, "warehouse_unauthenticated", "Application Default Credentials"),
    (auth.RefreshError("invalid_grant"), StatementFailed, "warehouse_unauthenticated", "gcloud auth"),
    (auth.RefreshError("later", retryable=True), WarehouseBusy, "warehouse_unavailable", "Try again"),
    (auth.TransportError("no route"), WarehouseBusy, "warehouse_unavailable", "Try again"),
    (requests.ConnectionError("host"), WarehouseBusy, "warehouse_unavailable", "Try again"),
    (api.RetryError("deadline", cause=answer(403, "quotaExceeded", "Quota exceeded")),
     WarehouseBusy, "warehouse_quota", "refills"),
]  # fmt: skip


@pytest.mark.parametrize(("error", "kind", "code", "hint"), MEANINGS, ids=[str(row[0])[-60:] for row in MEANINGS])
def test_what_an_error_means_and_how_to_fix_it(
    error: Exception, kind: type[ConvergenceError], code: str, hint: str | None
) -> None:
    ours = translate_error(error, location="EU")

    assert (type(ours), ours.code) == (kind, code)
    assert ours.hint is None if hint is None else hint in (ours.hint or "")


STARTS = {
    "backendError": Verdict.SAME_ID,
    "internalError": Verdict.SAME_ID,
    "rateLimitExceeded": Verdict.SAME_ID,
    "unreachable": Verdict.SAME_ID,
    "quotaExceeded": Verdict.FAIL,
    "accessDenied": Verdict.FAIL,
    "notFound": Verdict.FAIL,
    "invalidQuery": Verdict.FAIL,
    "duplicate": Verdict.FAIL,
    "unauthenticated": Verdict.FAIL,
}
FAILED_JOBS = {
    "backendError": Verdict.NEW_ID,
    "internalError": Verdict.NEW_ID,
    "jobBackendError": Verdict.NEW_ID,
    "jobInternalError": Verdict.NEW_ID,
    "jobRateLimitExceeded": Verdict.NEW_ID,
    "rateLimitExceeded": Verdict.NEW_ID,
    "quotaExceeded": Verdict.FAIL,
    "accessDenied": Verdict.FAIL,
    "notFound": Verdict.FAIL,
    "invalid": Verdict.FAIL,
    "invalidQuery": Verdict.FAIL,
    "resourcesExceeded": Verdict.FAIL,
    "billingTierLimitExceeded": Verdict.FAIL,
    "duplicate": Verdict.FAIL,
    "stopped": Verdict.FAIL,
}


@pytest.mark.parametrize(("reason", "verdict"), STARTS.items())
def test_what_to_do_about_a_start_that_failed(reason: str, verdict: Verdict) -> None:
    assert classify(Failure(reason, "x"), of_job=False) is verdict


@pytest.mark.parametrize(("reason", "verdict"), FAILED_JOBS.items())
def test_what_to_do_about_a_job_that_failed(reason: str, verdict: Verdict) -> None:
    assert classify(Failure(reason, "x"), of_job=True) is verdict


def test_a_job_that_exists_is_told_from_a_table_that_exists() -> None:
    job = Failure("duplicate", "Already Exists: Job p:US.cvg-script-1-a1")
    table = Failure("duplicate", "Already Exists: Table p:d.t")

    assert classify(job, of_job=False) is Verdict.ATTACH
    assert classify(table, of_job=False) is Verdict.FAIL
    assert classify(table, of_job=True) is Verdict.FAIL


def test_a_reason_that_nobody_has_seen_is_final() -> None:
    assert isinstance(translate(Failure("brandNew", "x")), StatementFailed)
    assert classify(Failure("brandNew", "x"), of_job=True) is Verdict.FAIL


def test_a_network_error_names_no_address() -> None:
    assert "secret" not in read_failure(requests.ConnectionError("https://host/?upload_id=secret")).message
