"""The way to providers: a client that is patient and careful, paginators, and pages turned into columns."""

from convergence.connectors.archive import ArchiveKey, PageArchive
from convergence.connectors.auth import HeaderAuth, basic, bearer, header_key, no_auth
from convergence.connectors.client import HttpPool, LoopGuard, ProviderClient
from convergence.connectors.pages import Envelope, Page, Params, read_envelope
from convergence.connectors.paginators import (
    AfterId,
    CursorToken,
    LinkHeader,
    Offset,
    PageNumber,
    Paginator,
    SinglePage,
)
from convergence.connectors.policy import HttpPolicy

__all__ = [
    "AfterId",
    "ArchiveKey",
    "CursorToken",
    "Envelope",
    "HeaderAuth",
    "HttpPolicy",
    "HttpPool",
    "LinkHeader",
    "LoopGuard",
    "Offset",
    "Page",
    "PageArchive",
    "PageNumber",
    "Paginator",
    "Params",
    "ProviderClient",
    "SinglePage",
    "basic",
    "bearer",
    "header_key",
    "no_auth",
    "read_envelope",
]
