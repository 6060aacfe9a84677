"""Lists that do not end, recognized before they have cost more than a page."""

from __future__ import annotations

from convergence.connectors.pages import Params
from convergence.errors import ProviderMisbehaved


class LoopGuard:
    """Refuses a list that does not end: a request made before, a page seen before, or too many pages."""

    def __init__(self, max_pages: int) -> None:
        self._max_pages = max_pages
        self._requests: set[tuple[tuple[str, str], ...]] = set()
        self._digests: set[bytes] = set()

    def enter(self, params: Params) -> int:
        """The number of the page to fetch now, from 1."""
        request = tuple(params)
        if request in self._requests:
            raise _endless("it names a page that was fetched before")
        if len(self._requests) >= self._max_pages:
            raise _endless(f"it has more than {self._max_pages} pages")
        self._requests.add(request)
        return len(self._requests)

    def leave(self, digest: bytes) -> None:
        """Take note of a page that has another behind it."""
        if digest in self._digests:
            raise _endless("the same page came twice")
        self._digests.add(digest)


def _endless(what: str) -> ProviderMisbehaved:
    return ProviderMisbehaved(
        f"the list does not end: {what}",
        code="pagination_loop",
        hint="Nothing was published. Run it again; if it stays, report it to the provider.",
    )
