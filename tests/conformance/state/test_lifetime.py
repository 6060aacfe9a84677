from __future__ import annotations

import pytest

from convergence.errors import StoreUnavailable


async def test_ping_answers(store):
    await store.ping()

    assert await store.get("acme/x") is None


async def test_closing_twice_does_nothing_more(store):
    await store.close()
    await store.close()


async def test_a_closed_store_refuses(store):
    await store.close()

    with pytest.raises(StoreUnavailable, match="closed"):
        await store.ping()
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.count("acme/x", 1)
