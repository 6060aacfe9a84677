"""The page on the REST source names every key, kind and template that there is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from convergence.catalog.sources import Auth, Source, ValidationRequest
from convergence.catalog.sqltext import check_sql
from convergence.catalog.templates import WINDOW_NAMES
from convergence.processors.rest._columns import ColumnKeys
from convergence.processors.rest._paging import Paging
from convergence.processors.rest._request import Request
from convergence.processors.rest.extract import Config
from convergence.processors.sql.transform import Config as TransformConfig

PAGE = (Path(__file__).parents[4] / "docs" / "reference" / "rest-source.md").read_text(encoding="utf-8")
AUTHS: tuple[type[BaseModel], ...] = get_args(Auth)
PAGINGS: tuple[type[BaseModel], ...] = get_args(get_args(Paging)[0])


def names() -> Iterator[str]:
    for model in (Source, ValidationRequest, Request, Config, TransformConfig, ColumnKeys, *AUTHS, *PAGINGS):
        yield from model.model_fields
    for kind in (*AUTHS, *PAGINGS):
        yield from get_args(kind.model_fields["type"].annotation)
    yield from (f"{{{name}}}" for name in WINDOW_NAMES)


@pytest.mark.parametrize("name", sorted(set(names())))
def test_the_page_names_it(name: str) -> None:
    assert f"`{name}`" in PAGE or f".{name}`" in PAGE


def test_the_example_of_a_transform_is_googlesql() -> None:
    assert check_sql(PAGE.split("```sql\n")[1].split("```")[0]) == []
