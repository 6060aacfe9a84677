"""What Google's Firestore library raises, as errors of ours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from convergence.errors import StoreUnavailable

_SIGN_IN: Final = "Sign in: gcloud auth application-default login, or run as a service account."
_ROLE: Final = (
    "Grant the service account roles/datastore.user, and let the project have the API: "
    "gcloud services enable firestore.googleapis.com"
)
_DATABASE: Final = "Create it: gcloud firestore databases create --type=firestore-native --location=LOCATION"


def driver_errors() -> tuple[type[Exception], ...]:
    """What the library may raise; a ValueError is how it wraps its own, an OSError that it finds no project."""
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError

    return GoogleAPIError, GoogleAuthError, ValueError, OSError, TimeoutError


def is_passing(error: BaseException) -> bool:
    """Whether the same call may work in a moment."""
    from google.api_core import exceptions as google

    passing = (google.ServerError, google.Aborted, google.ResourceExhausted, google.RetryError)
    cause = _find_cause(error)
    if isinstance(cause, google.InvalidArgument):
        # A commit sent twice: the answer to the first was lost, and its transaction is no more.
        return "transaction" in str(cause).lower()
    return isinstance(cause, passing)


def translate(error: Exception, project: str | None) -> StoreUnavailable:
    """The error to raise instead."""
    where = f" of project {project}" if project else ""
    if isinstance(error, TimeoutError):
        return StoreUnavailable(f"Firestore{where} did not answer in time")
    code, text, hint = _explain(_find_cause(error) or error)
    return StoreUnavailable(f"Firestore{where} {text}", code=code, hint=hint)


def _explain(cause: BaseException) -> tuple[str | None, str, str | None]:
    from google.api_core import exceptions as google
    from google.auth.exceptions import GoogleAuthError

    if isinstance(cause, GoogleAuthError):
        return "store_denied", "cannot be asked without credentials", _SIGN_IN
    if isinstance(cause, google.Unauthenticated | google.Forbidden):
        return "store_denied", "refuses these credentials", _ROLE
    if isinstance(cause, google.NotFound):
        return "store_missing", "has no such database", _DATABASE
    if isinstance(cause, google.Aborted):
        return "store_busy", "is too busy with this key: others keep changing it", None
    if isinstance(cause, google.ResourceExhausted):
        return "store_busy", "is above its quota", "Ask for more, or spread the load: IAM & Admin, Quotas."
    return None, f"cannot be reached: {type(cause).__name__}", None


def _find_cause(error: BaseException) -> BaseException | None:
    """The library's own error: a transaction that fails hides it behind a ValueError about its rollback."""
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError

    found = [each for each in _chain(error) if isinstance(each, GoogleAPIError | GoogleAuthError)]
    return found[-1] if found else None


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__
