"""What an answer means: a page, a later try, or a refusal. Pure: a status, headers and a body in, an error out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from convergence.connectors.pages import parse_json
from convergence.errors import ConvergenceError, ProviderMisbehaved, ProviderRejected, ProviderUnavailable
from convergence.security.redaction import redact

RETRYABLE = frozenset({408, 425, 429, 500, 502, 503, 504, 529})
_LONGEST_MESSAGE = 500
_LONGEST_RETRY_AFTER = 86_400.0


def judge_status(
    provider: str,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: datetime,
    hide: Callable[[str], str],
    also_retryable: Collection[int] = (),
) -> ConvergenceError | None:
    """The error of a status; None for 2xx. Some providers say by a status of their own that they are busy."""
    if 200 <= status < 300:
        return None
    reason = read_reason(body, hide)
    if status in RETRYABLE or status >= 500 or status in also_retryable:
        return _unavailable(provider, status, reason, read_retry_after(headers, now))
    if status < 400:
        return ProviderRejected(
            f"{provider} answers {status}, a redirect, which is never followed", status=status, code="redirect_refused"
        )
    return _rejected(provider, status, reason)


def judge_content(provider: str, headers: Mapping[str, str]) -> ConvergenceError | None:
    """A proxy's or a login page instead of data: worth one more try, which is the caller's to count."""
    kind = headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        return None
    return ProviderMisbehaved(
        f"{provider} sent {kind or 'no content type'} instead of application/json",
        code="content_type_unexpected",
        hint="A proxy or a login page may answer in the provider's place; check the base URL.",
    )


def read_retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds to wait by retry-after-ms or Retry-After (seconds or an HTTP date); None where nothing sane is said."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        text = headers.get(name, "").strip()
        seconds = _read_seconds(text, unit) if text else None
        if seconds is None and text and name == "retry-after":
            seconds = _read_date(text, headers.get("date", ""), now)
        if seconds is not None:
            return min(seconds, _LONGEST_RETRY_AFTER)
    return None


def read_reason(body: bytes, hide: Callable[[str], str]) -> dict[str, str]:
    """message, type, param and code of an error body, as far as the provider gives them, without secrets."""
    try:
        value = parse_json(body)
    except ConvergenceError:
        return {}
    error = value.get("error", value) if isinstance(value, dict) else {}
    if isinstance(error, str):
        error = {"code": error, "message": value.get("message", error)}
    if not isinstance(error, dict):
        return {}
    found = {name: error.get(name) for name in ("message", "type", "param", "code")}
    return {name: redact(hide(str(text)))[:_LONGEST_MESSAGE] for name, text in found.items() if _is_plain(text)}


def _unavailable(provider: str, status: int, reason: Mapping[str, str], retry_after: float | None) -> ConvergenceError:
    said = f": {reason['message']}" if "message" in reason else ""
    return ProviderUnavailable(
        f"{provider} answers {status}{said}",
        retry_after=retry_after,
        code="provider_rate_limited" if status == 429 else "provider_unavailable",
        fields={"status": status, **reason},
    )


def _rejected(provider: str, status: int, reason: Mapping[str, str]) -> ProviderRejected:
    said = reason.get("message", "no reason given")
    code, hint = {
        401: ("credential_invalid", "Set the integration up again with a key that the provider accepts."),
        403: ("credential_scope", "Give the key the rights that the provider names, or use one that has them."),
    }.get(status, ("provider_rejected", None))
    return ProviderRejected(
        f"{provider} answers {status}: {said}", status=status, code=code, hint=hint, fields={"status": status, **reason}
    )


def _read_seconds(text: str, unit: float) -> float | None:
    try:
        seconds = float(text) * unit
    except ValueError:
        return None
    return seconds if 0 <= seconds < float("inf") else None


def _read_date(text: str, date: str, now: datetime) -> float | None:
    """Counted from the answer's own Date where there is one: the two clocks need not agree."""
    until, sent = _parse_date(text), _parse_date(date) or now
    return None if until is None else max(0.0, (until - sent).total_seconds())


def _parse_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)
