"""How a request proves who asks. The secret is kept out of repr, logs and errors."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Generator, Mapping
from hashlib import blake2b
from types import MappingProxyType

import httpx2

_HIDDEN = "[redacted]"


class HeaderAuth(httpx2.Auth):
    """Fixed headers on every request; `secrets` are the texts that must never be shown."""

    def __init__(self, headers: Mapping[str, str], *, secrets: tuple[str, ...] = (), kind: str = "header") -> None:
        self._headers = MappingProxyType(dict(headers))
        self._secrets = tuple(sorted((secret for secret in secrets if secret), key=len, reverse=True))
        self._kind = kind

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        request.headers.update(self._headers)
        yield request

    def with_headers(self, headers: Mapping[str, str]) -> HeaderAuth:
        """The same with headers that every request carries; they never replace the one that shows who asks."""
        return HeaderAuth({**headers, **self._headers}, secrets=self._secrets, kind=self._kind)

    @property
    def identity(self) -> bytes:
        """Equal for equal credentials. For use in memory: it is never written down."""
        return blake2b(repr(sorted(self._headers.items())).encode(), digest_size=16).digest()

    def hide(self, text: str) -> str:
        """`text` without the secrets, wherever a provider echoes them."""
        for secret in self._secrets:
            text = text.replace(secret, _HIDDEN)
        return text

    def __repr__(self) -> str:
        return f"<{self._kind} auth>"


def bearer(token: str, **fixed_headers: str) -> HeaderAuth:
    """`Authorization: Bearer`. Underscores in the names of fixed headers are sent as hyphens."""
    headers = {"Authorization": f"Bearer {token.strip()}", **_spell(fixed_headers)}
    return HeaderAuth(headers, secrets=(token.strip(),), kind="bearer")


def header_key(
    header: str, key: str, fixed_headers: Mapping[str, str] | None = None, *, prefix: str = ""
) -> HeaderAuth:
    """A key in a header of its own, such as `x-api-key`, beside headers that every request carries."""
    headers = {**(fixed_headers or {}), header: f"{prefix}{key.strip()}"}
    return HeaderAuth(headers, secrets=(key.strip(),), kind="header key")


def basic(username: str, password: str) -> HeaderAuth:
    """HTTP Basic. The user name is hidden too: some providers put the key there and leave the password empty."""
    encoded = b64encode(f"{username}:{password}".encode()).decode()
    return HeaderAuth({"Authorization": f"Basic {encoded}"}, secrets=(encoded, password, username), kind="basic")


def no_auth() -> HeaderAuth:
    """For providers that publish without asking who reads."""
    return HeaderAuth({}, kind="no")


def _spell(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
