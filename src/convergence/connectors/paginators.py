"""How one page names the next. No I/O: parameters and an envelope in, the next parameters or None out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

from convergence.connectors.pages import Params
from convergence.errors import ProviderMisbehaved

_LINK = re.compile(r"<([^<>]*)>([^<>]*)")
_RELATION = re.compile(r';\s*rel\s*=\s*"?([^";,]*)"?', re.IGNORECASE)
_NO_HEADERS: Mapping[str, str] = {}


class Paginator(Protocol):
    """The next request of a list."""

    def next(
        self, params: Params, envelope: Mapping[str, Any], headers: Mapping[str, str] = _NO_HEADERS, /
    ) -> Params | None:
        """Parameters of the page after this one; None behind the last.

        Every other parameter stays as it is, because cursors belong to the request that made them.

        Raises:
            ProviderMisbehaved: the page promises more and does not say where.
        """
        ...


@dataclass(frozen=True, slots=True)
class SinglePage:
    """There is one page only."""

    def next(
        self, params: Params, envelope: Mapping[str, Any], headers: Mapping[str, str] = _NO_HEADERS, /
    ) -> Params | None:
        del params, envelope, headers
        return None


@dataclass(frozen=True, slots=True)
class CursorToken:
    """`has_more` with an opaque `next_page` (OpenAI and Anthropic reports). Without `has_more` the cursor decides."""

    param: str = "page"
    cursor: str = "next_page"
    has_more: str | None = "has_more"

    def next(
        self, params: Params, envelope: Mapping[str, Any], headers: Mapping[str, str] = _NO_HEADERS, /
    ) -> Params | None:
        del headers
        token = read_path(envelope, self.cursor)
        if self.has_more is not None and _flag(envelope, self.has_more, default=_is_cursor(token)):
            if not _is_cursor(token):
                raise _lost(f"{self.has_more} is true and {self.cursor} is missing")
        elif self.has_more is not None:
            return None
        return with_param(params, self.param, str(token)) if _is_cursor(token) else None


@dataclass(frozen=True, slots=True)
class AfterId:
    """`after` = the id of the last item. `last_id` is not read: OpenAI documents values that are not in the list."""

    param: str = "after"
    items: str = "data"
    id_field: str = "id"
    has_more: str = "has_more"

    def next(
        self, params: Params, envelope: Mapping[str, Any], headers: Mapping[str, str] = _NO_HEADERS, /
    ) -> Params | None:
        del headers
        if not _flag(envelope, self.has_more):
            return None
        items = _items(envelope, self.items)
        last = items[-1].get(self.id_field) if items and isinstance(items[-1], dict) else None
        if not _is_cursor(last):
            raise _lost(f"{self.has_more} is true and the last of {self.items} has no {self.id_field}")
        return with_param(params, self.param, str(last))


@dataclass(frozen=True, slots=True)
class PageNumber:
    """`page=1, 2, ...` up to `total_pages`, while `has_more` is true, or until a page is empty or short of `size`."""

    param: str = "page"
    start: int = 1
    items: str = "data"
    size: int | None = None
    has_more: str | None = None
    total_pages: str | None = None

    def next(
        self, params: Params, envelope: Mapping[str, Any], headers: Mapping[str, str] = _NO_HEADERS, /
    ) -> Params | None:
        del headers
        number = _number(params, self.param, self.start)
        return with_param(params, self.param, str(number + 1)) if self._more(number, envelope) else None

    def _more(self, number: int, envelope: Mapping[str, Any]) -> bool:
        if self.has_more is not None:
            return _flag(envelope, self.has_more)
        if self.total_pages is not None:
            return number - self.start + 1 < _count(envelope, self.total_pages)
        return _is_full(_items(envelope, self.items), self.size)


@dataclass(frozen=True, slots=True)
class Offset:
    """`offset` grows by the items received, up to `total` or until a page is empty or short of `size`."""

    param: str = "offset"
    items: str = "data"
    size: int | None = None
    total: str | None = None

    def next(
        self, params: Params, envelope: Mapping[str, Any], headers: Mapping[str, str] = _NO_HEADERS, /
    ) -> Params | None:
        del headers
        items = _items(envelope, self.items)
        reached = _number(params, self.param, 0) + len(items)
        if self.total is not None:
            more = reached < _count(envelope, self.total)
            if more and not items:
                raise _lost(f"{self.items} is empty before {self.total} is reached")
        else:
            more = _is_full(items, self.size)
        return with_param(params, self.param, str(reached)) if more else None


@dataclass(frozen=True, slots=True)
class LinkHeader:
    """`Link: <...>; rel="next"` (RFC 8288). Only the query is taken: a page cannot send us to another host."""

    def next(
        self, params: Params, envelope: Mapping[str, Any], headers: Mapping[str, str] = _NO_HEADERS, /
    ) -> Params | None:
        del params, envelope
        link = next((value for name, value in headers.items() if name.lower() == "link"), "")
        target = _find_next(link)
        return None if target is None else _read_query(target)


@dataclass(frozen=True, slots=True)
class NextLink:
    """The next page's address in a member of the page. Only its query is taken, as of a Link header."""

    link: str = "next"

    def next(
        self, params: Params, envelope: Mapping[str, Any], headers: Mapping[str, str] = _NO_HEADERS, /
    ) -> Params | None:
        del params, headers
        target = read_path(envelope, self.link)
        if target is None or target == "":
            return None
        if not isinstance(target, str):
            raise _lost(f"{self.link} is not an address")
        return _read_query(target)


