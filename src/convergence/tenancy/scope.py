"""Datasets, tables, and who may name them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from convergence.errors import InvalidRequest

PLATFORM_DATASET: Final = "organizations"
ENVIRONMENT_SUFFIXES: Final = {"development": "dev", "staging": "stage", "production": "prod"}

_SLUG = re.compile(r"[A-Za-z0-9_]{3,50}", re.ASCII)
_TABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}", re.ASCII)


def check_org_slug(org_slug: str) -> str:
    """Return it, or say what an organization's slug may be.

    Raises:
        InvalidRequest: anything but 3 to 50 ASCII letters, digits and underscores, or the platform's own name.
    """
    if not _SLUG.fullmatch(org_slug):
        raise InvalidRequest(
            f"org_slug {org_slug!r} is not 3 to 50 letters, digits and underscores",
            code="org_slug_invalid",
            hint="A hyphen cannot name a BigQuery dataset; use an underscore.",
        )
    if org_slug.casefold() == PLATFORM_DATASET:
        raise InvalidRequest(f"org_slug {org_slug!r} is reserved", code="org_slug_invalid", hint="Choose another name.")
    return org_slug


@dataclass(frozen=True, slots=True)
class DatasetRef:
    """A dataset of the warehouse: one BigQuery dataset, one DuckDB file."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class TableRef:
    """A table or view. Made by a scope only."""

    dataset: DatasetRef
    name: str

    def __str__(self) -> str:
        return f"{self.dataset.name}.{self.name}"

    @property
    def rejects(self) -> TableRef:
        """Where the rows that this table refused are kept."""
        return TableRef(self.dataset, f"{self.name}_rejects")


def _table(dataset: DatasetRef, name: str) -> TableRef:
    if not _TABLE.fullmatch(name):
        raise InvalidRequest(
            f"{name!r} cannot name a table", hint="Use letters, digits and underscores, not starting with a digit."
        )
    return TableRef(dataset, name)


@dataclass(frozen=True, slots=True)
class PlatformScope:
    """The right to the platform's own dataset, `organizations`."""

    environment: str = "development"

    @property
    def dataset(self) -> DatasetRef:
        return DatasetRef(PLATFORM_DATASET)

    def table(self, name: str) -> TableRef:
        return _table(self.dataset, name)

    def org(self, org_slug: str) -> OrgScope:
        """The scope of one organization."""
        return OrgScope(check_org_slug(org_slug), self.environment)


@dataclass(frozen=True, slots=True)
class OrgScope:
    """The right to one organization's dataset and to nothing else."""

    org_slug: str
    environment: str = "development"

    def __post_init__(self) -> None:
        check_org_slug(self.org_slug)

    @property
    def dataset(self) -> DatasetRef:
        return DatasetRef(f"{self.org_slug}_{ENVIRONMENT_SUFFIXES[self.environment]}")

    def table(self, name: str) -> TableRef:
        return _table(self.dataset, name)
