"""The way to providers: a client that is patient and careful, paginators, and pages turned into columns."""

from convergence.connectors.archive import ArchiveKey, PageArchive
from convergence.connectors.auth import HeaderAuth, basic, bearer, header_key, no_auth
from convergence.connectors.client import ProviderClient
from convergence.connectors.columns import arrow_schema
from convergence.connectors.decode import DecodedPage, decode_page
from convergence.connectors.layout import FieldSpec, PageLayout
from convergence.connectors.loops import LoopGuard
from convergence.connectors.pacing import MinuteLimit
from convergence.connectors.pages import Envelope, Page, Params, read_envelope
from convergence.connectors.paginators import (
    AfterId,
    CursorToken,
    LinkHeader,
    NextLink,
    Offset,
    PageNumber,
    Paginator,
    SinglePage,
)
from convergence.connectors.policy import HttpPolicy
from convergence.connectors.pool import HttpPool
from convergence.connectors.strict_rows import Reject

__all__ = [
    "AfterId",
    "ArchiveKey",
    "CursorToken",
    "DecodedPage",
    "Envelope",
    "FieldSpec",
    "HeaderAuth",
    "HttpPolicy",
    "HttpPool",
    "LinkHeader",
    "LoopGuard",
    "MinuteLimit",
    "NextLink",
    "Offset",
    "Page",
    "PageArchive",
    "PageLayout",
    "PageNumber",
    "Paginator",
    "Params",
    "ProviderClient",
    "Reject",
    "SinglePage",
    "arrow_schema",
    "basic",
    "bearer",
    "decode_page",
    "header_key",
    "no_auth",
    "read_envelope",
]
