from __future__ import annotations

import pytest
from fastapi import APIRouter, Depends

from convergence.api.gate import Access, GatedRoute, org_key, root_key


def test_access_is_what_the_route_declares() -> None:
    access = Access.declared([org_key("costs:read"), root_key()])

    assert access == Access(takes_org_key=True, takes_root_key=True, scopes=frozenset({"costs:read"}))


def test_a_route_that_declares_no_key_cannot_be_made() -> None:
    router = APIRouter(route_class=GatedRoute)

    async def answer() -> None:
        return None

    with pytest.raises(TypeError, match="which key it takes"):
        router.get("/open", dependencies=[Depends(answer)])(answer)
