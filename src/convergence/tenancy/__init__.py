"""The only place that makes a table reference.

Everything that reads or writes a table holds an `OrgScope` or the `PlatformScope` and asks it. Neither can name a
dataset other than its own, so a query for another organization cannot be written by accident.
"""

from convergence.tenancy.scope import (
    ENVIRONMENT_SUFFIXES,
    PLATFORM_DATASET,
    DatasetRef,
    OrgScope,
    PlatformScope,
    TableRef,
    check_org_slug,
)

__all__ = [
    "ENVIRONMENT_SUFFIXES",
    "PLATFORM_DATASET",
    "DatasetRef",
    "OrgScope",
    "PlatformScope",
    "TableRef",
    "check_org_slug",
]
