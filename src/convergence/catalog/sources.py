"""What a pipeline says of an API that no code of ours knows: where it is, how it is asked, how a key is tried."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from convergence.kit.addresses import is_link_local, read_addresses

_HEADER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}", re.ASCII)
_TRANSPORT: Final = frozenset(
    ("host", "connection", "content-length", "content-type", "transfer-encoding", "accept-encoding", "cookie")
)
_SECRET: Final = frozenset(
    ("authorization", "proxyauthorization", "xapikey", "apikey", "accesstoken", "authtoken", "clientsecret", "secret")
) | {"password", "passwd", "privatekey", "xgoogapikey"}  # fmt: skip


def is_secret_name(name: str) -> bool:
    """Whether a header or parameter of that name carries a credential."""
    return re.sub(r"[-_.]", "", name).lower() in _SECRET


def check_path(path: str) -> str:
    """A path below the base URL.

    Raises:
        ValueError: it could lead to another host, or holds a query.
    """
    parts = path.split("/")
    if not path.startswith("/") or path.startswith("//") or ".." in parts or not path.isprintable():
        raise ValueError("is not a path below the base URL: it starts with one / and has no ..")
    if set(path) & set("?#\\@ "):
        raise ValueError("is not a path below the base URL: parameters belong into params")
    return path


def check_params(params: dict[str, Any]) -> dict[str, Any]:
    """
    Raises:
        ValueError: one is named like a credential: files are no place for one, and neither is a query.
    """
    secret = [name for name in params if is_secret_name(name)]
    if secret:
        raise ValueError(f"{', '.join(secret)}: a credential belongs to an integration, never into a file; see auth")
    return params


def _check_header(name: str) -> str:
    if not _HEADER.fullmatch(name) or name.lower() in _TRANSPORT:
        raise ValueError("cannot be set: a header's name has letters, digits and hyphens, and is not the transport's")
    return name


def _check_headers(headers: dict[str, str]) -> dict[str, str]:
    check_params(headers)
    for name, value in headers.items():
        _check_header(name)
        if not value.isprintable() or not value.isascii():
            raise ValueError(f"{name}: a header's value is printable ASCII")
    return headers


def _check_base_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"https", "http"} or not parts.hostname or "@" in parts.netloc or "\\" in url:
        raise ValueError("is not a base URL: https://host[:port][/path], without a user name")
    if parts.query or parts.fragment or not url.isprintable() or " " in url:
        raise ValueError("is not a base URL: it has no query and no fragment")
    if any(map(is_link_local, read_addresses(parts.hostname))):
        raise ValueError("is a link-local address, which is never asked")
    return url.rstrip("/")


def _check_status(status: int) -> int:
    if not 400 <= status <= 599 or status in {400, 401}:
        raise ValueError("is not a status that may pass: 402 to 599")
    return status


ApiPath = Annotated[str, AfterValidator(check_path)]


class _Keys(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Bearer(_Keys):
    """`Authorization: Bearer` with the credential."""

    type: Literal["bearer"]


class Header(_Keys):
    """The credential in a header of its own, behind `prefix` where there is one ("Token ")."""

    type: Literal["header"]
    name: Annotated[str, AfterValidator(_check_header)]
    prefix: Annotated[str, Field(max_length=40, pattern=r"^[ -~]*$")] = ""


class Basic(_Keys):
    """HTTP Basic. The credential is `user:password`, or the user name alone, or the password of `username`."""

    type: Literal["basic"]
    credential: Literal["pair", "username", "password"] = "pair"
    username: str = ""

    @model_validator(mode="after")
    def _check_username(self) -> Self:
        if bool(self.username) != (self.credential == "password"):
            raise ValueError("username is given with credential: password, and only then")
        return self


class NoAuth(_Keys):
    """The API asks nobody who they are."""

    type: Literal["none"]


Auth = Bearer | Header | Basic | NoAuth


class ValidationRequest(_Keys):
    """A GET that answers 200 to a good credential. `account` names members of its answer that tell whose it is."""

    path: ApiPath
    params: Annotated[dict[str, str], AfterValidator(check_params)] = {}
    account: dict[str, str] = {}


class Source(_Keys):
    """`base_url` for everybody, or the member of each integration's metadata that has it, within `hosts`."""

    base_url: Annotated[str, AfterValidator(_check_base_url)] | None = None
    base_url_from: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")] | None = None
    hosts: list[str] = []
    auth: Annotated[Auth, Field(discriminator="type")]
    headers: Annotated[dict[str, str], AfterValidator(_check_headers)] = {}
    validation: ValidationRequest | None = None
    allow_unvalidated: bool = False
    requests_per_minute: Annotated[int, Field(ge=1, le=60_000)] | None = None
    retry_statuses: list[Annotated[int, AfterValidator(_check_status)]] = []

    @model_validator(mode="after")
    def _check_whole(self) -> Self:
        if (self.base_url is None) == (self.base_url_from is None):
            raise ValueError("has one of base_url and base_url_from")
        if bool(self.hosts) != (self.base_url_from is not None):
            raise ValueError('hosts says which hosts base_url_from may name, such as "*.example.com"; with it only')
        if (self.validation is None) != self.allow_unvalidated:
            raise ValueError("has a validation request, or allow_unvalidated: true where the API has none to offer")
        return self

    def locate(self, metadata: Mapping[str, object]) -> str:
        """The base URL for an organization with that metadata.

        Raises:
            ValueError: the metadata names none, or one that is not allowed.
        """
        if self.base_url_from is None:
            return self.base_url or ""
        given = str(metadata.get(self.base_url_from) or "")
        if not given:
            raise ValueError(f"metadata.{self.base_url_from} is missing: the base URL of the organization's own host")
        url = _check_base_url(given)
        host = (urlsplit(url).hostname or "").lower()
        if not any(fnmatchcase(host, pattern.lower()) for pattern in self.hosts):
            raise ValueError(f"metadata.{self.base_url_from} names a host that is not one of {', '.join(self.hosts)}")
        return url
