"""Which addresses the client may connect to, checked on the resolved address at connect time.

A check of the URL alone is not enough: a name can resolve to anything, differently at each look, and loopback has many
spellings. So the check sits where the socket is opened, and the socket goes to the address that was checked.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterable
from urllib.parse import urlsplit

import httpcore2
import httpx2

from convergence.errors import ConfigError, Fault
from convergence.kit.addresses import Address, is_link_local, is_public, read_addresses


def is_allowed(text: str, *, production: bool) -> bool:
    """Whether a connection may go there: never link-local or metadata; in production public addresses only."""
    addresses = read_addresses(text)
    if not addresses or any(map(_is_never, addresses)):
        return False
    return not production or (len(addresses) == 1 and is_public(addresses[0]))


def check_base_url(provider: str, url: str, *, production: bool) -> str:
    """The URL without a trailing slash.

    Raises:
        ConfigError: not http(s), with a user name, a query or a fragment, or not https in production.
    """
    parts = urlsplit(url)
    wanted = ("https",) if production else ("https", "http")
    if parts.scheme not in wanted or not parts.hostname or "@" in parts.netloc or "\\" in url:
        raise _bad_url(provider, f"{' or '.join(wanted)}://host[:port][/path], without a user name")
    if parts.query or parts.fragment:
        raise _bad_url(provider, "a URL without query and fragment")
    return url.rstrip("/")


class CheckedBackend(httpcore2.AsyncNetworkBackend):
    """Opens TCP connections to allowed addresses only. TLS still verifies the name."""

    def __init__(self, inner: httpcore2.AsyncNetworkBackend, *, production: bool) -> None:
        self._inner = inner
        self._production = production

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 (httpcore2's signature)
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        addresses = await self._resolve(host, port, timeout)
        refused = [address for address in addresses if not is_allowed(address, production=self._production)]
        if refused or not addresses:
            raise AddressRefused(f"{host} is not an address this platform connects to")
        return await self._connect_any(addresses, port, timeout, local_address, socket_options)

    async def _connect_any(
        self,
        addresses: list[str],
        port: int,
        timeout: float | None,  # noqa: ASYNC109 (httpcore2's signature)
        local_address: str | None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None,
    ) -> httpcore2.AsyncNetworkStream:
        for address in addresses[:-1]:
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue
        return await self._inner.connect_tcp(addresses[-1], port, timeout, local_address, socket_options)

    async def _resolve(self, host: str, port: int, timeout: float | None) -> list[str]:  # noqa: ASYNC109 (as above)
        try:
            async with asyncio.timeout(timeout):
                found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout(f"{host} was not resolved in time") from error
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError(f"{host} cannot be resolved") from error
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 (httpcore2's signature)
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        del path, timeout, socket_options
        raise AddressRefused("unix sockets are not connected to")

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)


class AddressRefused(Exception):
    """Not a transport error: trying again cannot help, and httpx2 must not take it for one."""


def checked_transport(limits: httpx2.Limits, tls: ssl.SSLContext, *, production: bool) -> httpx2.AsyncHTTPTransport:
    """A transport whose every connection passes `is_allowed`."""
    transport = httpx2.AsyncHTTPTransport(verify=tls, trust_env=False, retries=0, limits=limits)
    pool = transport._pool  # noqa: SLF001 (httpx2, pinned exactly, has no public way to set the network backend)
    pool._network_backend = CheckedBackend(pool._network_backend, production=production)  # noqa: SLF001 (the same)
    return transport


def _is_never(address: Address) -> bool:
    return is_link_local(address) or address.is_multicast or address.is_unspecified


def _bad_url(provider: str, expected: str) -> ConfigError:
    return ConfigError(
        Fault("this address cannot be used", key=f"{provider.upper()}_BASE_URL", expected=expected),
        hint="Correct the variable, or unset it to use the provider's own host.",
    )
