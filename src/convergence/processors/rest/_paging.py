"""How an API cuts its lists, as a pipeline declares it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from convergence.connectors import (
    AfterId,
    CursorToken,
    LinkHeader,
    NextLink,
    Offset,
    PageNumber,
    Paginator,
    SinglePage,
)

Name = Annotated[str, Field(min_length=1, max_length=100)]


class _Keys(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @property
    def is_posted(self) -> bool:
        """Whether the page that is wanted is named in the body."""
        return False


class _Placed(_Keys):
    param: Name
    send_in: Literal["params", "body"] = "params"

    @property
    def is_posted(self) -> bool:
        return self.send_in == "body"


class NoPages(_Keys):
    type: Literal["none"]

    def build(self, items: str) -> Paginator:
        del items
        return SinglePage()


class Cursor(_Placed):
    """`cursor` is where a page has the token of the next; with `has_more` that flag decides."""

    type: Literal["cursor"]
    cursor: Name
    has_more: Name | None = None

    def build(self, items: str) -> Paginator:
        del items
        return CursorToken(self.param, self.cursor, self.has_more)


class LastId(_Placed):
    """The id of the last item is the token of the next page."""

    type: Literal["last_id"]
    id: Name = "id"
    has_more: Name = "has_more"

    def build(self, items: str) -> Paginator:
        return AfterId(self.param, items, self.id, self.has_more)


class Link(_Keys):
    """A member of the page has the next page's address."""

    type: Literal["next_link"]
    link: Name

    def build(self, items: str) -> Paginator:
        del items
        return NextLink(self.link)


class InHeader(_Keys):
    """The header Link has the next page's address, as rel="next"."""

    type: Literal["link_header"]

    def build(self, items: str) -> Paginator:
        del items
        return LinkHeader()


class Numbered(_Placed):
    """Up to `total_pages`, while `has_more`, or until a page is empty or short of `size`."""

    type: Literal["page_number"]
    start: Annotated[int, Field(ge=0, le=1)] = 1
    size: Annotated[int, Field(ge=1)] | None = None
    has_more: Name | None = None
    total_pages: Name | None = None

    def build(self, items: str) -> Paginator:
        return PageNumber(self.param, self.start, items, self.size, self.has_more, self.total_pages)


class Counted(_Placed):
    """Up to `total`, or until a page is empty or short of `size`."""

    type: Literal["offset"]
    size: Annotated[int, Field(ge=1)] | None = None
    total: Name | None = None

    def build(self, items: str) -> Paginator:
        return Offset(self.param, items, self.size, self.total)


Paging = Annotated[
    NoPages | Cursor | LastId | Link | InHeader | Numbered | Counted,
    Field(discriminator="type"),
]
