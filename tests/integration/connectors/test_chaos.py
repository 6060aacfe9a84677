"""One call in five goes wrong, each in another way: every page arrives once, and it costs little more."""

from __future__ import annotations

import random
from collections import defaultdict
from urllib.parse import parse_qs, urlsplit

import pytest

from convergence.connectors import CursorToken, bearer

from .conftest import Provider, Reply, Seen, failing, page

PAGES = 150
FAULTS = (
    failing(429, retry_after_ms="20"),
    failing(429, retry_after="0"),
    failing(500),
    failing(502),
    failing(503, retry_after_ms="10"),
    failing(504),
    failing(529),
    Reply(reset=True),
    Reply(body=b'{"data": [1, 2, 3]}', cut=9),
    Reply(body=b'{"data": [1, 2'),
    Reply(body=b"<html>", headers={"Content-Type": "text/html"}),
)


class Chaotic(Provider):
    """Serves page n for cursor n, except when the dice say otherwise."""

    def __init__(self, seed: int) -> None:
        super().__init__([])
        self.dice = random.Random(seed)
        self.pauses: dict[str, float] = defaultdict(float)
        self.too_early: list[str] = []

    def choose(self, seen: Seen) -> Reply:
        if seen.at < self.pauses[seen.target]:
            self.too_early.append(seen.target)
        if self.dice.random() < 0.2:
            fault = self.dice.choice(FAULTS)
            self.pauses[seen.target] = seen.at + int(fault.headers.get("retry-after-ms", 0)) / 1_000
            return fault
        number = int(parse_qs(urlsplit(seen.target).query).get("page", ["1"])[0])
        more = number < PAGES
        return Reply(body=page([number], has_more=more, next_page=str(number + 1) if more else None))


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_every_page_arrives_once(listen, connect, seed):
    provider = Chaotic(seed)
    await listen(provider)
    caller = connect(provider, deadline=30.0).client("acme", "openai", bearer("sk-admin-key"))
    got = [one.envelope["data"] async for one in caller.pages("/costs", [], CursorToken(), stream="costs")]
    assert got == [[number] for number in range(1, PAGES + 1)]
    assert len(provider.seen) <= 1.6 * PAGES
    assert provider.too_early == []
