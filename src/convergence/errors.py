"""Every exception of the product, in one tree.

ConvergenceError(message, code, hint, fields)
├── ConfigError              a file or a setting is wrong; carries every Fault found, not only the first
├── RequestError             the caller must change something
│   ├── InvalidRequest       the request is malformed or outside what is allowed
│   ├── Unauthenticated      no key, a wrong key, or the wrong kind of key
│   ├── Denied               a good key without the right; a suspended organization
│   ├── NotFound             no such thing, or not the caller's
│   ├── Conflict             it exists already, or another request holds it
│   ├── QuotaExceeded        the plan's allowance is used up
│   ├── RateLimited          too many requests in the window
│   ├── QueryRejected        not one read-only SELECT over the org's own tables
│   ├── CredentialInvalid    the provider refuses the credential
│   └── TooLarge             a body, page or result above its cap
├── TransientError           the same call may work later (retry_after)
│   ├── ProviderUnavailable  429, 5xx, resets, timeouts, an open breaker
│   ├── WarehouseBusy        another writer; nothing was written
│   ├── StoreUnavailable     state store or queue cannot be reached
│   ├── SecretsUnavailable   key management or secret store cannot be reached, or refuses us
│   └── LeaseLost            a newer owner holds the run; stop and write nothing
├── TerminalError            later cannot help
│   ├── ProviderRejected     401, 403 and other 4xx of a provider
│   ├── ProviderMisbehaved   an endless cursor, a body that is not what was promised
│   ├── StatementFailed      the engine refuses a statement
│   ├── SchemaMismatch       rows or a change that a table cannot take
│   ├── DataQualityError     too many bad rows, an unstable source, a broken conservation check
│   ├── SecretUnreadable     a ciphertext that does not open here
│   └── StepFailed           a processor gave up for a reason of its own
├── UnsupportedError         this engine cannot
└── Cancelled                the run was cancelled on request
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong in a file or a setting: where it is, what is wrong, what was expected."""

    message: str
    path: str | None = None
    line: int | None = None
    key: str | None = None
    expected: str | None = None

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.path, self.line) if part is not None)
        text = f"{place}: " if place else ""
        text += f"{self.key}: {self.message}" if self.key else self.message
        return f"{text} (expected {self.expected})" if self.expected else text


class ConvergenceError(Exception):
    """Base of all. `code` is stable and lower_snake, `hint` says what to do next."""

    code = "error"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        hint: str | None = None,
        fields: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.fields: dict[str, object] = dict(fields or {})
        if code is not None:
            self.code = code


class ConfigError(ConvergenceError):
    """A file or a setting is wrong. `faults` lists all of them."""

    code = "config_invalid"

    def __init__(self, faults: Iterable[Fault] | Fault | str, *, hint: str | None = None) -> None:
        if isinstance(faults, str):
            faults = Fault(faults)
        self.faults = (faults,) if isinstance(faults, Fault) else tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults), hint=hint)


class RequestError(ConvergenceError):
    """The caller must change something."""

    code = "invalid_request"


class InvalidRequest(RequestError):
    """The request is malformed or asks for what is not allowed."""


class Unauthenticated(RequestError):
    """No key, a wrong key, or the wrong kind of key. One text for every cause."""

    code = "unauthenticated"


class Denied(RequestError):
    """The key is good and lacks the scope, or the organization may not act."""

    code = "denied"


class NotFound(RequestError):
    """No such thing, or not the caller's: the two are not told apart."""

    code = "not_found"


class Conflict(RequestError):
    """It exists already, or another request holds it."""

    code = "conflict"


class QuotaExceeded(RequestError):
    """The plan's allowance is used up. `retry_after` is in seconds."""

    code = "quota_exceeded"

    def __init__(self, message: str, *, retry_after: float, code: str | None = None, hint: str | None = None) -> None:
        super().__init__(message, code=code, hint=hint)
        self.retry_after = retry_after


class RateLimited(RequestError):
    """Too many requests in the window. `retry_after` is in seconds."""

    code = "rate_limited"

    def __init__(self, message: str, *, retry_after: float, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class QueryRejected(RequestError):
    """Not one read-only SELECT over the organization's own tables, or over a limit."""

    code = "query_rejected"


class CredentialInvalid(RequestError):
    """The provider refuses the credential; the message is the provider's reason, redacted."""

    code = "credential_invalid"


class TooLarge(RequestError):
    """A body, a page or a result is above its cap."""

    code = "too_large"


class TransientError(ConvergenceError):
    """The same call may work later. `retry_after` is in seconds where the other side named one."""

    code = "unavailable"

    def __init__(
        self,
        message: str,
        *,
        retry_after: float | None = None,
        code: str | None = None,
        hint: str | None = None,
        fields: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message, code=code, hint=hint, fields=fields)
        self.retry_after = retry_after


class ProviderUnavailable(TransientError):
    """429, 5xx, a reset, a timeout, a truncated body, or an open breaker."""

    code = "provider_unavailable"


class WarehouseBusy(TransientError):
    """Another writer holds the table or the file; nothing was written."""

    code = "warehouse_busy"


class StoreUnavailable(TransientError):
    """The state store or the queue cannot be reached."""

    code = "store_unavailable"


class SecretsUnavailable(TransientError):
    """The key management or the secret store cannot be reached, or refuses this process."""

    code = "secrets_unavailable"


class LeaseLost(TransientError):
    """A newer owner holds the run. Stop, write nothing more."""

    code = "lease_lost"


class TerminalError(ConvergenceError):
    """Trying again cannot help."""

    code = "failed"


class ProviderRejected(TerminalError):
    """The provider answers 401, 403 or another 4xx. `status` is the HTTP status."""

    code = "provider_rejected"

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        hint: str | None = None,
        fields: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message, code=code, hint=hint, fields=fields)
        self.status = status


class ProviderMisbehaved(TerminalError):
    """The provider never stops paging or sends what it did not promise."""

    code = "provider_misbehaved"


class StatementFailed(TerminalError):
    """The engine refuses a statement."""

    code = "statement_failed"


class SchemaMismatch(TerminalError):
    """Rows, or a change of schema, that the table cannot take."""

    code = "schema_mismatch"


class DataQualityError(TerminalError):
    """Too many bad rows, an unstable source, or sums that do not agree."""

    code = "data_quality"


class SecretUnreadable(TerminalError):
    """A ciphertext that does not open for this organization and this key."""

    code = "secret_unreadable"


class StepFailed(TerminalError):
    """A processor gave up for a reason of its own."""

    code = "step_failed"


class UnsupportedError(ConvergenceError):
    """This engine cannot do it."""

    code = "unsupported"


class Cancelled(ConvergenceError):
    """The run was cancelled on request."""

    code = "cancelled"
