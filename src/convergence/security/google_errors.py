"""What the clients of Cloud KMS and Secret Manager raise, as errors of ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from convergence.errors import ConvergenceError, SecretsUnavailable

if TYPE_CHECKING:
    from google.api_core.retry import Retry

PATIENCE: Final = timedelta(seconds=10)
_SIGN_IN: Final = "Sign in: gcloud auth application-default login, or run as a service account."


def build_retry(patience: timedelta) -> Retry:
    """Trying again for this long: both services answer in milliseconds, and a request of ours waits meanwhile."""
    from google.api_core.retry import Retry

    return Retry(initial=0.1, maximum=2, timeout=patience.total_seconds())


@contextmanager
def translating(what: str, role: str) -> Iterator[None]:
    """Every error of a Google client in the block becomes ours; `what` names the service and the resource.

    Raises:
        SecretsUnavailable: no credentials, no permission, no such resource, or no answer.
    """
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except (GoogleAPIError, GoogleAuthError) as error:
        raise _translate(error, what, role) from error


def _translate(error: Exception, what: str, role: str) -> ConvergenceError:
    from google.api_core import exceptions as google
    from google.auth.exceptions import GoogleAuthError

    if isinstance(error, GoogleAuthError):
        return SecretsUnavailable(f"{what} cannot be asked without credentials", code="secrets_denied", hint=_SIGN_IN)
    if isinstance(error, google.Unauthenticated | google.Forbidden):
        hint = f"Grant the service account {role} on it, and let the project have the API."
        return SecretsUnavailable(f"{what} refuses these credentials", code="secrets_denied", hint=hint)
    if isinstance(error, google.NotFound):
        hint = f"Create it, or correct its name; the service account needs {role} on it."
        return SecretsUnavailable(f"{what} does not exist", code="secrets_missing", hint=hint)
    return SecretsUnavailable(f"{what} cannot be reached: {type(error).__name__}")
