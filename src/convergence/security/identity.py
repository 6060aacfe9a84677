"""Who calls, by the ID token that Google signed for a service account."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Mapping
from typing import Any, Final

import structlog

from convergence.errors import TransientError, Unauthenticated

log = structlog.get_logger(__name__)

CERTIFICATES_URL: Final = "https://www.googleapis.com/oauth2/v1/certs"
_ISSUERS: Final = frozenset({"https://accounts.google.com", "accounts.google.com"})
_SKEW_SECONDS: Final = 10
_MIN_AGE_SECONDS: Final = 60  # before an unknown key id is a reason to fetch again
_MAX_AGE_SECONDS: Final = 3600
_MAX_TOKEN_CHARACTERS: Final = 8192
_MAX_AGE: Final = re.compile(r"max-age=(\d{1,7})", re.ASCII)


class GoogleCertificates:
    """Google's public certificates by key id, fetched when they are first needed and again when they grow old."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._held: Mapping[str, str] = {}
        self._fetched = self._expires = float("-inf")
        self._lock = asyncio.Lock()

    async def read(self, key_id: str) -> Mapping[str, str]:
        """
        Raises:
            TransientError: there are none yet, and none can be fetched.
        """
        async with self._lock:
            now = time.monotonic()
            is_unknown = key_id not in self._held and now - self._fetched > _MIN_AGE_SECONDS
            if now > self._expires or is_unknown:
                await self._refresh()
        return self._held

    async def _refresh(self) -> None:
        try:
            held, age = await asyncio.to_thread(_fetch, self._url)
        except (OSError, ValueError) as error:
            if not self._held:
                raise TransientError("Google's certificates cannot be fetched", code="certificates_missing") from error
            log.warning("certificates not refreshed", error=type(error).__name__)
            held, age = self._held, _MIN_AGE_SECONDS
        self._held, self._fetched = held, time.monotonic()
        self._expires = self._fetched + age


class GoogleIdentity:
    """Lets in whoever brings a token of one service account, meant for one audience."""

    def __init__(self, *, service_account: str, audience: str, certificates_url: str = CERTIFICATES_URL) -> None:
        self._service_account = service_account
        self._audience = audience
        self._certificates = GoogleCertificates(certificates_url)

    async def check(self, token: str) -> None:
        """
        Raises:
            Unauthenticated: forged, expired, for another audience, of another account, or no token at all.
            TransientError: it cannot be checked now.
        """
        from google.auth.exceptions import GoogleAuthError

        try:
            certificates = await self._certificates.read(_key_id(token))
            claims = _decode(token, certificates, self._audience)
        except (GoogleAuthError, ValueError, RecursionError) as error:
            # What google-auth says quotes the token.
            log.info("task token refused", reason=type(error).__name__)
            raise _refusal() from None
        if not self._is_expected(claims):
            raise _refusal()

    def _is_expected(self, claims: Mapping[str, Any]) -> bool:
        return (
            claims.get("iss") in _ISSUERS
            and claims.get("email") == self._service_account
            and claims.get("email_verified") is True
        )


def _key_id(token: str) -> str:
    from google.auth import jwt

    if not token.isascii() or len(token) > _MAX_TOKEN_CHARACTERS:
        raise ValueError("not a token")
    header = jwt.decode_header(token)  # type: ignore[no-untyped-call]  # google-auth has no annotations
    key_id = header.get("kid")
    if header.get("alg") != "RS256" or not isinstance(key_id, str):
        raise ValueError("not signed as Google signs")
    return key_id


def _decode(token: str, certificates: Mapping[str, str], audience: str) -> Mapping[str, Any]:
    from google.auth import jwt

    claims: Mapping[str, Any] = jwt.decode(  # type: ignore[no-untyped-call]  # the same
        token, certs=certificates, audience=audience, clock_skew_in_seconds=_SKEW_SECONDS
    )
    return claims


def _fetch(url: str) -> tuple[Mapping[str, str], int]:
    """The certificates and for how many seconds they are good."""
    from google.auth.exceptions import TransportError
    from google.auth.transport.requests import Request

    try:
        answer = Request()(url, method="GET", timeout=10)
    except TransportError as error:
        raise OSError("not reached") from error
    if answer.status != 200:
        raise OSError(f"status {answer.status}")
    held = json.loads(answer.data)
    if not isinstance(held, dict) or not held:
        raise ValueError("no certificates")
    age = _MAX_AGE.search(answer.headers.get("Cache-Control", ""))
    return held, min(int(age[1]) if age else _MAX_AGE_SECONDS, 24 * _MAX_AGE_SECONDS)


def _refusal() -> Unauthenticated:
    return Unauthenticated(
        "the token of the task is missing or not valid",
        hint="Tasks carry an OIDC token of CLOUD_TASKS_SERVICE_ACCOUNT for CLOUD_TASKS_AUDIENCE.",
    )