def with_param(params: Params, name: str, value: str) -> Params:
    """The parameters with `name` set once, at its old place or at the end."""
    kept = [(key, old) for key, old in params if key != name]
    index = next((at for at, (key, _) in enumerate(params) if key == name), len(kept))
    return (*kept[:index], (name, value), *kept[index:])


def read_path(envelope: Mapping[str, Any], path: str) -> Any:
    """The member at a dotted path; None where there is none."""
    value: Any = envelope
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value


def _find_next(link: str) -> str | None:
    for target, attributes in _LINK.findall(link):
        relation = _RELATION.search(attributes)
        if relation and "next" in relation.group(1).lower().split():
            return str(target)
    return None


def _read_query(address: str) -> Params:
    try:
        return tuple(parse_qsl(urlsplit(address).query, keep_blank_values=True))
    except ValueError:
        raise _lost("the next address is no address") from None


def _items(envelope: Mapping[str, Any], path: str) -> Sequence[Any]:
    items = read_path(envelope, path)
    if not isinstance(items, list):
        raise _lost(f"{path} is not a list")
    return items


def _is_full(items: Sequence[Any], size: int | None) -> bool:
    return bool(items) and (size is None or len(items) >= size)


def _flag(envelope: Mapping[str, Any], path: str, *, default: bool | None = None) -> bool:
    """A missing or odd flag is a fault: taking it for false would drop the rest of the list without a word."""
    value = read_path(envelope, path)
    if value is None and default is not None:
        return default
    if not isinstance(value, bool):
        raise _lost(f"{path} is not true or false")
    return value


def _count(envelope: Mapping[str, Any], path: str) -> int:
    value = read_path(envelope, path)
    if not isinstance(value, int) or isinstance(value, bool):
        raise _lost(f"{path} is not a whole number")
    return value


def _number(params: Params, name: str, default: int) -> int:
    return int(next((value for key, value in params if key == name), default))


def _is_cursor(token: object) -> bool:
    return isinstance(token, str | int) and not isinstance(token, bool) and token != ""


def _lost(what: str) -> ProviderMisbehaved:
    return ProviderMisbehaved(
        f"the page does not say where the next one is: {what}",
        code="pagination_lost",
        hint="Nothing was published. Run it again; if it stays, the provider has changed its paging.",
    )
