"""A client for the source that a pipeline declares."""

from __future__ import annotations

from typing import assert_never

from convergence.catalog.sources import Auth, Basic, Bearer, Header, NoAuth, Source
from convergence.connectors.auth import HeaderAuth, basic, bearer, header_key, no_auth
from convergence.connectors.client import ProviderClient
from convergence.connectors.pacing import MinuteLimit
from convergence.connectors.pool import HttpPool
from convergence.errors import InvalidRequest


def open_source(
    pool: HttpPool, org_slug: str, provider: str, source: Source, credential: str, *, base_url: str
) -> ProviderClient:
    """A client that asks as the source says, with an organization's credential.

    Raises:
        InvalidRequest: the credential is not of the kind that the source takes.
        ConfigError: a base URL that cannot be used, such as one without https in production.
    """
    auth = build_auth(source.auth, credential.strip()).with_headers(source.headers)
    most = source.requests_per_minute
    limit = None if most is None else MinuteLimit("source", most)
    return pool.client(
        org_slug, provider, auth, minute_limit=limit, base_url=base_url, also_retryable=source.retry_statuses
    )


def build_auth(auth: Auth, credential: str) -> HeaderAuth:
    """The header that shows a credential; it never gets into a URL.

    Raises:
        InvalidRequest: as `open_source`.
    """
    match auth:
        case Bearer():
            return bearer(_one_line(credential))
        case Header():
            return header_key(auth.name, _one_line(credential), prefix=auth.prefix)
        case Basic():
            return _basic(auth, credential)
        case NoAuth():
            return no_auth()
        case _:
            assert_never(auth)


def _basic(auth: Basic, credential: str) -> HeaderAuth:
    match auth.credential:
        case "username":
            return basic(credential, "")
        case "password":
            return basic(auth.username, credential)
        case "pair":
            username, colon, password = credential.partition(":")
            if not colon:
                raise _unfit("this credential is not of the form user:password")
            return basic(username, password)


def _one_line(credential: str) -> str:
    if not credential.isascii() or not credential.isprintable() or " " in credential:
        raise _unfit("this credential cannot stand in a header: it is not one word of ASCII letters, digits and signs")
    return credential


def _unfit(message: str) -> InvalidRequest:
    return InvalidRequest(message, code="credential_malformed", hint="See the auth of the pipeline's source.")
