"""What Google's Cloud Tasks library raises, as errors of ours."""

from __future__ import annotations

from typing import Final

from convergence.errors import ConvergenceError, StoreUnavailable

_SIGN_IN: Final = "Sign in: gcloud auth application-default login, or run as a service account."
_RESUME: Final = "Look at it: gcloud tasks queues describe"


def translate(error: Exception, *, queue: str, service_account: str) -> ConvergenceError:
    """The error to raise instead."""
    from google.api_core.exceptions import GoogleAPICallError, RetryError

    if isinstance(error, RetryError) and isinstance(error.cause, GoogleAPICallError):
        error = error.cause
    code, text, hint = _explain(error, queue, service_account)
    return StoreUnavailable(f"the Cloud Tasks queue {queue} {text}", code=code, hint=hint)


def _explain(error: Exception, queue: str, service_account: str) -> tuple[str | None, str, str | None]:
    from google.api_core import exceptions as google
    from google.auth.exceptions import GoogleAuthError

    if isinstance(error, GoogleAuthError):
        return "store_denied", "cannot be asked without credentials", _SIGN_IN
    if isinstance(error, google.Unauthenticated | google.Forbidden):
        return "store_denied", "refuses these credentials", _roles(service_account)
    if isinstance(error, google.NotFound):
        return "store_missing", "is not there", _creation(queue)
    if isinstance(error, google.ResourceExhausted):
        return "store_busy", "is above its quota", "Ask for more: IAM & Admin, Quotas."
    if isinstance(error, google.FailedPrecondition | google.InvalidArgument):
        return "store_refused", "refuses the task", f"{_RESUME} {queue}, and check CLOUD_TASKS_TARGET_URL."
    return None, f"cannot be reached: {type(error).__name__}", None


def _roles(service_account: str) -> str:
    return (
        "Grant the account of this process roles/cloudtasks.enqueuer and roles/cloudtasks.viewer on the queue, and "
        f"roles/iam.serviceAccountUser on {service_account}."
    )


def _creation(queue: str) -> str:
    parts = queue.split("/")
    project, location, name = parts[1], parts[3], parts[5]
    return f"Create it: gcloud tasks queues create {name} --location={location} --project={project}"
